import { AmdViTables } from "../../walkers/amd-vi/enumeration.ts";
import type { AmdViWalker } from "../../walkers/amd-vi/walker.ts";
import { RiscvTables } from "../../walkers/riscv/enumeration.ts";
import type { RiscvWalker } from "../../walkers/riscv/walker.ts";
import { SmmuV3Tables } from "../../walkers/smmuv3/enumeration.ts";
import type { SmmuV3Walker } from "../../walkers/smmuv3/walker.ts";
import type { VendorTables } from "../../walkers/tables/enumeration.ts";
import { VtdTables } from "../../walkers/vtd/enumeration.ts";
import type { VtdWalker } from "../../walkers/vtd/walker.ts";
import type { IommuWalker } from "../../walkers/walker.ts";

/** What enumerating needs to know of a walker's tables. */
export function vendorTables(walker: IommuWalker): VendorTables {
  switch (walker.model) {
    case "intel":
      return new VtdTables(walker as VtdWalker) as VendorTables;
    case "arm-smmuv3":
      return new SmmuV3Tables(walker as SmmuV3Walker) as VendorTables;
    case "amd":
      return new AmdViTables(walker as AmdViWalker) as VendorTables;
    case "riscv":
      return new RiscvTables(walker as RiscvWalker) as VendorTables;
  }
}
