import { describe, expect, it } from "vitest";
import { covered, type Format, type Place, Radix, Scenario } from "./support/cache-scenario.ts";
import { type CdFields, cdWords, type SteFields, steWords } from "./support/smmuv3-machine.ts";

const STREAMS = 0x1_0000n;
const A = 0x1000_0000n;
const B = 0x1000_1000n;
const TAGGED = 0x1000_2000n;
const GLOBAL = 0x1000_3000n;
const LARGE = 0x4000_0000n;
const TAG = 0x5an << 56n;

// Descriptors (Arm DDI 0487, D8.3): table 0b11, block 0b01, page 0b11; AF 1 << 10, AP[1] 1 << 6, nG 1 << 11.
const NG = 0x800n;
const stage1 = (levels: number, bits: number, pageBits: number, attributes = NG): Format => ({
  levels,
  bits,
  pageBits,
  table: (next) => next | 3n,
  leaf: (pa, level) => pa | (level === 1 ? 3n : 1n) | 0x440n | attributes,
});
const FOUR_K = stage1(4, 9, 12);
const SIXTEEN_K = stage1(3, 11, 14);
// Stage 2: S2AP 0b11 at bits 7:6.
const STAGE2: Format = {
  levels: 3,
  bits: 9,
  pageBits: 12,
  table: (next) => next | 3n,
  leaf: (pa, level) => pa | (level === 1 ? 3n : 1n) | 0x4c0n,
};
const SYNC = [0x46n, 0n] as const;

class Smmu extends Scenario {
  #pages = 0x8000_0000n;

  constructor(regs: Readonly<Record<string, bigint>> = {}) {
    super("arm-smmuv3", { strtab_base: STREAMS, strtab_base_cfg: 8n, ...regs });
  }

  ste(sid: number, fields: SteFields): void {
    this.put(STREAMS + BigInt(sid) * 64n, ...steWords({ V: 1, ...fields }));
  }

  cd(at: bigint, table: Radix, asid: number, more: CdFields = {}): void {
    const fields = { V: 1, AA64: 1, A: 1, R: 1, IPS: 5, EPD1: 1, T0SZ: 16, TG0: 0, TTB0: table.root };
    this.put(at, ...cdWords({ ...fields, ASID: asid, ...more }));
  }

  /** A stream with a stage 1 of its own, alone or over a stage 2. */
  stream(sid: number, table: Radix, asid: number, ste: SteFields = {}, cd: CdFields = {}): void {
    const context = this.allocate(64n);
    this.cd(context, table, asid, cd);
    this.ste(sid, { Config: 5, S1ContextPtr: context, ...ste });
  }

  page(bytes = 0x1000n): bigint {
    this.#pages = (this.#pages + 2n * bytes - 1n) & ~(bytes - 1n);
    return this.#pages;
  }

  place(sid: number, table: Radix, addr: bigint, level = 1, tag = 0n): Place {
    const bytes = 1n << table.shift(level);
    const old = this.page(bytes);
    const offset = level === 1 ? 0n : 0x5000n;
    table.map(addr, old, level);
    return {
      request: { dev: `sid:${sid}`, addr: addr + offset + tag },
      old: old + offset,
      change: () => table.map(addr, this.page(bytes), level),
    };
  }
}

/** Stage 2 of 39 bits from level 1, S2SL0 1. */
const stage2Fields = (table: Radix, vmid: number): SteFields => ({
  S2T0SZ: 25,
  S2TG: 0,
  S2SL0: 1,
  S2PS: 5,
  S2AA64: 1,
  S2R: 1,
  S2TTB: table.root,
  S2VMID: vmid,
});

