import type { HostLimits } from "../../walkers/host.ts";
import { type IommuModel, type TableModel, tableModelsOf } from "../../walkers/models.ts";
import { effectiveS1fmt, shapeOf, type TableUse } from "./shape.ts";

/** A format of PASID table, as one IOMMU takes it. */
export interface TableFormat {
  readonly model: TableModel;
  /** Why the IOMMU cannot walk it; "" where it can. */
  readonly lacking: string;
  /** Alignment of base_ptr in bytes: of the smallest table and of the largest. */
  readonly alignment: readonly [number, number];
}

/** The formats of PASID table that an IOMMU's vendor has. */
export function tableFormats(iommu: IommuModel, limits: HostLimits): TableFormat[] {
  return tableModelsOf(iommu).map((model) => {
    const use = largest(model);
    const bits = Math.min(limits.pasidBits, shapeOf(use, 0).reach);
    return {
      model,
      lacking: limits.lacking.get(model) ?? "",
      alignment: [shapeOf(use, 0).alignment, shapeOf(use, bits).alignment],
    };
  });
}

function largest(model: TableModel): TableUse {
  return {
    model,
    base: 0n,
    pasidBits: undefined,
    s1fmt: effectiveS1fmt(model, undefined),
    glx: 2,
    directoryBits: undefined,
    nested: false,
    parent: undefined,
    baseName: "base_ptr",
    pasidBitsName: "pasid_bits",
  };
}
