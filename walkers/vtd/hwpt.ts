import { bit, bits, layout } from "../layout.ts";
import { FRAME_BYTES, FRAME_SHIFT } from "../memory.ts";
import { checkAlignment, checkRange } from "../pasid-tables/base-checks.ts";
import type { BindFindings } from "../pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../pasid-tables/bind-rules.ts";
import type { BindHost } from "../pasid-tables/format.ts";
import type { HwptStructure } from "../pasid-tables/hwpt.ts";
import { hex } from "../word64.ts";
import { ExtendedCapabilityRegister } from "./registers.ts";

const Stage1 = layout("struct iommu_hwpt_vtd_s1", "include/uapi/linux/iommufd.h", 24, {
  SRE: bit(0, "IOMMU_VTD_S1_SRE: supervisor requests"),
  EAFE: bit(1, "IOMMU_VTD_S1_EAFE: extended accessed flag"),
  WPE: bit(2, "IOMMU_VTD_S1_WPE: write protection"),
  pgtbl_addr: bits(127, 64, "First-stage page table"),
  addr_width: bits(159, 128, "Address width of the first-stage page table"),
});
/** The whole of `flags` and of `__reserved`. */
const FLAGS_AT = 0;
const RESERVED_AT = 20;

/** Flags that need a capability. */
const FLAG_NEEDS = { SRE: "SRS", EAFE: "EAFS" } as const;

/** Widths of a first stage: 4 and 5 levels. Linux, drivers/iommu/intel/pasid.c. */
const WIDTH_4_LEVELS = 48;
const WIDTH_5_LEVELS = 57;
/** Widest input address: more is no address width. */
const MAX_WIDTH = 64;

/** One first-stage page table that is to be nested on a second stage of a VT-d host. */
export const VTD_HWPT: HwptStructure = {
  name: "iommu_hwpt_vtd_s1",
  bytes: Stage1.bytes,
  fields: [
    { name: "pgtbl_addr", at: 8, bytes: 8 },
    { name: "flags", at: FLAGS_AT, bytes: 8, optional: true },
    { name: "addr_width", at: 16, bytes: 4 },
    { name: "__reserved", at: RESERVED_AT, bytes: 4, optional: true },
  ],
  // Where a configuration of this size says its size, this has the high half of its flags, which is zero; and it ends
  // with an address width.
  fits(view) {
    const width = widthOf(view);
    return view.getUint32(FLAGS_AT + 4, true) === 0 && width >= FRAME_SHIFT && width <= MAX_WIDTH;
  },
  check(view, host, out) {
    checkFlags(view, host, out);
    const reserved = view.getUint32(RESERVED_AT, true);
    if (reserved !== 0) out.add(BIND_RULES["bind-reserved"], `__reserved is ${hex(reserved)}: expected 0`);
    const { noNesting, secondInputBits } = host.limits;
    if (noNesting !== "")
      out.add(
        BIND_RULES["bind-nested-unsupported"],
        `the page table is nested on one of the host: expected an IOMMU that nests, found that ${noNesting}`,
      );
    checkWidth(widthOf(view), host, out);
    const base = Stage1.extract("pgtbl_addr", view, 0);
    const table = { base, baseName: "pgtbl_addr", nested: true };
    const shape = { what: "first-stage page table", bytes: FRAME_BYTES, alignment: FRAME_BYTES };
    checkAlignment(table, shape, out);
    checkRange(table, shape, secondInputBits, out);
    return null;
  },
};

function widthOf(view: DataView): number {
  return Number(Stage1.extract("addr_width", view, 0));
}

function checkWidth(width: number, { limits: { formats } }: BindHost, out: BindFindings): void {
  const format = BIND_RULES["bind-pgtable-format"];
  if (width !== WIDTH_4_LEVELS && width !== WIDTH_5_LEVELS)
    out.add(format, `addr_width is ${width}: expected ${WIDTH_4_LEVELS} or ${WIDTH_5_LEVELS}`);
  else if (!formats.has("x86-64"))
    out.add(format, `addr_width is ${width}: expected an IOMMU with a first stage (ECAP.FSTS)`);
  else if (width === WIDTH_5_LEVELS && !formats.has("x86-64-5lvl"))
    out.add(format, `addr_width is ${width}: expected ${WIDTH_4_LEVELS}, since CAP.FS5LP is 0`);
}

function checkFlags(view: DataView, { state }: BindHost, out: BindFindings): void {
  const flags = view.getBigUint64(FLAGS_AT, true);
  const unknown = Stage1.reservedSet(view, 0).filter((n) => n < 64);
  if (unknown.length > 0)
    out.add(
      BIND_RULES["bind-reserved"],
      `flags is ${hex(flags)}: expected bits ${unknown.join(", ")} to be 0`,
    );
  for (const [flag, capability] of Object.entries(FLAG_NEEDS) as [keyof typeof FLAG_NEEDS, "SRS" | "EAFS"][])
    if (
      Stage1.extract(flag, view, 0) !== 0n &&
      state.capability("ecap", ExtendedCapabilityRegister, capability, 1) === 0
    )
      out.add(
        BIND_RULES["bind-flag-unsupported"],
        `flags has ${flag}: expected it clear, since ECAP.${capability} is 0`,
      );
}
