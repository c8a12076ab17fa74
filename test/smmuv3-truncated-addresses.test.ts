/** Addresses of configuration structures beyond the OAS or the IAS, and what may become of them (IHI 0070, 3.4.3, notes 1 to 5; 5.1). */
import { expect, it } from "vitest";
import { judgeWorld } from "../pipeline/fuzz/judge.ts";

/** IDR5.OAS 4: 44 bits. */
const REGS = { cr0: "0xd", cr2: "0x2", idr5: "0x74" };
/** Config 4: bypass. */
const BYPASS = "0900000000000000";
/** Span 1, L2Ptr 0x20000 and bit 45 of it. */
const L1STD = "0100020000200000";

/** @returns how many answers are not lawful */
function unlawful(regs: object, observed: object): number {
  return judgeWorld([
    { type: "ram", addr: "0x0", size: "0x100000" },
    { type: "mem", addr: "0x10000", data: L1STD },
    { type: "mem", addr: "0x20000", data: BYPASS },
    { type: "iommu", id: "iommu0", model: "arm-smmuv3", regs: { ...REGS, ...regs } },
    {
      ...{ type: "dma", seq: 1, iommu: "iommu0", dev: "sid:0", addr: "0x1000", len: 1, access: "r" },
      observed,
    },
  ]).length;
}

it.each([
  ["STRTAB_BASE", { strtab_base: "0x20000000020000", strtab_base_cfg: "0x6" }],
  ["L1STD.L2Ptr", { strtab_base: "0x10000", strtab_base_cfg: "0x10186" }],
])("%s", (_name, regs) => {
  expect(unlawful(regs, { result: "ok", pa: "0x1000" })).toBe(0);
  expect(unlawful(regs, { result: "fault", code: "0x3" })).toBe(0);
  expect(unlawful(regs, { result: "fault", code: "0x4" })).toBe(1);
  expect(unlawful(regs, { result: "ok", pa: "0x2000" })).toBe(1);
});

it("an address within the OAS is read where it is", () => {
  const regs = { strtab_base: "0x20000", strtab_base_cfg: "0x6" };
  expect(unlawful(regs, { result: "ok", pa: "0x1000" })).toBe(0);
  expect(unlawful(regs, { result: "fault", code: "0x3" })).toBe(1);
});

/** Config 5, and 7 with a sound stage 2 (S2T0SZ 24, S2SL0 1, S2PS 4, S2AA64, S2TTB 0x40000); S1ContextPtr 0x30000 and bit 45. */
const BEYOND_1 = "0b00030000200000".padEnd(128, "0");
const BEYOND_2 = "0f000300002000000000000000000000000000005800 0c00 0000040000000000"
  .replaceAll(" ", "")
  .padEnd(128, "0");
/** T0SZ 25, EPD1, V, IPS 4, AA64, R, A, TTB0 0x50000. */
const CD = "190000c0046200000000050000000000".padEnd(128, "0");
/** A block of level 1 for all. */
const BLOCK = "4107000000000000";
/** ArchMinorRev 0 and 1. */
const [V30, V31] = [{ aidr: "0x0" }, { aidr: "0x1" }];
const C_BAD_STE = { result: "fault", code: "0x4", recorded: true };
const F_CD_FETCH = { result: "fault", code: "0x9", recorded: true };
const STAGE_2_FAULT = { result: "fault", code: "0x10", stage: 2, class: "CD" };

function contextBeyond(ste: string, regs: object, observed: object): number {
  return judgeWorld([
    { type: "ram", addr: "0x0", size: "0x100000" },
    { type: "mem", addr: "0x20000", data: ste },
    { type: "mem", addr: "0x30000", data: CD },
    // Stage 2 maps all below 2 GiB where it is: level 1, so that truncated addresses lead somewhere.
    { type: "mem", addr: "0x40000", data: "fd07000000000000" },
    { type: "mem", addr: "0x50000", data: BLOCK },
    {
      ...{ type: "iommu", id: "iommu0", model: "arm-smmuv3" },
      regs: { ...REGS, idr0: "0xd44101b", strtab_base: "0x20000", strtab_base_cfg: "0x6", ...regs },
    },
    {
      ...{ type: "dma", seq: 1, iommu: "iommu0", dev: "sid:0", addr: "0x1000", len: 1, access: "r" },
      observed,
    },
  ]).length;
}

it.each([
  [
    "SMMUv3.0, stage 1: note 1a, 1b, 1c",
    BEYOND_1,
    V30,
    [C_BAD_STE, F_CD_FETCH, { result: "ok", pa: "0x1000" }],
  ],
  ["SMMUv3.1, stage 1: note 1", BEYOND_1, V31, [C_BAD_STE]],
  [
    "SMMUv3.0, both stages: note 2a, 2b, 2c",
    BEYOND_2,
    V30,
    [C_BAD_STE, STAGE_2_FAULT, { result: "ok", pa: "0x1000" }],
  ],
  ["SMMUv3.1, both stages: note 2a, 2b", BEYOND_2, V31, [C_BAD_STE, STAGE_2_FAULT]],
] as const)("S1ContextPtr, %s", (_name, ste, regs, lawful) => {
  const all = [C_BAD_STE, F_CD_FETCH, STAGE_2_FAULT, { result: "ok", pa: "0x1000" }];
  for (const answer of all)
    expect([answer, contextBeyond(ste, regs, answer)]).toEqual([
      answer,
      lawful.some((one) => JSON.stringify(one) === JSON.stringify(answer)) ? 0 : 1,
    ]);
  expect(contextBeyond(ste, regs, { result: "ok", pa: "0x2000" })).toBe(1);
});
