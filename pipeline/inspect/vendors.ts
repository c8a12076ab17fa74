import type { AmdViWalker } from "../../walkers/amd-vi/walker.ts";
import type { RiscvWalker } from "../../walkers/riscv/walker.ts";
import type { SmmuV3Walker } from "../../walkers/smmuv3/walker.ts";
import type { VtdWalker } from "../../walkers/vtd/walker.ts";
import type { IommuWalker } from "../../walkers/walker.ts";
import { AmdViTables } from "./amd-vi.ts";
import { RiscvTables } from "./riscv.ts";
import { SmmuV3Tables } from "./smmuv3.ts";
import type { VendorTables } from "./vendor.ts";
import { VtdTables } from "./vtd.ts";

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