function translations(e2h: bigint): { s: Smmu; places: Record<string, Place> } {
  const s = new Smmu({ cr2: e2h });
  const tables = Array.from({ length: 6 }, () => new Radix(s, FOUR_K)) as [Radix, ...Radix[]];
  const [s1, otherAsid, otherVmid, el2, nested, shared] = tables as [
    Radix,
    Radix,
    Radix,
    Radix,
    Radix,
    Radix,
  ];
  const globals = new Radix(s, stage1(4, 9, 12, 0n));
  const wide = new Radix(s, SIXTEEN_K);
  const host = new Radix(s, STAGE2);
  const identity = new Radix(s, STAGE2);
  for (let gib = 0n; gib < 4n; gib++) identity.map(gib << 30n, gib << 30n, 3);
  s.stream(1, s1, 5, { S2VMID: 1 }, { TBI0: 1 });
  s.stream(2, otherAsid, 6, { S2VMID: 1 });
  s.stream(3, otherVmid, 5, { S2VMID: 2 });
  s.stream(4, wide, 5, { S2VMID: 1 }, { TG0: 2, T0SZ: 17 });
  s.stream(5, globals, 9, { S2VMID: 1 });
  s.stream(6, el2, 5, { STRW: 2 });
  s.ste(7, { Config: 6, ...stage2Fields(host, 3) });
  s.stream(8, nested, 5, { ...stage2Fields(identity, 3), Config: 7 });
  s.stream(9, shared, 5, { S2VMID: 4 });
  const places = {
    a: s.place(1, s1, A),
    b: s.place(1, s1, B),
    tagged: s.place(1, s1, TAGGED, 1, TAG),
    large: s.place(1, s1, LARGE, 2),
    "ASID 6 a": s.place(2, otherAsid, A),
    "VMID 2 a": s.place(3, otherVmid, A),
    "16k a": s.place(4, wide, A),
    "global a": s.place(5, globals, GLOBAL),
    "EL2 a": s.place(6, el2, A),
    "s2 a": s.place(7, host, A),
    "s2 b": s.place(7, host, B),
    "nested a": s.place(8, nested, A),
    "VMID 4 a": s.place(9, shared, A),
  };
  return { s, places };
}

const NAMES = Object.keys(translations(0n).places);
const EL1 = NAMES.filter((name) => name !== "EL2 a");
const VMID1 = ["a", "b", "tagged", "large", "ASID 6 a", "16k a", "global a"];
const op = (code: bigint, vmid = 0n, asid = 0n) => code | (vmid << 32n) | (asid << 48n);
/** Range and hint (4.4.1.1): NUM at 16:12 and SCALE at 24:20 of the first, TTL at 9:8 and TG at 11:10 of the second doubleword. */
const ranged = (code: bigint, num: bigint, scale: bigint) => code | (num << 12n) | (scale << 20n);
const hint = (addr: bigint, tg: bigint, ttl: bigint) => addr | (ttl << 8n) | (tg << 10n);

