import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AmdViWalker } from "../walkers/amd-vi/index.ts";
import { WalkEngine } from "../walkers/engine.ts";
import type { GuestMemory } from "../walkers/memory.ts";
import { IommuState } from "../walkers/registers.ts";
import { EXECUTE, NO_PASID, READ, WalkRequest, WRITE } from "../walkers/request.ts";
import { MSI, WalkResult } from "../walkers/result.ts";
import { AmdIommu, EFR_ALL, GCR3_TRP_MODE, GT_EN, IOMMU_EN, IR, IW, RW, US } from "./support/amd-iommu.ts";
import { type Answer, COMPLETE, reference } from "./support/amd-reference.ts";
import { Gcr3Tables, GuestTables, guestSpace, systemSpace, V1Tables } from "./support/amd-tables.ts";
import { atMost, equal, identical } from "./support/many.ts";

const MAPPINGS = 60;

/** Pages that do not overlap: each is kept or dropped as it comes. */
function disjoint<T extends { address: bigint; shift: number }>(pages: readonly T[]): T[] {
  const taken: [bigint, bigint][] = [];
  return pages.filter(({ address, shift }) => {
    const size = 1n << BigInt(shift);
    const from = address & -size;
    if (taken.some(([a, b]) => from < b && a < from + size)) return false;
    taken.push([from, from + size]);
    return true;
  });
}

const word64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });

describe("what an independent builder maps is walked back", () => {
  let mapped = 0;

  it("v1 tables of every mode, with skipped levels and pages of every size", () => {
    const page = fc.record({
      address: word64,
      page: word64,
      shift: fc.integer({ min: 12, max: 45 }),
      perm: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.uniqueArray(fc.integer({ min: 2, max: 5 }), { maxLength: 3 }),
        fc.array(page, { minLength: MAPPINGS, maxLength: MAPPINGS }),
        (mode, skip, wanted) => {
          const iommu = new AmdIommu();
          const tables = new V1Tables(iommu, mode);
          iommu.hostDevice(1, tables.root, mode);
          const width = Math.min(64, 12 + 9 * mode);
          const pages = disjoint(
            wanted
              .map((p) => {
                let address = BigInt.asUintN(width, p.address);
                for (const level of skip)
                  if (level < mode) address &= ~(0x1ffn << BigInt(12 + 9 * (level - 1)));
                return { ...p, address };
              })
              .filter((p) => {
                const level = Math.floor((p.shift - 12) / 9) + 1;
                return level <= mode && level < 6 && !skip.includes(level);
              }),
          );
          for (const { address, page, shift, perm } of pages)
            tables.map(address, BigInt.asUintN(52, page), shift, BigInt(perm) << 61n, skip);
          for (const { address, page, shift, perm } of pages) {
            const size = 1n << BigInt(shift);
            const access = perm === 3 ? "rw" : perm === 1 ? "r" : "w";
            const seen = iommu.ask(1, address, { access });
            const pa = (BigInt.asUintN(52, page) & -size) | (address & (size - 1n));
            if (seen.pa !== pa || seen.page !== size) expect(seen).toMatchObject({ pa, page: size });
            mapped++;
          }
        },
      ),
      { seed: 48882, numRuns: 150 },
    );
  });

  it("guest CR3 and guest tables, flat and nested", () => {
    const page = fc.record({
      pasid: fc.integer({ min: 0, max: 0xf_ffff }),
      address: word64,
      gpa: word64,
      spa: word64,
      shift: fc.constantFrom(12 as const, 12 as const, 21 as const, 30 as const),
      hostShift: fc.integer({ min: 12, max: 21 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 }),
        fc.constantFrom(4 as const, 5 as const),
        fc.integer({ min: 0, max: 6 }).filter((mode) => mode === 0 || mode > 3),
        fc.array(page, { minLength: MAPPINGS, maxLength: MAPPINGS }),
        (glx, levels, mode, wanted) => {
          const iommu = new AmdIommu({ efr: EFR_ALL, control: IOMMU_EN | GT_EN | GCR3_TRP_MODE });
          const host = mode === 0 ? null : new V1Tables(iommu, mode);
          const space = host === null ? systemSpace(iommu) : guestSpace(iommu, host, 0x60_0000_0000n);
          const gcr3 = new Gcr3Tables(iommu, space, glx);
          iommu.guestDevice(1, gcr3.root, glx, { levels, mode, root: host?.root ?? 0n });
          const width = 12 + 9 * levels;
          const prepared = wanted.map((p, i) => {
            const size = 1n << BigInt(p.shift);
            const address = BigInt.asUintN(64, BigInt.asIntN(width, p.address));
            // Guest pages lie above the guest's tables, one every 4 GiB.
            const gpa =
              host === null ? BigInt.asUintN(52, p.gpa) & -size : 0x100_0000_0000n + (BigInt(i) << 32n);
            return {
              ...p,
              address,
              gpa,
              pasid: (p.pasid >> 0) & (2 ** Math.min(20, 9 * (glx + 1)) - 1) & 0x8_0407,
            };
          });
          const spaces = new Map<number, GuestTables>();
          const byPasid = new Map<number, typeof prepared>();
          for (const p of prepared) byPasid.set(p.pasid, [...(byPasid.get(p.pasid) ?? []), p]);
          const pages = [...byPasid.values()].flatMap(disjoint);
          for (const p of pages) {
            let guest = spaces.get(p.pasid);
            if (guest === undefined) {
              guest = new GuestTables(iommu, space, levels);
              spaces.set(p.pasid, guest);
              gcr3.set(p.pasid, guest);
            }
            guest.map(p.address, p.gpa, p.shift, RW | US);
            const gpa = p.gpa | (p.address & ((1n << BigInt(p.shift)) - 1n));
            host?.map(gpa, BigInt.asUintN(52, p.spa), p.hostShift, IR | IW);
          }
          for (const p of pages) {
            const seen = iommu.ask(1, p.address, { pasid: p.pasid, access: "rw" });
            const size = 1n << BigInt(p.shift);
            const gpa = p.gpa | (p.address & (size - 1n));
            const hostSize = 1n << BigInt(p.hostShift);
            const pa =
              host === null ? gpa : (BigInt.asUintN(52, p.spa) & -hostSize) | (gpa & (hostSize - 1n));
            const page = host === null || size < hostSize ? size : hostSize;
            if (seen.pa !== pa || seen.page !== page) expect(seen).toMatchObject({ pa, page });
            mapped++;
          }
        },
      ),
      { seed: 48882, numRuns: 180 },
    );
  });

  it("that is at least ten thousand mappings", () => {
    expect(mapped).toBeGreaterThanOrEqual(10_000);
  });
});

