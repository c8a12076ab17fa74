import { AmdViWalker } from "./amd-vi/index.ts";
import type { GuestMemory } from "./memory.ts";
import type { TableModel } from "./request.ts";
import { RiscvWalker } from "./riscv/index.ts";
import { SmmuV3Walker } from "./smmuv3/index.ts";
import { VtdWalker } from "./vtd/index.ts";
import type { IommuModel, IommuWalker } from "./walker.ts";

/** Makes the walker of an IOMMU model over a guest memory. */
export function createWalker(model: IommuModel, memory: GuestMemory): IommuWalker {
  switch (model) {
    case "intel":
      return new VtdWalker(memory);
    case "arm-smmuv3":
      return new SmmuV3Walker(memory);
    case "amd":
      return new AmdViWalker(memory);
    case "riscv":
      return new RiscvWalker(memory);
  }
}

/** The IOMMU that walks each PASID table model. */
export const MODEL_OWNER: Readonly<Record<TableModel, IommuModel>> = {
  "arm-1lvl": "arm-smmuv3",
  "arm-2lvl": "arm-smmuv3",
  amd: "amd",
  intel: "intel",
  "intel-ecs": "intel",
  riscv: "riscv",
};

/** The PASID table model that an IOMMU walks unless a binding says more: what "host" resolves to. */
export const HOST_MODEL: Readonly<Record<IommuModel, TableModel>> = {
  intel: "intel",
  "arm-smmuv3": "arm-1lvl",
  amd: "amd",
  riscv: "riscv",
};
