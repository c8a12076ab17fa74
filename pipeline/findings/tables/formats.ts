import type { GuestMemory } from "../../../walkers/memory.ts";
import type { IommuModel } from "../../../walkers/walker.ts";
import { AmdViTables } from "./amd-vi.ts";
import { RiscvTables } from "./riscv.ts";
import { SmmuV3Tables } from "./smmuv3.ts";
import type { TableFormat } from "./table.ts";
import { VtdTables } from "./vtd.ts";

/** The tables of an IOMMU model over a guest memory. */
export function tablesOf(model: IommuModel, memory: GuestMemory): TableFormat {
  switch (model) {
    case "intel":
      return new VtdTables(memory);
    case "arm-smmuv3":
      return new SmmuV3Tables(memory);
    case "amd":
      return new AmdViTables(memory);
    case "riscv":
      return new RiscvTables(memory);
  }
}