/** A physical address space that is made of a few pages over and over: every pointer leads somewhere. */
class Repeating implements GuestMemory {
  readonly view: DataView;
  at = 0;
  generation = 0;
  readonly #pages: number;
  readonly #holes: number;

  /** @param holes one frame in so many is not there */
  constructor(bytes: Uint8Array, holes: number) {
    this.view = new DataView(bytes.buffer);
    this.#pages = bytes.length / 4096;
    this.#holes = holes;
  }

  fetch(frame: number, offset: number): boolean {
    this.at = (frame % this.#pages) * 4096 + offset;
    return frame % this.#holes !== 1;
  }
}

const PAGES = 16;
const HOLES = 23;

/** Pages of random words, most of them made to look like entries; the first pages are a device table. */
function randomPages(seed: number, present: number): Uint8Array {
  const bytes = new Uint8Array(PAGES * 4096);
  const view = new DataView(bytes.buffer);
  let state = seed | 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  for (let i = 0; i < bytes.length; i += 8) {
    let lo = next();
    let hi = next();
    // Some words are left as they are; the others are present, clear of reserved bits, and mostly permit.
    if (next() % 100 < present) {
      lo |= 1;
      hi &= next() % 4 === 0 ? ~0x07f0_0000 : ~0x1ff0_0000;
      if (next() % 4 !== 0) hi |= 0x6000_0000;
      if (next() % 4 !== 0) lo |= 0x7;
      if (next() % 4 !== 0) lo &= ~0x3f_f080;
      // Next levels that go down, more often than not.
      if (next() % 4 !== 0) lo &= ~0x800;
      if (next() % 3 !== 0) hi &= 0x7fff_ffff;
    }
    view.setUint32(i, lo, true);
    view.setUint32(i + 4, hi, true);
  }
  // Device table entries: two doublewords of translation information without reserved bits, in half of them.
  for (let at = 0; at < 2 * 4096; at += 32)
    if (next() % 8 !== 0) {
      const mode = next() % 3 === 0 ? 0xe00 : 0;
      view.setUint32(at, (view.getUint32(at, true) & ~0x7c & ~mode) | 3, true);
      const permit = next() % 8 === 0 ? 0 : 0x6000_0000;
      const guest = next() % 4 === 0 ? 0 : 0x0080_0000 | ((next() % 8 === 0 ? 3 : next() % 3) << 24);
      view.setUint32(at + 4, (view.getUint32(at + 4, true) & 0x7c4f_ffff) | permit | guest, true);
      view.setUint32(at + 12, view.getUint32(at + 12, true) & ~0x18, true);
      view.setUint32(at + 20, view.getUint32(at + 20, true) & ~0x0080_0000, true);
    }
  return bytes;
}

const KINDS = [READ, WRITE, READ | WRITE, EXECUTE];
/** DTE, 3 GCR3 entries and 5 guest entries behind 6 host entries each, and 6 for the address itself. */
const MOST_READS = 1 + (3 + 5) * 7 + 6;

describe("random bytes", () => {
  it("walks end, never throw, read little, and agree with a plain reading of the specification", () => {
    const outcomes = new Map<string, number>();
    fc.assert(
      fc.property(
        fc.integer(),
        fc.oneof(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 95, max: 100 })),
        fc.array(
          fc.record({
            device: fc.oneof(
              { weight: 30, arbitrary: fc.integer({ min: 0, max: 127 }) },
              fc.integer({ min: 128, max: 255 }),
            ),
            pasid: fc.option(
              fc.oneof(fc.integer({ min: 0, max: 511 }), fc.integer({ min: 0, max: 0xf_ffff })),
            ),
            address: fc.oneof(
              word64,
              fc.bigInt({ min: 0n, max: (1n << 39n) - 1n }),
              fc.bigInt({ min: 0n, max: (1n << 30n) - 1n }),
              fc.bigInt({ min: 0n, max: (1n << 47n) - 1n }),
              fc.bigInt({ min: 0n, max: 0xfff_ffffn }),
            ),
            kind: fc.integer({ min: 0, max: 3 }),
            priv: fc.boolean(),
          }),
          { minLength: 40, maxLength: 40 },
        ),
        (seed, present, requests) => {
          const memory = new Repeating(randomPages(seed, present), HOLES);
          const walker = new AmdViWalker(memory);
          const state = new IommuState();
          state.registers.set("dev_tab_base", { hi: 0, lo: 1 });
          walker.configure(state);
          const engine = new WalkEngine(walker);
          const read = (address: bigint): bigint | null => {
            const frame = address >> 12n;
            if (frame % BigInt(HOLES) === 1n) return null;
            return memory.view.getBigUint64(
              Number((frame % BigInt(PAGES)) * 4096n + (address & 4095n)),
              true,
            );
          };
          const unit = { ...COMPLETE, deviceTable: 1n, read };
          for (const { device, pasid, address, kind, priv } of requests) {
            const request = new WalkRequest();
            request.device = device;
            request.pasid = pasid ?? NO_PASID;
            request.addrHi = Number(BigInt.asIntN(32, address >> 32n));
            request.addrLo = Number(BigInt.asIntN(32, address));
            request.access = KINDS[kind]!;
            request.priv = priv;
            const answered = reference(unit, {
              device: BigInt(device),
              pasid: pasid === null ? null : BigInt(pasid),
              address,
              read: kind === 0 || kind === 2,
              write: kind === 1 || kind === 2,
              execute: kind === 3,
              priv,
            });
            const expected = said(answered);
            const first = answer(engine.walk(request));
            equal(first, expected);
            equal(answer(engine.walk(request)), expected);
            const reads = engine.walk(request).reads;
            identical(
              engine.walkUncached(request, walker.newDevice(), walker.newPasidContext()).reads,
              reads,
            );
            atMost(reads, MOST_READS);
            const name =
              typeof expected === "string" ? expected : expected.page === 0n ? "untranslated" : "ok";
            outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
          }
        },
      ),
      { seed: 2, numRuns: 700 },
    );
    // The bytes are random enough to reach every kind of outcome.
    expect([...outcomes.keys()].sort()).toEqual(EVERY_OUTCOME);
  });

