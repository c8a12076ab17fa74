import { AmdViTables } from "../../../walkers/amd-vi/tables.ts";
import type { GuestMemory } from "../../../walkers/memory.ts";
import { RiscvTables } from "../../../walkers/riscv/tables.ts";
import { RiscvWalker } from "../../../walkers/riscv/walker.ts";
import { SmmuV3Tables } from "../../../walkers/smmuv3/tables.ts";
import type { TableTree } from "../../../walkers/tables/tree.ts";
import { VtdTables } from "../../../walkers/vtd/tables.ts";
import type { IommuModel } from "../../../walkers/walker.ts";

/** The tables of an IOMMU model over a guest memory. */
export function tablesOf(model: IommuModel, memory: GuestMemory): TableTree {
  switch (model) {
    case "intel":
      return new VtdTables(memory);
    case "arm-smmuv3":
      return new SmmuV3Tables(memory);
    case "amd":
      return new AmdViTables(memory);
    case "riscv":
      return new RiscvTables(new RiscvWalker(memory));
  }
}
