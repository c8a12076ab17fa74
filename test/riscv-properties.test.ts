import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WalkEngine } from "../walkers/engine.ts";
import { IommuState } from "../walkers/registers.ts";
import { EXECUTE, NO_PASID, READ, WalkRequest, WRITE } from "../walkers/request.ts";
import { FAULT } from "../walkers/result.ts";
import { RISCV_FAULTS, RiscvWalker } from "../walkers/riscv/index.ts";
import { atMost, identical, matching } from "./support/many.ts";
import {
  A,
  D,
  DPE,
  GADE,
  leaf,
  N,
  PDTV,
  pageShift,
  pointer,
  R,
  RiscvTable,
  SADE,
  SBE,
  SCHEMES,
  type Scheme,
  SV32,
  SV39,
  SXL,
  TC_V,
  U,
  V,
  W,
  X,
} from "./support/riscv-builder.ts";
import { RiscvIommu } from "./support/riscv-iommu.ts";
import { TableMemory } from "./support/table-memory.ts";

/** A small generator of our own: a run is a seed, and 10,000 mappings cost no shrinking trees. */
class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 1;
  }
  /** 0 to n - 1, n up to 2^32. */
  below(n: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % n;
  }
  bits(count: number): bigint {
    let value = 0n;
    for (let i = 0; i < count; i += 16) value = (value << 16n) | BigInt(this.below(65536));
    return value & ((1n << BigInt(count)) - 1n);
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

interface Mapping {
  readonly base: bigint;
  readonly shift: number;
  readonly pa: bigint;
  readonly flags: bigint;
}

/** Table, what was put into it, and how: the expectation is this list, not the table. */
class Mapped {
  readonly table: RiscvTable;
  readonly list: Mapping[] = [];
  /** Width of the addresses that pages are put at: what the next stage, or the memory, can take. */
  readonly #width: number;
  constructor(table: RiscvTable, width: number) {
    this.table = table;
    this.#width = Math.min(width, table.scheme === SV32 ? 34 : 56);
  }

  /** Maps a page of a random size around `va` to a random place; false where something is in the way. */
  add(random: Random, va: bigint, flags: bigint): boolean {
    const scheme = this.table.scheme;
    const napot = scheme !== SV32 && random.chance(20);
    const level = napot ? 1 : random.chance(60) ? 1 : 1 + random.below(scheme.levels);
    const shift = napot ? 16 : pageShift(scheme, level);
    const size = 1n << BigInt(shift);
    const pa = random.bits(this.#width) & ~(size - 1n);
    const added = napot ? this.table.mapNapot(va, pa, flags) : this.table.map(va, pa, level, flags);
    if (added) this.list.push({ base: va & ~(size - 1n), shift, pa, flags });
    return added;
  }

  find(va: bigint): Mapping | undefined {
    return this.list.find((m) => va >= m.base && va < m.base + (1n << BigInt(m.shift)));
  }
}

/** Flags of a leaf: mostly a useful page, sometimes not. */
function leafFlags(random: Random): bigint {
  let flags = V | R | W | X | U | A | D;
  if (random.chance(15)) flags &= ~W & ~D;
  if (random.chance(10)) flags &= ~X;
  if (random.chance(8)) flags &= ~D;
  if (random.chance(5)) flags &= ~A;
  if (random.chance(8)) flags &= ~U;
  return flags;
}

type Access = "r" | "w" | "rw" | "x";

function needs(access: Access): bigint {
  return { r: R, w: W, rw: R | W, x: X }[access];
}

const PAGE_FAULT: Readonly<Record<Access, number>> = { r: 13, w: 15, rw: 15, x: 12 };
const GUEST_FAULT: Readonly<Record<Access, number>> = { r: 21, w: 23, rw: 23, x: 20 };

/** Whether one stage's leaf stops an access. */
function stops(m: Mapping | undefined, access: Access, supervisor: boolean, updates: boolean): boolean {
  if (m === undefined) return true;
  if (supervisor ? (m.flags & U) !== 0n : (m.flags & U) === 0n) return true;
  if ((needs(access) & ~m.flags) !== 0n) return true;
  const dirty = needs(access) & W ? A | D : A;
  return !updates && (dirty & ~m.flags) !== 0n;
}

/** Input width of a scheme's x4 form. */
function guestBits(scheme: Scheme): number {
  return pageShift(scheme, scheme.levels) + scheme.indexBits + 2;
}

/** One random machine: schemes, byte orders and updates; a few hundred pages; every page asked for. */
class Machine {
  readonly random: Random;
  readonly iommu: RiscvIommu;
  readonly first: Mapped | null;
  readonly second: Mapped | null;
  readonly updates1: boolean;
  readonly updates2: boolean;
  readonly supervisor: boolean;
  readonly pasid: number | undefined;
  /** Requests made, and those of them that were translated. */
  checked = 0;
  translated = 0;
  readonly #guestWidth: number;
  #guest = 0x2000_0000n;
  readonly #guests = new Map<bigint, bigint>();

  constructor(seed: number, first: Scheme | null, second: Scheme | null) {
    const random = new Random(seed);
    this.random = random;
    const narrow = first?.narrow === true || second?.narrow === true;
    const big = random.chance(40);
    this.iommu = new RiscvIommu({
      mode: BigInt(2 + random.below(3)),
      fctl: (big ? 1n : 0n) | (second?.narrow ? 4n : 0n),
    });
    this.updates1 = random.chance(30);
    this.updates2 = this.updates1 && random.chance(70);
    const sbe = random.chance(40);
    const { memory, allocate } = this.iommu;
    this.second =
      second === null ? null : new Mapped(new RiscvTable(memory, second, { x4: true, big, allocate }), 56);
    const firstOptions = {
      big: sbe,
      allocate: second === null ? allocate : this.#allocateGuest,
      where: (address: bigint) => this.#host(address),
    };
    // SXL narrows every second stage to 34 bits.
    this.#guestWidth = second === null ? 56 : narrow ? 34 : guestBits(second);
    this.first =
      first === null ? null : new Mapped(new RiscvTable(memory, first, firstOptions), this.#guestWidth);
    this.supervisor = first !== null && random.chance(25);
    const processes = this.supervisor || random.chance(50);
    const fsc = this.first === null ? 0n : pointer(first!.mode, this.first.table.root);
    let root = fsc;
    let tc = TC_V | (narrow ? SXL : 0n) | (sbe ? SBE : 0n);
    tc |= (this.updates1 ? SADE : 0n) | (this.updates2 ? GADE : 0n);
    const device = random.below(2 ** 6);
    if (processes) {
      // PD8 only: the directory is one page, at a guest address where there is a second stage.
      this.pasid = random.chance(30) && !this.supervisor ? undefined : random.below(256);
      const directory = second === null ? allocate(4096) : this.#allocateGuest(4096);
      this.iommu.process(this.#host(directory), 1, this.pasid ?? 0, V | 2n, fsc, sbe);
      root = pointer(1n, directory);
      tc |= PDTV | DPE;
    }
    this.device = device;
    const iohgatp = this.second === null ? 0n : pointer(second!.mode, this.second.table.root);
    this.iommu.device(device, { tc, iohgatp, fsc: root });
  }

  readonly device: number;

  /** Fills the tables, then walks every page back. */
  run(pages: number): void {
    const { random } = this;
    for (let i = 0; i < pages; i++) this.#addPage();
    const outermost = this.first ?? this.second;
    for (const mapping of outermost?.list ?? []) {
      const inside = mapping.base + random.bits(mapping.shift);
      this.#check(inside, random.pick(["r", "w", "rw", "x"]));
    }
  }

  #addPage(): void {
    const { random, first, second } = this;
    if (first !== null) {
      const flags = this.supervisor ? leafFlags(random) ^ U : leafFlags(random);
      if (!first.add(random, this.#input(first.table.scheme), flags)) return;
    }
    // Pages of the second stage stand where the first stage points, or anywhere.
    if (second === null) return;
    const target =
      first === null ? this.#guestInput(second.table.scheme) : this.#targetOf(first.list.at(-1)!);
    // A large first-stage page may reach beyond what the second stage takes; nothing is mapped there.
    if (target >> BigInt(this.#guestWidth) === 0n) second.add(random, target, leafFlags(random));
  }

  /** Where the request asked for in `#check` arrives: any place in the page, so map around its base. */
  #targetOf(mapping: Mapping): bigint {
    const within = this.random.bits(mapping.shift);
    this.#probe.set(mapping.base, within);
    return mapping.pa + within;
  }

  readonly #probe = new Map<bigint, bigint>();

  #check(addr: bigint, access: Access): void {
    const { first, second } = this;
    // Half of the requests go where the second stage was mapped for them.
    const within = this.#probe.get(first?.find(addr)?.base ?? -1n);
    const iova = within !== undefined && this.random.chance(70) ? first!.find(addr)!.base + within : addr;
    const out = this.iommu.walk(this.device, BigInt.asUintN(64, iova), {
      access,
      priv: this.supervisor,
      ...(this.pasid === undefined ? {} : { pasid: this.pasid }),
    });
    this.checked++;
    const where = `0x${BigInt.asUintN(64, iova).toString(16)} ${access}`;
    let gpa = iova;
    let size = 64n;
    if (first !== null) {
      const m = first.find(iova)!;
      if (stops(m, access, this.supervisor, this.updates1)) {
        matching(out, { result: "fault", code: PAGE_FAULT[access], stage: 1 }, where);
        return;
      }
      gpa = m.pa + (iova - m.base);
      size = BigInt(m.shift);
    }
    if (second !== null) {
      const m = second.find(gpa);
      if (stops(m, access, false, this.updates2)) {
        matching(out, { result: "fault", code: GUEST_FAULT[access], stage: 2 }, where);
        if (first !== null) identical(out.faultAddr, gpa);
        return;
      }
      gpa = m!.pa + (gpa - m!.base);
      if (BigInt(m!.shift) < size) size = BigInt(m!.shift);
    }
    matching(out, { result: "ok", pa: gpa, page: 1n << size }, where);
    this.translated++;
  }

  /** An input address with its sign extended, as the mapping list keeps it: unsigned 64 bits. */
  #input(scheme: Scheme): bigint {
    const bits = pageShift(scheme, scheme.levels) + scheme.indexBits;
    const value = this.random.bits(bits) & ~0xfffn;
    return scheme === SV32 ? value : BigInt.asUintN(64, BigInt.asIntN(bits, value));
  }

  #guestInput(scheme: Scheme): bigint {
    return this.random.bits(guestBits(scheme)) & ~0xfffn;
  }

  readonly #allocateGuest = (bytes: number): bigint => {
    const guest = this.#guest;
    this.#guest += 4096n;
    const host = this.iommu.allocate(bytes);
    this.#guests.set(guest, host);
    const flags = V | R | W | U | A | D;
    while (!this.second!.table.map(guest, host, 1, flags))
      throw new Error("a page covers the guest's tables");
    this.second!.list.push({ base: guest, shift: 12, pa: host, flags });
    return guest;
  };

  #host(address: bigint): bigint {
    const host = this.#guests.get(address & ~0xfffn);
    return host === undefined ? address : host + (address & 0xfffn);
  }
}

describe("random tables", () => {
  const pairs: [Scheme | null, Scheme | null][] = [];
  for (const first of [null, ...SCHEMES])
    for (const second of [null, ...SCHEMES]) {
      if (first === null && second === null) continue;
      // Sv32x4 is for harts whose first stage is Sv32.
      if (second?.narrow && first !== null && !first.narrow) continue;
      pairs.push([first, second]);
    }

  it("walk back to what was mapped, in every pair of schemes: at least 10,000 pages", () => {
    let checked = 0;
    let translated = 0;
    pairs.forEach(([first, second], i) => {
      for (let seed = 0; seed < 4; seed++) {
        const machine = new Machine(7919 * (i + 1) + 104729 * seed, first, second);
        machine.run(260);
        checked += machine.checked;
        translated += machine.translated;
      }
    });
    expect(translated).toBeGreaterThan(10_000);
    // Most of the others fault as they should.
    expect(checked).toBeGreaterThan(20_000);
  });
});

describe("any bytes", () => {
  /** The longest walk: 5 x (5 + 1) + 5 of nested Sv57, 3 of the device directory, 3 x 6 of the process directory, MSI. */
  const LONGEST = 3 + 18 + 35 + 1;
  const word = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
  const number = (max: number) => fc.nat({ max });

  it("terminate, never throw, read a bounded number of entries, and fail with a cause of the table", () => {
    const codes = new Set(RISCV_FAULTS.map((fault) => fault.code));
    fc.assert(
      fc.property(
        fc.record({
          words: fc.array(word, { minLength: 8, maxLength: 64 }),
          pointers: fc.array(number(7), { minLength: 8, maxLength: 64 }),
          capabilities: word,
          fctl: number(7),
          ddtMode: number(15),
          requests: fc.array(
            fc.record({
              device: number(2 ** 24),
              pasid: fc.integer({ min: -1, max: 2 ** 20 - 1 }),
              addr: word,
            }),
            { minLength: 1, maxLength: 8 },
          ),
          shape: number(3),
        }),
        ({ words, pointers, capabilities, fctl, ddtMode, requests, shape }) => {
          const memory = new TableMemory();
          // Eight pages, full of words of which most point to one of the eight: walks that loop.
          for (let page = 0n; page < 8n; page++)
            for (let i = 0; i < 512; i++) {
              const random = words[(i * 7 + Number(page)) % words.length]!;
              const next = BigInt(pointers[(i + Number(page)) % pointers.length]!);
              const value =
                shape === 0
                  ? random
                  : shape === 1
                    ? (next << 10n) | V
                    : shape === 2
                      ? i % 8 === 0
                        ? (random & 0xfe1n) | V
                        : (BigInt(8 + (i % 3)) << 60n) | next
                      : (next << 10n) | (random & 0xffn) | V;
              memory.write64(page * 4096n + BigInt(i * 8), value, (fctl & 1) === 0);
            }
          const walker = new RiscvWalker(memory);
          const state = new IommuState();
          const set = (name: string, value: bigint) =>
            state.registers.set(name, {
              hi: Number(value >> 32n) | 0,
              lo: Number(value & 0xffff_ffffn) | 0,
            });
          set("capabilities", capabilities);
          set("fctl", BigInt(fctl));
          set("ddtp", BigInt(ddtMode));
          walker.configure(state);
          const engine = new WalkEngine(walker);
          const request = new WalkRequest();
          for (const { device, pasid, addr } of requests)
            for (const access of [READ, WRITE, READ | WRITE, EXECUTE]) {
              request.device = device & (shape === 0 ? -1 : 0x3f);
              request.pasid = pasid < 0 ? NO_PASID : pasid;
              request.addrHi = Number(addr >> 32n) | 0;
              request.addrLo = Number(addr & 0xffff_ffffn) | 0;
              request.access = access;
              request.priv = (addr & 1n) !== 0n;
              const before = memory.fetches;
              const out = engine.walk(request);
              atMost(out.reads, LONGEST);
              atMost(memory.fetches - before, LONGEST);
              if (out.status === FAULT && !codes.has(out.fault!.code))
                expect(codes).toContain(out.fault!.code);
            }
        },
      ),
      { numRuns: 60, seed: 20260 },
    );
  });

  it("random entries of one table: the walker and a plain reading of the algorithm agree", () => {
    const iommu = new RiscvIommu();
    const table = new RiscvTable(iommu.memory, SV39, { allocate: iommu.allocate });
    iommu.device(1, { tc: TC_V, fsc: pointer(8n, table.root) });
    const va = 0x1234_5678_9000n & 0x3f_ffff_ffffn;
    const slots = [3, 2, 1].map((level) => table.entry(va, level)!);
    const flag = fc.bigInt({ min: 0n, max: 255n });
    const high = fc.constantFrom(
      0n,
      0n,
      0n,
      N,
      1n << 61n,
      2n << 61n,
      3n << 61n,
      1n << 60n,
      1n << 54n,
      1n << 58n,
    );
    const ppn = fc.constantFrom(0n, 8n, 0x10n, 0x200n, 0x4_0000n, 0x4_0008n, 0xfff_fffc_0000n);
    fc.assert(
      fc.property(flag, high, ppn, fc.constantFrom(0, 1, 2), (flags, top, page, depth) => {
        const saved = slots.map((slot) => table.read(slot));
        const entry = top | (page << 10n) | flags;
        table.write(slots[depth]!, entry);
        iommu.engine.drop();
        const out = iommu.walk(1, va, { access: "w" });
        slots.forEach((slot, i) => {
          table.write(slot, saved[i]!);
        });
        const level = 3 - depth;
        const isLeaf = (flags & (R | X)) !== 0n;
        const reserved = (top >> 54n) & 0x1fn;
        const software = 3n << 59n;
        const bad =
          (flags & V) === 0n ||
          (flags & (R | W)) === W ||
          reserved !== 0n ||
          top === 3n << 61n ||
          (top === N && level > 1) ||
          (!isLeaf && (level === 1 || (top & ~software) !== 0n || (flags & (D | A | U)) !== 0n)) ||
          (isLeaf && level > 1 && page % (1n << BigInt(9 * (level - 1))) !== 0n) ||
          (isLeaf && top === N && (page & 15n) !== 8n) ||
          (isLeaf && (U | W | A | D) !== (flags & (U | W | A | D)));
        if (bad) expect(out.code, entry.toString(16)).toBe(15);
        else if (isLeaf) expect(out.result, entry.toString(16)).toBe("ok");
        else expect(out.code, entry.toString(16)).toBeOneOf([7, 15]);
      }),
      { numRuns: 2000, seed: 4 },
    );
    expect(leaf(0x3000n, V)).toBe(0xc01n);
  });
});
