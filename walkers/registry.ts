import { AMD_VI } from "./amd-vi/index.ts";
import type { IommuModel } from "./models.ts";
import { RISCV } from "./riscv/index.ts";
import { SMMUV3 } from "./smmuv3/index.ts";
import type { Vendor } from "./vendor.ts";
import { VTD } from "./vtd/index.ts";

/** What there is to know of each IOMMU model. */
export const VENDORS: Readonly<Record<IommuModel, Vendor>> = {
  intel: VTD,
  "arm-smmuv3": SMMUV3,
  amd: AMD_VI,
  riscv: RISCV,
};
