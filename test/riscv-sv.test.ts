import { describe, expect, it } from "vitest";
import {
  A,
  D,
  FULL,
  G,
  GADE,
  leaf,
  N,
  PDTV,
  pageShift,
  pointer,
  putWord,
  R,
  RiscvTable,
  RWX,
  SADE,
  SBE,
  SCHEMES,
  type Scheme,
  SV32,
  SV39,
  SV48,
  SV57,
  SXL,
  TC_V,
  U,
  V,
  W,
  X,
} from "./support/riscv-builder.ts";
import { ALL_CAPABILITIES, RiscvIommu, type RiscvOptions, type Seen } from "./support/riscv-iommu.ts";

/** Sv32's superpage. */
const FOUR_MIB = 0x40_0000n;

/** A device behind a first stage, a second stage, or both; `null` is Bare. */
interface Stages {
  readonly iommu: RiscvIommu;
  readonly first: RiscvTable;
  readonly second: RiscvTable;
  readonly walk: (addr: bigint, access?: "r" | "w" | "rw" | "x") => Seen;
}

interface Wanted {
  readonly first?: Scheme | null;
  readonly second?: Scheme | null;
  readonly tc?: bigint;
  readonly options?: RiscvOptions;
  /** Where the first stage's tables are in guest memory; they are mapped one to one from there on. */
  readonly guest?: bigint;
}

const GUEST_TABLES = 0x3000_0000n;

function stages({ first = null, second = null, tc = 0n, options = {}, guest }: Wanted): Stages {
  const narrow = first?.narrow === true || second?.narrow === true;
  const fctl = (options.fctl ?? 0n) | (second?.narrow ? 4n : 0n);
  const iommu = new RiscvIommu({ ...options, fctl });
  const allocate = iommu.allocate;
  const hostTable = new RiscvTable(iommu.memory, second ?? SV39, { x4: true, big: iommu.big, allocate });
  const hosts = new Map<bigint, bigint>();
  let next = guest ?? GUEST_TABLES;
  const allocateGuest = () => {
    const address = next;
    next += 4096n;
    const host = iommu.allocate(4096);
    hosts.set(address, host);
    expect(hostTable.map(address, host)).toBe(true);
    return address;
  };
  const where = (address: bigint) => hosts.get(address & ~0xfffn)! + (address & 0xfffn);
  const big = (tc & SBE) !== 0n;
  const firstTable = new RiscvTable(
    iommu.memory,
    first ?? SV39,
    second === null ? { big, allocate } : { big, allocate: allocateGuest, where },
  );
  iommu.device(1, {
    tc: TC_V | tc | (narrow ? SXL : 0n),
    iohgatp: second === null ? 0n : pointer(second.mode, hostTable.root) | (0x1234n << 44n),
    ta: 0x54321n << 12n,
    fsc: first === null ? 0n : pointer(first.mode, firstTable.root),
  });
  return {
    iommu,
    first: firstTable,
    second: hostTable,
    walk: (addr, access = "r") => iommu.walk(1, addr, { access }),
  };
}

describe("page sizes", () => {
  it("are the specification's", () => {
    const shifts = (s: Scheme) => Array.from({ length: s.levels }, (_, i) => pageShift(s, i + 1));
    expect(shifts(SV32)).toEqual([12, 22]);
    expect(shifts(SV57)).toEqual([12, 21, 30, 39, 48]);
  });
});

/** A virtual address whose index differs at every level, in the upper half where the scheme has one. */
function someAddress(scheme: Scheme, x4: boolean): bigint {
  const bits = BigInt(pageShift(scheme, scheme.levels) + scheme.indexBits + (x4 ? 2 : 0));
  const pattern = 0xb6d5_a3c9_7e1f_4d82n & ((1n << bits) - 1n);
  if (x4 || scheme === SV32) return pattern | (1n << (bits - 1n));
  return BigInt.asUintN(64, BigInt.asIntN(Number(bits), pattern | (1n << (bits - 1n))));
}

