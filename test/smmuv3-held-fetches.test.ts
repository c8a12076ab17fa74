/** What stage 2 has said of a context descriptor's address outlives the descriptor in the caches (IHI 0070, 4.3, 4.4, 16.2). */
import { expect, it } from "vitest";
import { judgeWorld } from "../pipeline/fuzz/judge.ts";
import type { WorldRecord } from "../walkers/fuzz/world.ts";

const mem = (addr: string, ...words: bigint[]): WorldRecord => {
  const bytes = Buffer.alloc(8 * words.length);
  for (const [i, word] of words.entries()) bytes.writeBigUInt64LE(word, 8 * i);
  return { type: "mem", addr, data: bytes.toString("hex") };
};
const cmd = (...data: string[]): WorldRecord => ({ type: "cmd", iommu: "iommu0", data });
const SYNC = cmd("0x46", "0x0");
/** Beyond TTB0's 44 bits: no table is looked up, only the context descriptor. */
const dma = (seq: number, observed: object): WorldRecord => ({
  ...{ type: "dma", seq, iommu: "iommu0", dev: "sid:0", addr: `0x231df30${seq}6000`, len: 1, access: "r" },
  observed,
});
const BEYOND = { result: "fault", code: "0x10", stage: 1, class: "IN", recorded: true };
const REST = [0n, 0n, 0n, 0n] as const;

/** Stage 2: 4 KiB, S2T0SZ 24, S2SL0 1, S2PS 4, S2AA64, VMID 7. S1ContextPtr is the IPA 0x40009000, which is 0x29000. */
const WORLD: readonly WorldRecord[] = [
  { type: "ram", addr: "0x0", size: "0x100000" },
  mem("0x10000", 0x4000_900fn, 0n, 0x000c_0058_0000_0007n, 0x2_0000n, ...REST),
  mem("0x20008", 0x2_2003n),
  mem("0x22000", 0x2_3003n),
  mem("0x23048", 0x2_97fdn | 2n),
  // T0SZ 20, EPD1, V, IPS 4, AA64, R, A; TTB0 is the IPA 0x40009000 as well.
  mem("0x29000", 0x6204_c000_0014n, 0x4000_9000n, 0n, 0n, ...REST),
  {
    ...{ type: "iommu", id: "iommu0", model: "arm-smmuv3" },
    regs: { idr0: "0xd44101b", idr5: "0x74", strtab_base: "0x10000", strtab_base_cfg: "0x6" },
  },
  dma(1, BEYOND),
  // The table of level 3 goes, and with it the descriptor's address; the configuration alone is invalidated.
  mem("0x22000", 0n),
  cmd("0x3", "0x0"),
  SYNC,
];
const verdicts = (...rest: WorldRecord[]) =>
  judgeWorld([...WORLD, ...rest]).map(({ outcome }) => outcome.verdict);

it("a context descriptor is fetched anew by what stage 2 said of its address, until that is invalidated", () => {
  expect(verdicts(dma(2, BEYOND))).toEqual([]);
  // CMD_TLBI_S12_VMALL and CMD_TLBI_S2_IPA of VMID 7, and of VMID 8.
  expect(verdicts(cmd("0x700000028", "0x0"), SYNC, dma(2, BEYOND))).toEqual(["stale-after-invalidation"]);
  expect(verdicts(cmd("0x70000002a", "0x40009000"), SYNC, dma(2, BEYOND))).toEqual([
    "stale-after-invalidation",
  ]);
  expect(verdicts(cmd("0x800000028", "0x0"), SYNC, dma(2, BEYOND))).toEqual([]);
});

it("what a changed descriptor said before is no answer once it is invalidated", () => {
  const changed = mem("0x29000", 0n, 0n, 0n, 0n, ...REST);
  const mapped = mem("0x22000", 0x2_3003n);
  expect(verdicts(mapped, changed, cmd("0x3", "0x0"), SYNC, dma(2, BEYOND))).toEqual([
    "stale-after-invalidation",
  ]);
});