describe("SMMUv3: what a TLB invalidation covers", () => {
  const cells: [string, [bigint, bigint], string[]][] = [
    ["NH_ALL of VMID 1", [op(0x10n, 1n), 0n], VMID1],
    ["NH_ALL of VMID 3", [op(0x10n, 3n), 0n], ["nested a"]],
    [
      "NH_ASID of VMID 1, ASID 5",
      [op(0x11n, 1n, 5n), 0n],
      VMID1.filter((name) => !/ASID 6|global/.test(name)),
    ],
    ["NH_ASID of VMID 1, ASID 9, whose only entry is global", [op(0x11n, 1n, 9n), 0n], []],
    ["NH_VA a", [op(0x12n, 1n, 5n), A], ["a", "16k a"]],
    ["NH_VA a, leaf", [op(0x12n, 1n, 5n), A | 1n], ["a", "16k a"]],
    [
      "NH_VA of another ASID drops the global page, and the 16 KiB around it",
      [op(0x12n, 1n, 5n), GLOBAL],
      ["16k a", "global a"],
    ],
    ["NH_VA anywhere in the block", [op(0x12n, 1n, 5n), LARGE + 0x1f_f000n], ["large"]],
    ["NH_VA behind the block", [op(0x12n, 1n, 5n), LARGE + 0x20_0000n], []],
    ["NH_VA of a page made under a tagged address", [op(0x12n, 1n, 5n), TAGGED], ["tagged", "16k a"]],
    ["NH_VA by a tagged address: TBI need not apply", [op(0x12n, 1n, 5n), TAG | A], []],
    ["NH_VA of VMID 2", [op(0x12n, 2n, 5n), A], ["VMID 2 a"]],
    ["NH_VA of VMID 3", [op(0x12n, 3n, 5n), A], ["nested a"]],
    ["NH_VAA a", [op(0x13n, 1n), A], ["a", "ASID 6 a", "16k a"]],
    ["NH_VA, two pages of 4 KiB", [ranged(op(0x12n, 1n, 5n), 1n, 0n), hint(A, 1n, 0n)], ["a", "b"]],
    [
      "NH_VA, 4 pages of 4 KiB by SCALE",
      [ranged(op(0x12n, 1n, 5n), 1n, 1n), hint(A, 1n, 3n)],
      ["a", "b", "tagged", "global a"],
    ],
    ["NH_VA, 16 KiB granule", [ranged(op(0x12n, 1n, 5n), 1n, 0n), hint(A, 2n, 0n)], ["16k a"]],
    ["NH_VA, 64 KiB granule", [ranged(op(0x12n, 1n, 5n), 1n, 0n), hint(A, 3n, 0n)], []],
    ["NH_VA, level 3 hint", [op(0x12n, 1n, 5n), hint(A, 1n, 3n)], ["a"]],
    ["NH_VA, level 2 hint at the block", [op(0x12n, 1n, 5n), hint(LARGE, 1n, 2n)], ["large"]],
    ["NH_VA, level 3 hint at the block", [op(0x12n, 1n, 5n), hint(LARGE, 1n, 3n)], []],
    ["S12_VMALL of VMID 1", [op(0x28n, 1n), 0n], VMID1],
    ["S12_VMALL of VMID 3", [op(0x28n, 3n), 0n], ["s2 a", "s2 b", "nested a"]],
    ["S2_IPA a", [op(0x2an, 3n), A], ["s2 a"]],
    ["S2_IPA leaves what both stages made", [op(0x2an, 3n), 0x8000_1000n], []],
    ["S2_IPA of VMID 1", [op(0x2an, 1n), A], []],
    ["NSNH_ALL", [0x30n, 0n], EL1],
    ["EL2_ALL", [0x20n, 0n], ["EL2 a"]],
    ["EL2_VA a", [op(0x22n, 0n, 5n), A], ["EL2 a"]],
    ["EL2_VA b", [op(0x22n, 0n, 5n), B], []],
    ["EL2_VAA a", [0x23n, A], ["EL2 a"]],
    ["EL2_ASID 5: without E2H entries have no ASID", [op(0x21n, 0n, 5n), 0n], []],
    ["CFGI_ALL", [4n, 31n], []],
    ["a Secure one is refused", [0x60n, 0n], []],
  ];
  it.each(cells)("%s", async (_name, words, expected) => {
    const { s, places } = translations(0n);
    const found = await covered(s, places, () => s.cmd(...words).cmd(...SYNC));
    expect(found.sort()).toEqual([...expected].sort());
  });

  const e2h: [string, [bigint, bigint], string[]][] = [
    ["EL2_ALL", [0x20n, 0n], ["EL2 a"]],
    ["EL2_ASID 5", [op(0x21n, 0n, 5n), 0n], ["EL2 a"]],
    ["EL2_ASID 6", [op(0x21n, 0n, 6n), 0n], []],
    ["EL2_VA a of ASID 5", [op(0x22n, 0n, 5n), A], ["EL2 a"]],
    ["EL2_VA a of ASID 6", [op(0x22n, 0n, 6n), A], []],
    ["EL2_VAA a", [0x23n, A], ["EL2 a"]],
    ["NSNH_ALL", [0x30n, 0n], EL1],
    ["NH_VA a of ASID 5", [op(0x12n, 0n, 5n), A], []],
  ];
  it.each(e2h)("EL2-E2H: %s", async (_name, words, expected) => {
    const { s, places } = translations(1n);
    const found = await covered(s, places, () => s.cmd(...words).cmd(...SYNC));
    expect(found.sort()).toEqual([...expected].sort());
  });

  it("a level hint leaves what a block gave, though its pages have given the same since", async () => {
    const s = new Smmu();
    const table = new Radix(s, FOUR_K);
    const second = new Radix(s, STAGE2);
    for (let gib = 0n; gib < 3n; gib++) second.map(gib << 30n, gib << 30n, 3);
    const [before, after] = [0xc000_0000n, 0xc020_0000n];
    second.map(before, 0x8000_0000n).map(after, 0x9000_0000n);
    s.stream(1, table, 5, { ...stage2Fields(second, 3), Config: 7 });
    const request = { dev: "sid:1", addr: LARGE };
    table.map(LARGE, before, 2);
    const seqs = [s.dma(request, 0x8000_0000n)];
    table.map(LARGE, before);
    seqs.push(s.dma(request, 0x8000_0000n));
    table.map(LARGE, after);
    s.cmd(op(0x12n, 3n, 5n), hint(LARGE, 1n, 3n)).cmd(...SYNC);
    seqs.push(s.dma(request, 0x8000_0000n));
    s.cmd(op(0x12n, 3n, 5n), hint(LARGE, 1n, 2n)).cmd(...SYNC);
    seqs.push(s.dma(request, 0x8000_0000n));
    const run = await s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual([
      "match",
      "match",
      "stale",
      "stale-after-invalidation",
    ]);
  });

  it("the neutral form knows no regimes", async () => {
    const { s, places } = translations(0n);
    const found = await covered(s, places, () => s.inv({ cache: "iotlb", granularity: "global" }));
    expect(found.sort()).toEqual([...NAMES].sort());
  });
});