const CASES = SCHEMES.flatMap((scheme) =>
  Array.from({ length: scheme.levels }, (_, i) => ({ scheme, name: scheme.name, level: i + 1 })),
);

describe.each([
  ["little-endian", 0n, 0n],
  ["fctl.BE", 1n, 0n],
  ["tc.SBE", 0n, SBE],
  ["both big-endian", 1n, SBE],
])("%s", (_, fctl, sbe) => {
  it.each(CASES)("$name first stage, level $level", ({ scheme, level }) => {
    const { first, walk } = stages({ first: scheme, tc: sbe, options: { fctl } });
    const va = someAddress(scheme, false);
    const size = 1n << BigInt(pageShift(scheme, level));
    const pa = 0x9_8765_4321_0000n & ((1n << (scheme === SV32 ? 34n : 56n)) - 1n) & ~(size - 1n);
    first.map(va, pa, level);
    expect(walk(va, "w")).toMatchObject({
      pa: pa | (va & (size - 1n)),
      page: size,
      perm: "rwx",
      asid: 0x54321,
      domain: -1,
      passthrough: false,
      reads: 1 + scheme.levels - level + 1,
    });
    // The first and last byte of the page are in it; the next ones are not.
    const base = va & ~(size - 1n);
    expect(walk(base + size - 1n).pa).toBe(pa + size - 1n);
    expect(walk(base).pa).toBe(pa);
    if (level < scheme.levels)
      expect(walk(BigInt.asUintN(64, base ^ size))).toMatchObject({ code: 13, level });
  });

  it.each(CASES)("$name second stage, level $level", ({ scheme, level }) => {
    const { second, walk } = stages({ second: scheme, tc: sbe, options: { fctl } });
    const gpa = someAddress(scheme, true);
    const size = 1n << BigInt(pageShift(scheme, level));
    const pa = 0x5_8765_4321_0000n & ((1n << (scheme === SV32 ? 34n : 56n)) - 1n) & ~(size - 1n);
    second.map(gpa, pa, level);
    expect(walk(gpa, "x")).toMatchObject({
      pa: pa | (gpa & (size - 1n)),
      page: size,
      domain: 0x1234,
      asid: -1,
      reads: 1 + scheme.levels - level + 1,
    });
  });

  it.each([
    [SV32, SV32],
    [SV32, SV39],
    [SV39, SV39],
    [SV39, SV48],
    [SV48, SV39],
    [SV48, SV57],
    [SV57, SV48],
    [SV57, SV57],
  ])("nested $name over $name", (schemeOne, schemeTwo) => {
    const { first, second, walk } = stages({
      first: schemeOne,
      second: schemeTwo,
      tc: sbe,
      options: { fctl },
    });
    const va = someAddress(schemeOne, false);
    first.map(va, 0x1_2345_6000n);
    second.map(0x1_2345_6000n, 0x2_89ab_c000n);
    const reads = 1 + schemeOne.levels * (schemeTwo.levels + 1) + schemeTwo.levels;
    expect(walk(va, "rw")).toMatchObject({
      pa: 0x2_89ab_c000n | (va & 0xfffn),
      page: 4096n,
      asid: 0x54321,
      domain: 0x1234,
      reads,
    });
  });
});

