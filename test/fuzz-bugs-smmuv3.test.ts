/**
 * Mistakes of an SMMUv3 that explain answers no lawful one gives, in worlds of its tables as IHI 0070 (5.2, 5.4) and DDI 0487
 * (D8.2.2, D8.3.1) lay them out: a device that makes one is not to be told of it, and of everything else it is.
 */
import { describe, expect, it } from "vitest";
import { type EntryPlaces, ExpectedDepartures } from "../pipeline/fuzz/expected-departures.ts";
import { asKnown, signaturesOf } from "../pipeline/fuzz/signature.ts";
import { NO_ALIASES } from "../pipeline/verdicts/comparison.ts";
import { NO_LIMITS, type WorldRecord } from "../walkers/fuzz/world.ts";
import { SMMUV3_FUZZING } from "../walkers/smmuv3/fuzz/index.ts";
import { Ste } from "../walkers/smmuv3/ste.ts";

const mem = (addr: number, ...words: bigint[]): WorldRecord => {
  const bytes = Buffer.alloc(8 * words.length);
  for (const [i, word] of words.entries()) bytes.writeBigUInt64LE(word, 8 * i);
  return { type: "mem", addr: `0x${addr.toString(16)}`, data: bytes.toString("hex") };
};
const bit = (at: number) => 1n << BigInt(at);

const STE = 0x1_0000;
const ZEROS = [0n, 0n, 0n, 0n] as const;
/** Config 5, S1ContextPtr 0x20000. */
const STAGE_1 = mem(STE, 0x2_000bn, 0n, 0n, 0n, ...ZEROS);
/** Config 6; of bits 191:128 S2T0SZ 24, S2SL0 1, 4 KiB, S2PS 4, S2AA64, S2R: two tables of level 1 at 0x30000. */
const STAGE_2 = (24n << 32n) | bit(38) | (4n << 48n) | bit(51) | bit(58);
const stage2 = (word: bigint) => mem(STE, 0xdn, 0n, word, 0x3_0000n, ...ZEROS);
/** T0SZ and T1SZ 25, 4 KiB, V, AA64, R, A. */
const CD = 25n | (25n << 16n) | (2n << 22n) | bit(31) | bit(41) | bit(45) | bit(46);
const cd = (word: bigint) => mem(0x2_0000, word, 0x3_0000n, 0x3_1000n, 0n, ...ZEROS);
const [TBI1, PAN, S2HD] = [bit(39), bit(40), bit(55)];
/** Blocks: for all, for the privileged, of stage 2. */
const [ALL, PRIVILEGED, LEAF_2] = [0x741n, 0x701n, 0x7fdn];

const PLACES: EntryPlaces = {
  entryAt: (address) =>
    address === BigInt(STE) ? { layout: Ste, littleEndian: true, uses: [{ level: 0 }] } : undefined,
};

function observed(addr: string, answer: object, ...tables: WorldRecord[]): WorldRecord[] {
  return [
    { type: "ram", addr: "0x0", size: "0x100000" },
    ...tables,
    {
      ...{ type: "iommu", id: "iommu0", model: "arm-smmuv3" },
      regs: { idr0: "0xd44101b", idr5: "0x74", strtab_base: "0x10000", strtab_base_cfg: "0x6" },
    },
    { type: "dma", iommu: "iommu0", dev: "sid:0", addr, len: 1, access: "r", observed: answer },
  ];
}

function expected(...names: string[]): ExpectedDepartures {
  const bugs = SMMUV3_FUZZING.bugs.filter(({ name }) => names.includes(name));
  expect(bugs).toHaveLength(names.length);
  return new ExpectedDepartures({ codeAliases: NO_ALIASES, bugs }, NO_LIMITS);
}