  it("a walk's result does not depend on what was walked before", () => {
    const memory = new Repeating(randomPages(77, 95), HOLES);
    const walker = new AmdViWalker(memory);
    const fresh = () => new WalkResult();
    const request = new WalkRequest();
    const walk = (device: number, address: number) => {
      const out = fresh();
      out.reset("amd");
      request.device = device;
      request.pasid = 1;
      request.addrLo = address;
      const d = walker.newDevice();
      const p = walker.newPasidContext();
      if (
        walker.admit(request, out) &&
        walker.loadDevice(request, d, out) &&
        walker.checkRequest(request, d, out)
      )
        if (walker.loadPasidContext(request, d, p, out)) walker.translate(request, d, p, out);
      return out;
    };
    const alone = Array.from({ length: 128 }, (_, i) => walk(i, i * 0x1357));
    for (let i = 127; i >= 0; i--) expect(walk(i, i * 0x1357)).toEqual(alone[i]);
  });
});

const EVERY_OUTCOME = [
  "1 BAD_DEVICE_CONTEXT 0",
  "2 BAD_DEVICE_CONTEXT 0",
  "2 BAD_PTE 1",
  "2 BAD_PTE 2",
  "2 OOR_ADDRESS 1",
  "2 OOR_ADDRESS 2",
  "2 PASID_INVALID 0",
  "2 PERMISSION 0",
  "2 PERMISSION 1",
  "2 PERMISSION 2",
  "2 PTE_FETCH 1",
  "2 PTE_FETCH 2",
  "3 DEVICE_CONTEXT_FETCH 0",
  "4 PASID_FETCH 0",
  "4 PGD_FETCH 1",
  "4 PGD_FETCH 2",
  "4 WALK_EABT 1",
  "4 WALK_EABT 2",
  "8 PASID_INVALID 0",
  "ok",
  "untranslated",
];

/** An event by its words alone. */
function said(answer: Answer) {
  return typeof answer === "object" && "event" in answer ? answer.event : answer;
}

function answer(r: WalkResult): ReturnType<typeof said> {
  if (r.status === MSI) return "msi";
  if (r.status === 0)
    return {
      pa: BigInt(r.frame) * 4096n + BigInt(r.offset),
      page: r.pageShift === 0 ? 0n : 1n << BigInt(r.pageShift),
    };
  return `${r.fault!.code} ${r.reason} ${r.stage}`;
}
