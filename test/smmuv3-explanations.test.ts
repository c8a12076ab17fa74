/** Which of several pages, and of several things that caches hold, an answer is taken to be of (IHI 0070, 3.3.2, 4.1.4, 7.3). */
import { expect, it } from "vitest";
import { judgeWorld } from "../pipeline/fuzz/judge.ts";
import type { WorldRecord } from "../walkers/fuzz/world.ts";

const mem = (addr: string, ...words: bigint[]): WorldRecord => {
  const bytes = Buffer.alloc(8 * words.length);
  for (const [i, word] of words.entries()) bytes.writeBigUInt64LE(word, 8 * i);
  return { type: "mem", addr, data: bytes.toString("hex") };
};
const REST = [0n, 0n, 0n, 0n] as const;
const cmd = (...data: string[]): WorldRecord => ({ type: "cmd", iommu: "iommu0", data });
const IOMMU: WorldRecord = {
  ...{ type: "iommu", id: "iommu0", model: "arm-smmuv3" },
  regs: { idr0: "0xd44101b", idr5: "0x74", strtab_base: "0x10000", strtab_base_cfg: "0x6" },
};
const RAM: WorldRecord = { type: "ram", addr: "0x0", size: "0x100000" };
const SILENT = { result: "fault", recorded: false };
const read = (seq: number, addr: string, len: number, observed: object): WorldRecord => ({
  ...{ type: "dma", seq, iommu: "iommu0", dev: "sid:0", addr, len, access: "r" },
  observed,
});
const verdicts = (...records: WorldRecord[]) => judgeWorld(records).map(({ outcome }) => outcome.verdict);

/** R of a context descriptor. */
const R = 1n << 45n;
const CD = 0x4202_c000_0019n;

/**
 * Stage 2: 4 KiB, S2T0SZ 24, S2SL0 1, S2PS 4, S2AA64, S2R; the first GiB is where it is. Stage 1: T0SZ 25, EPD1, V, AA64, A;
 * of two pages the first is not there, and the second beyond that GiB.
 */
const twoPages = (cd: bigint) => [
  RAM,
  mem("0x10000", 0x2_900fn, 0n, 0x040c_0058_0000_0000n, 0x2_0000n, ...REST),
  mem("0x20000", 0x7fdn),
  mem("0x29000", cd, 0x3_0000n, 0n, 0n, ...REST),
  mem("0x30000", 0x3_1003n),
  mem("0x31000", 0x3_2003n),
  mem("0x32008", 0x8000_0743n),
  IOMMU,
];
const OF_SECOND = { result: "fault", code: "0x10", stage: 2, class: "IN", recorded: true };

it("of two pages the second's fault is recorded where the first's leaves no record", () => {
  expect(verdicts(...twoPages(CD), read(1, "0xfff", 4, OF_SECOND))).toEqual([]);
  expect(verdicts(...twoPages(CD), read(1, "0xffc", 4, OF_SECOND))).toEqual(["mismatch"]);
  expect(verdicts(...twoPages(CD | R), read(1, "0xfff", 4, OF_SECOND))).toEqual(["mismatch"]);
  expect(verdicts(...twoPages(CD), read(1, "0xfff", 4, { ...OF_SECOND, class: "TT" }))).toEqual(["mismatch"]);
});

it("… also where that is what a cached descriptor says", () => {
  const gone = mem("0x29000", 0n, 0n, 0n, 0n, ...REST);
  const before = [...twoPages(CD), read(1, "0x2fff", 1, SILENT), gone];
  expect(verdicts(...before, read(2, "0xfff", 4, OF_SECOND))).toEqual([]);
  expect(verdicts(...before, cmd("0x5", "0x0"), cmd("0x46", "0x0"), read(2, "0xfff", 4, OF_SECOND))).toEqual([
    "stale-after-invalidation",
  ]);
});

it("an old answer is of what stands behind a stopped queue before it is of what had been invalidated", () => {
  // A stream table of two levels; RECINVSID is 0: streams that are not in it leave no record, nor do those that abort.
  const regs = { ...(IOMMU.regs as object), strtab_base_cfg: "0x10210", cr2: "0x1" };
  const ste = (word: bigint) => mem("0x14000", word, 0n, 0n, 0n, ...REST);
  const [invalidation, everything] = [cmd("0x3", "0x0"), cmd("0x4", "0x1f")];
  const before = [
    ...[RAM, { ...IOMMU, regs }, read(1, "0x1000", 1, SILENT)],
    ...[mem("0x10000", 0x1_4008n), invalidation, ste(1n), read(2, "0x1000", 1, SILENT)],
    ste(0n),
  ];
  // SSEC, which a Non-secure queue refuses.
  expect(verdicts(...before, cmd("0x403", "0x0"), everything, read(3, "0x1000", 1, SILENT))).toEqual([]);
  expect(verdicts(...before, everything, read(3, "0x1000", 1, SILENT))).toEqual(["stale-after-invalidation"]);
});