const ok = (pa: string) => ({ result: "ok", pa });
const F_TRANSLATION = { result: "fault", code: "0x10", stage: 1, class: "IN", recorded: true };
const C_BAD_STE = { result: "fault", code: "0x4", recorded: true };
const fault = (code: string, stage: number, faultClass: string) => ({
  ...F_TRANSLATION,
  ...{ code, stage, class: faultClass },
});
/** Config 7. */
const BOTH = mem(STE, 0x2_000fn, 0n, STAGE_2, 0x3_0000n, ...ZEROS);
/** S2SL0 2 and S2T0SZ 25: level 0, for which no bits are left. */
const START_AT_0 = (25n << 32n) | bit(39) | (STAGE_2 & ~((63n << 32n) | bit(38)));
const low = "0x1000";
const tagged = "0x12ffff8000001000";
const second = "0x8000001000";

describe.each([
  ["block-levels", low, ok("0x1000"), [STAGE_1, cd((CD & ~0x3fn) | 16n), mem(0x3_0000, ALL)]],
  [
    "first-of-concatenated",
    second,
    ok("0x40001000"),
    [stage2(STAGE_2), mem(0x3_0000, LEAF_2 | 0x4000_0000n), mem(0x3_1000, LEAF_2)],
  ],
  ["top-byte-of-low", tagged, F_TRANSLATION, [STAGE_1, cd(CD | TBI1), mem(0x3_1000, ALL)]],
  ["always-privileged", low, ok("0x1000"), [STAGE_1, cd(CD | PAN), mem(0x3_0000, PRIVILEGED)]],
  [
    "stage-2-start-unchecked",
    low,
    ok("0x1000"),
    [stage2(START_AT_0), mem(0x3_0000, 0x3_1003n), mem(0x3_1000, LEAF_2)],
  ],
  [
    // TTB1's table is an intermediate address that stage 2 does not map, and nobody asks for it.
    "bases-through-stage-2",
    low,
    fault("0x10", 2, "TT"),
    [
      BOTH,
      mem(0x2_0000, CD, 0x3_4000n, 0x4000_0000n, 0n, ...ZEROS),
      mem(0x3_0000, LEAF_2),
      mem(0x3_4000, ALL),
    ],
  ],
  ["wide-input-unrecorded", "0x100000001000", { result: "fault", recorded: false }, [stage2(STAGE_2)]],
  ["substreams-refused", low, C_BAD_STE, [mem(STE, 0x2_000bn | bit(59), 0n, 0n, 0n, ...ZEROS), cd(CD)]],
  [
    "stall-disable-refused",
    low,
    C_BAD_STE,
    [mem(STE, 0xdn, bit(27), STAGE_2, 0x3_0000n, ...ZEROS), mem(0x3_0000, LEAF_2)],
  ],
  // S2PS 0, 32 bits, and S2T0SZ 24, 40 bits.
  ["input-within-output", low, C_BAD_STE, [stage2(STAGE_2 & ~(7n << 48n)), mem(0x3_0000, LEAF_2)]],
  ["table-size", low, fault("0xb", 1, "TT"), [STAGE_1, cd(CD), mem(0x3_0000, 0x1_0000_0003n)]],
  ["stage-2-updates", low, ok("0x1000"), [stage2(STAGE_2 | S2HD), mem(0x3_0000, LEAF_2)]],
] as const)("%s", (name, addr, answer, tables) => {
  it("explains what no other mistake does, and nothing else", () => {
    const judge = (all: ExpectedDepartures, given: object) =>
      all.judge(observed(addr, given, ...tables), PLACES);
    expect(judge(expected(), answer)).toHaveLength(1);
    expect(judge(expected("stage-2-table-type", "access-flag"), answer)).toHaveLength(1);
    expect(judge(expected(name), answer)).toEqual([]);
    expect(judge(expected(name, "access-flag"), answer)).toEqual([]);
    expect(judge(expected(name), ok("0x7777000"))).toHaveLength(1);
  });
});