describe("pages of two stages", () => {
  it("the smaller one counts", () => {
    const { first, second, walk } = stages({ first: SV32, second: SV32 });
    first.map(0x4000_0000n, 0x5000_0000n, 2);
    second.map(0x5000_0000n, 0x3_6000_0000n, 2);
    expect(walk(0x4001_2345n)).toMatchObject({ pa: 0x3_6001_2345n, page: FOUR_MIB });
    first.map(0x5000_0000n, 0x5000_1000n, 1);
    expect(walk(0x5000_0007n)).toMatchObject({ pa: 0x3_6000_1007n, page: 4096n });
    first.map(0x6000_0000n, 0x5400_0000n, 2);
    second.map(0x5400_2000n, 0x3_7000_0000n, 1);
    expect(walk(0x6000_2fffn)).toMatchObject({ pa: 0x3_7000_0fffn, page: 4096n });
  });

  it("NAPOT over a superpage, and under one", () => {
    const { first, second, walk } = stages({ first: SV39, second: SV48 });
    first.mapNapot(0x1_0000n, 0x8000_0000n);
    second.map(0x8000_0000n, 0x12_0000_0000n, 3);
    expect(walk(0x1_9abcn)).toMatchObject({ pa: 0x12_0000_9abcn, page: 0x1_0000n });
    first.map(0x20_0000n, 0xc020_0000n, 2);
    second.mapNapot(0xc025_0000n, 0x77_0000n);
    expect(walk(0x25_1234n)).toMatchObject({ pa: 0x77_1234n, page: 0x1_0000n });
  });
});