/** No table entry leads both here and to A: none that is cached of the one helps the other. */
const X = 0x100_5000_0000n;

describe("SMMUv3: what a configuration invalidation covers", () => {
  const SUBSTREAMS = { S1CDMax: 2, S1Fmt: 0, S1DSS: 2 } as const;

  function twoTables(s: Smmu): [Radix, Radix] {
    const table = (x: bigint) => new Radix(s, FOUR_K).map(A, 0x9000_0000n).map(X, x);
    return [table(0xa000_0000n), table(0xb000_0000n)];
  }

  /** CD number `index` of a stream, which changes its tables. */
  function cdPlace(s: Smmu, sid: number, cds: bigint, index: number, pasid: number | undefined): Place {
    const [before, after] = twoTables(s);
    const at = cds + BigInt(index) * 64n;
    // Address spaces of their own: streams that share an ASID share translations.
    const asid = sid * 4 + index;
    s.cd(at, before, asid);
    const by = { dev: `sid:${sid}`, pasid };
    return {
      request: { ...by, addr: A },
      probe: { ...by, addr: X },
      old: 0xa000_0000n,
      change: () => s.cd(at, after, asid),
    };
  }

  /** An STE that changes the CD it points to. */
  function stePlace(s: Smmu, sid: number): Place {
    const [before, after] = twoTables(s);
    const [first, second] = [before, after].map((table) => {
      const at = s.allocate(64n);
      s.cd(at, table, sid);
      return at;
    });
    s.ste(sid, { Config: 5, S1ContextPtr: first! });
    const by = { dev: `sid:${sid}` };
    return {
      request: { ...by, addr: A },
      probe: { ...by, addr: X },
      old: 0xa000_0000n,
      change: () => s.ste(sid, { Config: 5, S1ContextPtr: second! }),
    };
  }

  function contexts() {
    const s = new Smmu();
    const [first, second] = [s.allocate(256n), s.allocate(256n)];
    s.ste(16, { Config: 5, S1ContextPtr: first, ...SUBSTREAMS });
    s.ste(17, { Config: 5, S1ContextPtr: second, ...SUBSTREAMS });
    const places = {
      "CD 1 of 16": cdPlace(s, 16, first, 1, 1),
      "CD 2 of 16": cdPlace(s, 16, first, 2, 2),
      "CD 0 of 16": cdPlace(s, 16, first, 0, undefined),
      "CD 1 of 17": cdPlace(s, 17, second, 1, 1),
      "STE 18": stePlace(s, 18),
      "STE 24": stePlace(s, 24),
    };
    return { s, places };
  }
  const names = Object.keys(contexts().places);
  const sid = (code: bigint, id: bigint, ssid = 0n) => code | (ssid << 12n) | (id << 32n);
  const cells: [string, [bigint, bigint], string[]][] = [
    ["CFGI_ALL", [4n, 31n], names],
    ["CFGI_STE 16", [sid(3n, 16n), 1n], names.filter((name) => name.endsWith("of 16"))],
    ["CFGI_STE 18", [sid(3n, 18n), 1n], ["STE 18"]],
    ["CFGI_STE_RANGE of eight", [sid(4n, 17n), 2n], names.filter((name) => name !== "STE 24")],
    ["CFGI_STE_RANGE of two", [sid(4n, 25n), 0n], ["STE 24"]],
    ["CFGI_CD 1 of 16", [sid(5n, 16n, 1n), 1n], ["CD 1 of 16"]],
    ["CFGI_CD 0 of 16: what a request without SubstreamID uses", [sid(5n, 16n), 1n], ["CD 0 of 16"]],
    ["CFGI_CD_ALL of 16", [sid(6n, 16n), 0n], names.filter((name) => name.endsWith("of 16"))],
    ["CFGI_CD_ALL of 18 leaves the STE", [sid(6n, 18n), 0n], []],
    ["NSNH_ALL", [0x30n, 0n], []],
  ];
  it.each(cells)("%s", async (_name, words, expected) => {
    const { s, places } = contexts();
    const found = await covered(s, places, () => s.cmd(...words).cmd(...SYNC));
    expect(found.sort()).toEqual([...expected].sort());
  });

  /** 3.21.3: configuration structures may be cached whether they are valid or not. */
  it("an invalid STE may be cached too", async () => {
    const s = new Smmu();
    const table = new Radix(s, FOUR_K).map(A, 0x9000_0000n);
    const context = s.allocate(64n);
    s.cd(context, table, 5);
    s.dma({ dev: "sid:3", addr: A }, { code: 4n });
    s.ste(3, { Config: 5, S1ContextPtr: context });
    const before = s.dma({ dev: "sid:3", addr: A }, { code: 4n });
    const hazard = s.dma({ dev: "sid:3", addr: A });
    s.cmd(sid(3n, 3n), 1n).cmd(...SYNC);
    const after = s.dma({ dev: "sid:3", addr: A }, { code: 4n });
    const run = await s.run();
    expect([before, hazard, after].map((seq) => run.verdict(seq))).toEqual([
      "stale",
      "hazard",
      "stale-after-invalidation",
    ]);
    expect(run.rules()).toEqual(["late-invalidation"]);
  });

  /** 3.21.3: what an SMMU could not read it does not remember. */
  it("an STE that could not be read is not cached", async () => {
    const s = new Smmu({ strtab_base: 0x1_0000_0000n });
    const request = { dev: "sid:3", addr: A };
    const seqs = [s.dma(request, { code: 3n })];
    s.add({ type: "ram", addr: "0x100000000", size: "0x1000" });
    s.put(0x1_0000_00c0n, ...steWords({ V: 1, Config: 4 }));
    seqs.push(s.dma(request), s.dma(request, { code: 3n }), s.dma(request, A));
    const run = await s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual(["match", "", "mismatch", "match"]);
  });

  /** 3.21.1: of translations, only valid ones are cached. */
  it("a translation fault is never cached", async () => {
    const s = new Smmu();
    const table = new Radix(s, FOUR_K).map(B, 0x9000_0000n);
    s.stream(1, table, 5);
    s.dma({ dev: "sid:1", addr: A }, { code: 0x10n });
    table.map(A, 0x9000_0000n);
    const seq = s.dma({ dev: "sid:1", addr: A }, { code: 0x10n });
    expect((await s.run()).verdict(seq)).toBe("mismatch");
  });
});

it("SMMUv3: a translation of another stream's serves one that has substreams which that one has not", async () => {
  const s = new Smmu();
  const [mine, others] = [new Radix(s, FOUR_K), new Radix(s, FOUR_K)];
  others.map(A, 0x9000_0000n);
  mine.map(X, 0xa000_0000n);
  const cds = s.allocate(1024n);
  s.cd(cds + 64n * 9n, mine, 5);
  s.ste(2, { Config: 5, S1ContextPtr: cds, S1CDMax: 4, S1DSS: 2 });
  // Without substreams, and of the same ASID and VMID (IHI 0070, 3.17).
  s.stream(1, others, 5);
  s.dma({ dev: "sid:1", addr: A }, 0x9000_0000n);
  const hit = s.dma({ dev: "sid:2", pasid: 9, addr: A }, 0x9000_0000n);
  const refused = s.dma({ dev: "sid:1", pasid: 9, addr: A }, 0x9000_0000n);
  const run = await s.run();
  expect(run.outcome(hit)).toMatchObject({ result: "fault", verdict: "stale" });
  expect(run.verdict(refused)).toBe("mismatch");
});
