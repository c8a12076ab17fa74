import { describe, expect, it } from "vitest";
import { pageShift, SBE, SCHEMES, type Scheme, SV32, SV39, SV48, SV57 } from "./support/riscv-builder.ts";
import { stages } from "./support/riscv-stages.ts";

/** Sv32's superpage. */
const FOUR_MIB = 0x40_0000n;

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