describe("first-stage faults", () => {
  it("input addresses: bits above the scheme's equal its highest; of Sv32 they are zero", () => {
    for (const [scheme, bits] of [
      [SV39, 39n],
      [SV48, 48n],
      [SV57, 57n],
    ] as const) {
      const { first, walk } = stages({ first: scheme });
      const half = 1n << (bits - 1n);
      first.map(half - 4096n, 0x1000n);
      first.map(BigInt.asUintN(64, -half), 0x2000n);
      expect(walk(half - 1n).pa).toBe(0x1fffn);
      expect(walk(BigInt.asUintN(64, -half)).pa).toBe(0x2000n);
      for (const bad of [half, BigInt.asUintN(64, -half - 1n), 1n << 63n, (1n << 63n) - 1n])
        expect(walk(bad, "w")).toMatchObject({ code: 15, reason: "OOR_ADDRESS", stage: 1, reads: 1 });
    }
    const { first, walk } = stages({ first: SV32 });
    first.map(0xffff_f000n, 0x3_ffff_f000n);
    expect(walk(0xffff_ffffn).pa).toBe(0x3_ffff_ffffn);
    for (const bad of [1n << 32n, 0xffff_ffff_ffff_f000n, 1n << 63n])
      expect(walk(bad, "x")).toMatchObject({ code: 12, reason: "OOR_ADDRESS" });
  });

  const va = 0x12_3456_7000n;
  const outcome = (entry: bigint, level = 1, tc = 0n, options: RiscvOptions = {}) => {
    const { first, walk } = stages({ first: SV48, tc, options });
    first.set(va, level, entry);
    return (["r", "w", "rw", "x"] as const).map((access) => {
      const out = walk(va, access);
      return out.result === "ok" ? "ok" : `${out.code} ${out.reason}`;
    });
  };
  const every = (reason: string) => [`13 ${reason}`, `15 ${reason}`, `15 ${reason}`, `12 ${reason}`];
  const page = (flags: bigint) => leaf(0x9000n, flags);

  it("validity, and reserved bits and encodings", () => {
    expect(outcome(page(FULL))).toEqual(["ok", "ok", "ok", "ok"]);
    expect(outcome(page(FULL & ~V))).toEqual(every("PTE_FETCH"));
    // W without R: also the shadow-stack encoding X = 0, R = 0, W = 1.
    expect(outcome(page(FULL & ~R))).toEqual(every("BAD_PTE"));
    expect(outcome(page(FULL & ~R & ~X))).toEqual(every("BAD_PTE"));
    for (const bit of [54n, 58n]) expect(outcome(page(FULL) | (1n << bit))).toEqual(every("BAD_PTE"));
    // RSW is software's.
    expect(outcome(page(FULL | (3n << 8n)))).toEqual(["ok", "ok", "ok", "ok"]);
  });

  it("Svpbmt: NC and IO are types, 3 is reserved, all are without the extension", () => {
    const nothing = { capabilities: ALL_CAPABILITIES & ~(1n << 15n) };
    for (const [type, good] of [
      [1n, true],
      [2n, true],
      [3n, false],
    ] as const) {
      const entry = page(FULL) | (type << 61n);
      expect(outcome(entry)[0]).toBe(good ? "ok" : "13 BAD_PTE");
      expect(outcome(entry, 1, 0n, nothing)[0]).toBe("13 BAD_PTE");
      // In a pointer they are reserved.
      expect(outcome(leaf(0x9000n, V) | (type << 61n), 2)).toEqual(every("BAD_PTE"));
    }
  });

  it("Svrsw60t59b: bits 60:59 are software's only with the extension", () => {
    const nothing = { capabilities: ALL_CAPABILITIES & ~(1n << 14n) };
    for (const bit of [59n, 60n]) {
      expect(outcome(page(FULL) | (1n << bit))[0]).toBe("ok");
      expect(outcome(page(FULL) | (1n << bit), 1, 0n, nothing)[0]).toBe("13 BAD_PTE");
    }
  });

  it("Svnapot: only PPN[3:0] = 8, and only at the lowest level", () => {
    for (let low = 0n; low < 16n; low++) {
      const seen = outcome(N | leaf(0x5_0000n + (low << 12n), FULL))[0];
      expect(seen).toBe(low === 8n ? "ok" : "13 BAD_PTE");
    }
    expect(outcome(N | leaf(0x4000_0000n, FULL), 3)).toEqual(every("BAD_PTE"));
    expect(outcome(N | leaf(0x4000_8000n, FULL), 2)).toEqual(every("BAD_PTE"));
    expect(outcome(N | leaf(0x9000n, V), 3)).toEqual(every("BAD_PTE"));
  });

  it("pointers: D, A and U are reserved; none may stand at the lowest level", () => {
    for (const bit of [D, A, U]) expect(outcome(leaf(0x9000n, V | bit), 3)).toEqual(every("BAD_PTE"));
    expect(outcome(page(V))).toEqual(every("BAD_PTE"));
  });

  it("misaligned superpages, by every bit below their size", () => {
    for (const level of [2, 3, 4])
      for (let bit = 12; bit < pageShift(SV48, level); bit++)
        expect(outcome(leaf(1n << BigInt(bit), FULL), level)[0]).toBe("13 BAD_PTE");
    for (const level of [2, 3, 4])
      expect(outcome(leaf(1n << BigInt(pageShift(SV48, level)), FULL), level)[0]).toBe("ok");
    const { first, walk } = stages({ first: SV57 });
    first.set(0n, 5, leaf(1n << 47n, FULL));
    first.set(1n << 48n, 5, leaf(1n << 48n, FULL));
    expect(walk(0n).code).toBe(13);
    expect(walk((1n << 48n) + 0x7fff_ffff_ffffn)).toMatchObject({
      pa: (1n << 48n) + 0x7fff_ffff_ffffn,
      page: 1n << 48n,
    });
  });

  it("rights: R, W, X, and U for requests that are not supervisor's", () => {
    const denied = (flags: bigint) => outcome(page(V | U | A | D | flags)).map((s) => s !== "ok");
    expect(denied(R)).toEqual([false, true, true, true]);
    expect(denied(R | W)).toEqual([false, false, false, true]);
    expect(denied(X)).toEqual([true, true, true, false]);
    expect(denied(R | X)).toEqual([false, true, true, false]);
    expect(outcome(page(V | RWX | A | D))).toEqual(every("PERMISSION"));
    expect(outcome(page(V | R | U | A | D))[1]).toBe("15 PERMISSION");
  });

  it("A and D: faults without SADE, none with it", () => {
    expect(outcome(page(FULL & ~A))).toEqual(every("ACCESS"));
    expect(outcome(page(FULL & ~D))).toEqual(["ok", "15 PERMISSION", "15 PERMISSION", "ok"]);
    expect(outcome(page(FULL & ~A & ~D), 1, SADE)).toEqual(["ok", "ok", "ok", "ok"]);
    // Hardware sets no bits for an access that the page does not allow.
    expect(outcome(page(V | R | U), 1, SADE)[1]).toBe("15 PERMISSION");
    // GADE is about the second stage.
    expect(outcome(page(FULL & ~A), 1, GADE)).toEqual(every("ACCESS"));
  });

  it("perm is what the walk grants: W not where D would stop it", () => {
    const perm = (flags: bigint, tc = 0n) => {
      const { first, walk } = stages({ first: SV39, tc });
      first.set(0n, 1, page(flags));
      return walk(0n).perm;
    };
    expect(perm(FULL)).toBe("rwx");
    expect(perm(FULL & ~D)).toBe("r-x");
    expect(perm(FULL & ~D, SADE)).toBe("rwx");
    expect(perm(V | R | U | A | D)).toBe("r--");
  });

  it("global: the leaf, or a pointer above it", () => {
    const { first, walk } = stages({ first: SV39 });
    first.map(0n, 0x1000n);
    first.map(0x1000n, 0x1000n, 1, FULL | G);
    first.map(1n << 30n, 0x1000n);
    expect(walk(0n).global).toBe(false);
    expect(walk(0x1000n).global).toBe(true);
    const at = first.entry(1n << 30n, 3)!;
    first.write(at, first.read(at) | G);
    expect(walk(1n << 30n).global).toBe(true);
  });

  it("unreadable tables: an access fault of the original access", () => {
    const { iommu, first, walk } = stages({ first: SV39 });
    first.set(va & ~0x3fff_ffffn, 3, leaf(0x77_0000_0000n, V));
    const at = 0x77_0000_0000n + ((va >> 21n) & 511n) * 8n;
    for (const [access, code] of [
      ["r", 5],
      ["w", 7],
      ["rw", 7],
      ["x", 1],
    ] as const)
      expect(walk(va, access)).toMatchObject({
        code,
        reason: "WALK_EABT",
        stage: 1,
        level: 2,
        hole: true,
        entry: at,
      });
    iommu.state.props.set("pas", 38);
    iommu.reconfigure();
    expect(walk(va)).toMatchObject({ code: 5, hole: false, entry: at, reads: 2 });
    iommu.device(1, { tc: TC_V, fsc: pointer(8n, 0x99_0000_0000n) });
    expect(walk(va)).toMatchObject({ code: 5, reason: "PGD_FETCH", level: 3 });
  });

  it("report the failing entry", () => {
    const { iommu, first, walk } = stages({ first: SV32 });
    first.set(0x1234_5000n, 1, leaf(0x3_ffff_f000n, V | R | U));
    const entry = first.entry(0x1234_5000n, 1)!;
    expect(walk(0x1234_5678n, "w")).toMatchObject({
      code: 15,
      level: 1,
      entry,
      value: (0x3f_ffffn << 10n) | V | R | U,
      reads: 3,
    });
    // The four bytes after an Sv32 entry belong to the next one.
    putWord(iommu.memory, entry + 4n, 4, 0xffff_ffffn, false);
    expect(walk(0x1234_5678n, "w").value).toBe((0x3f_ffffn << 10n) | V | R | U);
  });
});