it("a fault of a descriptor's base is one of stage 1 to who puts no descriptors through stage 2", () => {
  const judge = (answer: object, ...tables: WorldRecord[]) => {
    const records = observed(low, answer, BOTH, mem(0x3_0000, LEAF_2), ...tables);
    return [expected(), expected("bases-through-stage-2")].map((one) => one.judge(records, PLACES).length);
  };
  const ttb0 = mem(0x2_0000, CD | bit(30), 0x3_4000n, 0n, 0n, ...ZEROS);
  const beyond = mem(0x3_4000, 0x4000_0003n);
  expect(judge(fault("0x10", 1, "TT"), ttb0, beyond)).toEqual([1, 0]);
});

it("APTable denies writes before what lies further down to who looks there first, and no reads", () => {
  const tables = [STAGE_1, cd(CD), mem(0x3_0000, 0x3_1003n | bit(62)), mem(0x3_1000, 0n)];
  const judge = (access: string, code: string, ...names: string[]) => {
    const records = observed(low, fault(code, 1, "IN"), ...tables);
    records.push({ ...records.pop()!, access });
    return expected(...names).judge(records, PLACES).length;
  };
  expect(judge("w", "0x13")).toBe(1);
  expect(judge("w", "0x13", "table-permissions-first")).toBe(0);
  expect(judge("r", "0x13", "table-permissions-first")).toBe(1);
});

it("what it reads where nobody knows what is there is not told of, though it reads there by mistake", () => {
  // S2T0SZ 32 and level 0: of the address of the table nothing is left.
  const start = (START_AT_0 & ~(63n << 32n)) | (32n << 32n);
  const [, ...records] = observed(low, ok("0x7777000"), stage2(start));
  const world = [{ type: "ram", addr: "0x1000", size: "0xff000" }, ...records];
  const bugs = SMMUV3_FUZZING.bugs.filter(({ name }) => name === "stage-2-start-unchecked");
  const left = (foreign: readonly { base: bigint; bytes: bigint }[]) =>
    new ExpectedDepartures({ codeAliases: NO_ALIASES, bugs }, { ...NO_LIMITS, foreign }).judge(world, PLACES);
  expect(left([{ base: 0n, bytes: 0x1000n }])).toEqual([]);
  expect(left([{ base: 0x8000n, bytes: 0x1000n }])).toHaveLength(1);
});

it("L2Ptr in the middle of an array is where that begins to who aligns none", () => {
  const records = observed(
    low,
    ok("0x1000"),
    mem(0x1_0000, 0x1_4207n),
    mem(0x1_4200, 9n, 0n, 0n, 0n, ...ZEROS),
  );
  const world = records.map((record) =>
    record.type === "iommu"
      ? { ...record, regs: { ...(record.regs as object), strtab_base_cfg: "0x10190" } }
      : record,
  );
  expect(expected("access-flag").judge(world, PLACES)).toHaveLength(1);
  expect(expected("unaligned-arrays").judge(world, PLACES)).toEqual([]);
});

it("PAN is nothing to who takes every request for a privileged one that it does not concern", () => {
  const records = observed(low, ok("0x1000"), STAGE_1, cd(CD | PAN), mem(0x3_0000, ALL));
  expect(expected("always-privileged").judge(records, PLACES)).toEqual([]);
});

it("what departs even from a mistake has the name that it has beside it, where that is known", () => {
  // S2HD, which is not to be set, and a leaf without its access flag: 0x400.
  const records = observed(low, ok("0x1000"), stage2(STAGE_2 | S2HD), mem(0x3_0000, LEAF_2 & ~0x400n));
  const all = expected("stage-2-updates");
  const departures = all.judge(records, PLACES);
  const signatures = signaturesOf(records, departures, NO_ALIASES, true, SMMUV3_FUZZING);
  const names = (isKnown: (text: string) => boolean) => signatures.map((one) => asKnown(one, isKnown).text);
  const beside = "VMSAv8-64 stage 2 descriptor.AF: mismatch: F_ACCESS (0x12) → ok";
  expect(names((text) => text === beside)).toEqual([beside]);
  expect(names(() => false)).toEqual([expect.stringContaining("C_BAD_STE (0x4) → ok")]);
});
