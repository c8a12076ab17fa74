/** Addresses of stream tables beyond the OAS: truncated, or where nothing can be read (IHI 0070, 3.4.3, note 5; 5.1). */
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