describe("second-stage faults", () => {
  it("input addresses: zero above 41, 50, 59 bits, and above 34 with SXL", () => {
    for (const [scheme, bits] of [
      [SV32, 34n],
      [SV39, 41n],
      [SV48, 50n],
      [SV57, 59n],
    ] as const) {
      const { second, walk } = stages({ second: scheme });
      second.map((1n << bits) - 4096n, 0x1000n);
      expect(walk((1n << bits) - 1n).pa).toBe(0x1fffn);
      for (const bad of [1n << bits, 1n << 63n, (1n << 64n) - 1n])
        expect(walk(bad)).toMatchObject({ code: 21, reason: "OOR_ADDRESS", stage: 2, flags: 0, reads: 1 });
    }
    const { second, walk } = stages({ second: SV48, tc: SXL });
    second.map((1n << 34n) - 4096n, 0x1000n);
    second.map(1n << 34n, 0x2000n);
    expect(walk((1n << 34n) - 1n).pa).toBe(0x1fffn);
    expect(walk(1n << 34n)).toMatchObject({ code: 21, reason: "OOR_ADDRESS" });
  });

  it("the root has 16 KiB", () => {
    for (const scheme of SCHEMES) {
      const { second, walk } = stages({ second: scheme });
      const top = BigInt(pageShift(scheme, scheme.levels) + scheme.indexBits);
      for (const quarter of [0n, 1n, 2n, 3n]) {
        const gpa = (quarter << top) | (1n << (top - 1n));
        second.map(gpa, (quarter + 1n) << 12n);
        expect(walk(gpa)).toMatchObject({ pa: (quarter + 1n) << 12n });
      }
    }
  });

  const gpa = 0x1_2345_6000n;
  const outcome = (flags: bigint, tc = 0n) => {
    const { second, walk } = stages({ second: SV48, tc });
    second.set(gpa, 1, leaf(0x9000n, flags));
    return (["r", "w", "rw", "x"] as const).map((access) => {
      const out = walk(gpa, access);
      return out.result === "ok" ? "ok" : `${out.code} ${out.reason}`;
    });
  };
  const every = (reason: string) => [`21 ${reason}`, `23 ${reason}`, `23 ${reason}`, `20 ${reason}`];

  it("rights: every access is a user's, and G is ignored", () => {
    expect(outcome(FULL)).toEqual(["ok", "ok", "ok", "ok"]);
    expect(outcome(FULL | G)).toEqual(["ok", "ok", "ok", "ok"]);
    expect(outcome(FULL & ~U)).toEqual(every("PERMISSION"));
    expect(outcome(V | U | A | D | X)).toEqual(["21 PERMISSION", "23 PERMISSION", "23 PERMISSION", "ok"]);
    expect(outcome(FULL & ~V)).toEqual(every("PTE_FETCH"));
    expect(outcome(FULL & ~R)).toEqual(every("BAD_PTE"));
  });

  it("A and D: with GADE only", () => {
    expect(outcome(FULL & ~A)).toEqual(every("ACCESS"));
    expect(outcome(FULL & ~A, SADE)).toEqual(every("ACCESS"));
    expect(outcome(FULL & ~D)).toEqual(["ok", "23 PERMISSION", "23 PERMISSION", "ok"]);
    expect(outcome(FULL & ~A & ~D, GADE)).toEqual(["ok", "ok", "ok", "ok"]);
  });

  it("of a supervisor's request: still a user's access", () => {
    const iommu = new RiscvIommu();
    const second = new RiscvTable(iommu.memory, SV39, { x4: true, allocate: iommu.allocate });
    const directory = iommu.allocate(4096);
    second.map(directory, directory);
    second.map(gpa, 0x1000n);
    iommu.process(directory, 1, 1, V | 2n, 0n);
    iommu.device(1, {
      tc: TC_V | PDTV,
      iohgatp: pointer(8n, second.root),
      fsc: pointer(1n, directory),
    });
    expect(iommu.walk(1, gpa, { pasid: 1, priv: true })).toMatchObject({ pa: 0x1000n });
  });

  it("nested: at the guest physical address, with the original access", () => {
    const { first, second, walk } = stages({ first: SV39, second: SV48 });
    first.map(0x7000n, gpa);
    expect(walk(0x7abcn, "w")).toMatchObject({
      code: 23,
      stage: 2,
      reason: "PTE_FETCH",
      faultAddr: gpa + 0xabcn,
      flags: 0,
    });
    second.map(gpa, 0x1000n, 1, V | R | U | A);
    expect(walk(0x7abcn)).toMatchObject({ pa: 0x1abcn, perm: "r--" });
    // A table page that the second stage does not map: an implicit read, with the original access's code.
    first.set(1n << 30n, 3, leaf(0x66_6000n, V));
    expect(walk((1n << 30n) + (5n << 21n), "x")).toMatchObject({
      code: 20,
      stage: 2,
      faultAddr: 0x66_6000n + 40n,
      flags: 1,
    });
    // One it maps without R, and one that is execute-only.
    second.map(0x66_6000n, 0x1000n, 1, V | X | U | A | D);
    expect(walk(1n << 30n)).toMatchObject({ code: 21, reason: "PERMISSION" });
    // One it maps to nowhere: the first stage's access fault.
    first.set(2n << 30n, 3, leaf(0x77_7000n, V));
    second.map(0x77_7000n, 0x66_0000_0000n);
    expect(walk(2n << 30n)).toMatchObject({ code: 5, stage: 1, level: 2, hole: true });
    // A second-stage table nowhere: the second stage's, still of the original access.
    first.set(3n << 30n, 3, leaf(5n << 39n, V));
    second.set(5n << 39n, 4, leaf(0x66_0000_0000n, V));
    expect(walk(3n << 30n, "w")).toMatchObject({ code: 7, stage: 2, level: 3, hole: true });
  });

  it("a first-stage address beyond the second's range", () => {
    const { first, walk } = stages({ first: SV39, second: SV39 });
    first.map(0x7000n, 1n << 41n);
    expect(walk(0x7000n)).toMatchObject({ code: 21, reason: "OOR_ADDRESS", faultAddr: 1n << 41n });
  });
});

