import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WalkEngine } from "../walkers/engine.ts";
import { IommuState } from "../walkers/registers.ts";
import { EXECUTE, NO_PASID, READ, WalkRequest, WRITE } from "../walkers/request.ts";
import { WalkResult } from "../walkers/result.ts";
import { SMMUV3_FAULTS, SmmuV3Walker } from "../walkers/smmuv3/index.ts";
import { type ArmTables, type Shape, spanOf } from "./support/arm-tables.ts";
import { atMost, equal, identical } from "./support/many.ts";
import { CONTEXT, cdOf, Machine, outputOf, stage2Of, TG1 } from "./support/smmuv3-machine.ts";
import { TableMemory } from "./support/table-memory.ts";

const AF = 1n << 10n;
const S1_USER = 1n << 6n;
const S1_READ_ONLY = 1n << 7n;
const S2_READ = 1n << 6n;
const S2_WRITE = 1n << 7n;
const NORMAL = 0xfn << 2n;

/** A small generator of its own, so that one seed gives one set of tables. */
function randomOf(seed: number) {
  let state = seed | 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  return {
    below: (n: number) => next() % n,
    bits: (n: number) => ((BigInt(next()) << 32n) | BigInt(next())) & ((1n << BigInt(n)) - 1n),
    pick: <T>(from: readonly T[]): T => from[next() % from.length]!,
  };
}
type Random = ReturnType<typeof randomOf>;

/** Any lawful stage 1 shape: start level as the input size gives it. */
function stage1Shape(random: Random): Shape {
  const granule = random.pick([12, 14, 16]);
  const ds = granule !== 16 && random.below(2) === 1;
  const largest = ds || granule === 16 ? 52 : 48;
  const smallest = granule === 16 ? 17 : 16;
  const inputBits = smallest + random.below(largest - smallest + 1);
  let startLevel = 3;
  while (granule + (granule - 3) * (4 - startLevel) < inputBits) startLevel--;
  return { granule, inputBits, startLevel, ds, lpa: true, bigEndian: random.below(4) === 0 };
}

/** Any lawful stage 2 shape: also with up to 16 concatenated tables. */
function stage2Shape(random: Random): Shape {
  const shape = stage1Shape(random);
  const { granule } = shape;
  const fits = (level: number) => {
    const resolved = shape.inputBits - (granule + (granule - 3) * (3 - level));
    return level <= 3 && resolved >= 1 && resolved <= granule + 1;
  };
  if (fits(shape.startLevel + 1) && random.below(2) === 1) shape.startLevel++;
  // A 16 KiB walk without DS cannot start at level 0: two tables at level 1 instead.
  if (granule === 14 && !shape.ds && shape.startLevel === 0) shape.startLevel = 1;
  return shape;
}

function blockLevel(shape: Shape): number {
  const first = shape.granule === 12 ? 1 : 2;
  return shape.ds || shape.granule === 16 ? first - 1 : first;
}

interface Mapping {
  readonly input: bigint;
  readonly output: bigint;
  readonly span: bigint;
  readonly readable: boolean;
  readonly writable: boolean;
}

/** Maps random pages and blocks that do not overlap. */
function mapRandomly(
  random: Random,
  tables: ArmTables,
  stage: 1 | 2,
  outputBits: number,
  count: number,
): Mapping[] {
  const { shape } = tables;
  const out: Mapping[] = [];
  for (let i = 0; i < count * 3 && out.length < count; i++) {
    const low = Math.max(blockLevel(shape), shape.startLevel);
    const level = random.below(3) === 0 ? low + random.below(4 - low) : 3;
    const span = spanOf(shape, level);
    if (span > 1n << BigInt(Math.min(shape.inputBits, outputBits))) continue;
    const input = (random.bits(shape.inputBits) / span) * span;
    if (out.some((m) => input < m.input + m.span && m.input < input + span)) continue;
    const output = (random.bits(outputBits) / span) * span;
    const writable = random.below(3) !== 0;
    const readable = stage === 1 || random.below(8) !== 0;
    // Attribute bits that must not matter: AttrIndx or MemAttr, NS, nG or FnXS, Contiguous, software bits.
    const noise = (random.bits(4) << 55n) | (random.bits(1) << 52n) | (random.bits(1) << 11n);
    const rights =
      stage === 1
        ? S1_USER | (writable ? 0n : S1_READ_ONLY)
        : NORMAL | (readable ? S2_READ : 0n) | (writable ? S2_WRITE : 0n);
    tables.map(input, output, level, AF | rights | noise);
    out.push({ input, output, span, readable, writable });
  }
  return out;
}

