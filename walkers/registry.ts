import { AMD_VI } from "./amd-vi/index.ts";
import type { IommuModel, TableModel } from "./models.ts";
import type { PasidTableFormat } from "./pasid-tables/format.ts";
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

/** The models of PASID table, as they are bound. */
export const PASID_TABLES: Readonly<Record<TableModel, PasidTableFormat>> = {
  ...VTD.pasidTables,
  ...SMMUV3.pasidTables,
  ...AMD_VI.pasidTables,
  ...RISCV.pasidTables,
};