describe("updates of A and D in the first stage are stores through the second", () => {
  /** One nested page, its first-stage entry with some flags, that entry's table with others in the second stage. */
  const nested = (entry: bigint, tableFlags: bigint, tc: bigint, access: "r" | "w") => {
    const { iommu, first, second, walk } = stages({ first: SV39, second: SV39, tc, guest: 0x4000_0000n });
    second.map(0x7000n, 0x1000n);
    first.set(0x5000n, 1, leaf(0x7000n, entry));
    const at = second.entry(0x4000_2000n, 1)!;
    second.write(at, (second.read(at) & ~0xffn) | tableFlags);
    expect(iommu.big).toBe(false);
    return walk(0x5000n, access);
  };
  const clean = FULL & ~A & ~D;

  it("which needs W, and D or GADE", () => {
    expect(nested(clean, FULL, SADE, "r").result).toBe("ok");
    expect(nested(clean, FULL & ~D, SADE | GADE, "r").result).toBe("ok");
    for (const flags of [V | R | U | A | D, FULL & ~D])
      expect(nested(clean, flags, SADE, "r")).toMatchObject({
        code: 21,
        stage: 2,
        level: 1,
        reason: "PERMISSION",
        faultAddr: 0x4000_2000n + 5n * 8n,
        flags: 3,
      });
    expect(nested(clean, V | R | U | A | D, SADE | GADE, "w")).toMatchObject({ code: 23, flags: 3 });
    // D alone, for a write.
    expect(nested(FULL & ~D, V | R | U | A, SADE, "w")).toMatchObject({ code: 23, flags: 3 });
  });

  it("and is not needed where both are set already, or not asked for", () => {
    expect(nested(FULL, V | R | U | A, SADE, "w").result).toBe("ok");
    expect(nested(FULL, FULL & ~D, SADE, "r").result).toBe("ok");
    // A read leaves D alone; but then no write is granted.
    expect(nested(FULL & ~D, V | R | U | A, SADE, "r")).toMatchObject({ result: "ok", perm: "r-x" });
    expect(nested(FULL & ~D, FULL, SADE, "r")).toMatchObject({ result: "ok", perm: "rwx" });
    // Without SADE it is the first stage's own fault.
    expect(nested(clean, FULL, GADE, "r")).toMatchObject({ code: 13, stage: 1, reason: "ACCESS" });
  });
});