function check(machine: Machine, m: Mapping, inside: bigint, address: bigint): void {
  const read = machine.walk(address + inside);
  if (m.readable) {
    equal([read.status, outputOf(read)], [0, m.output + inside]);
    identical(1n << BigInt(read.pageShift), m.span);
  } else identical(read.fault!.name, "F_PERMISSION");
  const write = machine.walk(address + inside, { access: WRITE });
  if (m.writable) equal([write.status, outputOf(write)], [0, m.output + inside]);
  else identical(write.fault!.name, "F_PERMISSION");
}

let walked = 0;

describe("random tables walk back to the mappings they were built from", () => {
  it("stage 1, either half of the address space", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = randomOf(seed);
        const machine = new Machine();
        const shape = stage1Shape(random);
        const outputBits = shape.ds || shape.granule === 16 ? 52 : 48;
        const tables = machine.stage1(shape);
        const upper = random.below(2) === 1;
        if (upper) {
          const half = {
            EPD0: 1,
            EPD1: 0,
            T1SZ: 64 - shape.inputBits,
            TG1: TG1[shape.granule]!,
            TTB1: tables.root,
          };
          machine.cd(cdOf(tables, { ...half, T0SZ: 16, TG0: 0, TTB0: 0 }));
        }
        const base = upper ? (1n << 64n) - (1n << BigInt(shape.inputBits)) : 0n;
        for (const m of mapRandomly(random, tables, 1, outputBits, 40)) {
          check(machine, m, random.bits(52) % m.span, base + m.input);
          walked++;
        }
      }),
      { numRuns: 120, seed: 1 },
    );
  });

  it("stage 2", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = randomOf(seed);
        const machine = new Machine();
        const shape = stage2Shape(random);
        const outputBits = shape.ds || shape.granule === 16 ? 52 : 48;
        const tables = machine.stage2(shape);
        for (const m of mapRandomly(random, tables, 2, outputBits, 40)) {
          check(machine, m, random.bits(52) % m.span, m.input);
          walked++;
        }
      }),
      { numRuns: 120, seed: 2 },
    );
  });

  it("both stages: the composition, with the smaller page and the rights of both", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = randomOf(seed);
        const machine = new Machine();
        const shape1 = stage1Shape(random);
        const shape2 = { ...stage2Shape(random), granule: random.pick([12, 14]), ds: false, inputBits: 44 };
        shape2.startLevel = shape2.granule === 12 ? 0 : 1;
        const s2 = machine.tables(shape2);
        const page = 1n << BigInt(shape2.granule);
        // Stage 1 tables and the CD keep their addresses in stage 2, so place them below 2^40 and data above.
        const placed = new Set<bigint>();
        const place = (a: bigint) => {
          const at = (a / page) * page;
          if (!placed.has(at)) {
            placed.add(at);
            s2.map(at, at, 3, AF | NORMAL | S2_READ);
          }
          return a;
        };
        place(CONTEXT);
        const s1 = machine.tables(shape1, place);
        machine.cd(cdOf(s1));
        machine.ste({ Config: 7, S1ContextPtr: CONTEXT, ...stage2Of(s2) });
        for (const m of mapRandomly(random, s1, 1, 43, 30)) {
          if (m.output < 1n << 40n) continue;
          // Stage 2 maps a page at one place inside what stage 1 maps.
          const inside = random.bits(52) % m.span;
          const ipa = m.output + inside;
          const ipaPage = (ipa / page) * page;
          if (placed.has(ipaPage)) continue;
          placed.add(ipaPage);
          const output = (random.bits(48) / page) * page;
          const writable = random.below(2) === 1;
          s2.map(ipaPage, output, 3, AF | NORMAL | S2_READ | (writable ? S2_WRITE : 0n));
          const r = machine.walk(m.input + inside);
          equal([r.status, outputOf(r)], [0, output + (ipa % page)]);
          identical(1n << BigInt(r.pageShift), m.span < page ? m.span : page);
          const w = machine.walk(m.input + inside, { access: WRITE });
          identical(w.status === 0, m.writable && writable);
          if (w.status !== 0) identical(w.stage, m.writable ? 2 : 1);
          walked++;
        }
      }),
      { numRuns: 120, seed: 3 },
    );
  });

  it("made more than 10,000 mappings", () => {
    expect(walked).toBeGreaterThan(10_000);
  });
});

describe("random bytes", () => {
  const names = new Set(SMMUV3_FAULTS.map((f) => f.name));
  /** STE 2; CD and its level 1 descriptor, each with 5 of stage 2; stage 1's 5, each with 5; the address's 5. */
  const MOST_READS = 2 + 2 * 6 + 5 * 6 + 5;

  it("a walk ends in a page or a fault, throws nothing, and reads no more than the format allows", () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 0, max: 4 }), (seed, kind) => {
        const random = randomOf(seed);
        const memory = new TableMemory();
        // 32 frames of random words; addresses in them are bent towards these frames, so that walks go on.
        for (let a = 0n; a < 32n * 4096n; a += 8n) {
          let word = random.bits(64);
          if (random.below(4) !== 0) word = (word & ~0xffff_ffff_f000n) | (BigInt(random.below(32)) << 12n);
          if (random.below(4) !== 0) word |= 3n;
          memory.write64(a, word);
        }
        const state = new IommuState();
        const lo = (n: number) => ({ hi: 0, lo: n });
        state.registers.set("strtab_base", lo(0));
        state.registers.set("strtab_base_cfg", lo(kind === 0 ? 0x1_0188 : 8));
        const walker = new SmmuV3Walker(memory);
        walker.configure(state);
        const engine = new WalkEngine(walker);
        const request = new WalkRequest();
        // Contexts that have held others before: nothing of those may show.
        const reused = [walker.newDevice(), walker.newPasidContext()] as const;
        for (let i = 0; i < 20; i++) {
          const sid = random.below(256);
          if (kind >= 1 && kind <= 3) repair(random, memory, BigInt(sid) * 64n, kind);
          request.device = sid;
          request.pasid = random.below(2) === 0 ? NO_PASID : random.below(1 << 20);
          request.addrLo = random.below(2 ** 32) | 0;
          request.addrHi = random.below(4) === 0 ? random.below(2 ** 32) | 0 : random.below(256);
          request.access = random.pick([READ, WRITE, READ | WRITE, EXECUTE]);
          request.priv = random.below(2) === 0;
          const r = new WalkResult();
          r.copyFrom(engine.walk(request));
          equal(engine.walkUncached(request, ...reused), r);
          atMost(r.reads, MOST_READS);
          if (r.status === 0) {
            identical(Number.isInteger(r.frame) && r.frame >= 0 && r.frame < 2 ** 40, true);
            seen.add("ok");
          } else {
            if (!names.has(r.fault!.name)) expect(names).toContain(r.fault!.name);
            seen.add(r.fault!.name);
          }
        }
      }),
      { numRuns: 150, seed: 4 },
    );
    // The bytes were not so random that nothing was reached.
    for (const name of [
      "ok",
      "C_BAD_STE",
      "C_BAD_CD",
      "F_TRANSLATION",
      "F_ADDR_SIZE",
      "F_PERMISSION",
      "F_WALK_EABT",
    ])
      expect(seen).toContain(name);
  });

  /** Makes an STE, and where it has one its CD, lawful in the fields that random bytes never get right. */
  function repair(random: Random, memory: TableMemory, ste: bigint, kind: number): void {
    const config = [5n, 6n, 7n][kind - 1]!;
    const cd = BigInt(random.below(32 * 64)) * 64n;
    memory.write64(ste, 1n | (config << 1n) | cd);
    memory.write64(ste + 8n, random.bits(64) & ~0xf800_0000n); // S1STALLD, EATS and STRW
    const s2t0sz = 25n + BigInt(random.below(9));
    const stage2 = (s2t0sz << 32n) | (1n << 38n) | (5n << 48n) | (1n << 51n) | (1n << 58n);
    memory.write64(ste + 16n, stage2);
    memory.write64(ste + 24n, BigInt(random.below(32)) << 12n);
    if (config === 6n) return;
    const t0sz = 16n + BigInt(random.below(24));
    memory.write64(cd, t0sz | (1n << 30n) | (1n << 31n) | (5n << 32n) | (1n << 41n) | (3n << 45n));
    memory.write64(cd + 8n, BigInt(random.below(32)) << 12n);
    memory.write64(cd + 16n, 0n);
  }
});
