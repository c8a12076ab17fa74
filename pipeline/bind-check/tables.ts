import type { HostLimits } from "../../walkers/host.ts";
import { type IommuModel, type TableModel, tableModelsOf } from "../../walkers/models.ts";
import { BindFindings } from "../../walkers/pasid-tables/bind-findings.ts";
import { PASID_TABLES } from "../../walkers/registry.ts";

/** A model of PASID table, as one IOMMU takes it. */
export interface SupportedTable {
  readonly model: TableModel;
  /** Why the IOMMU cannot walk it; "" where it can. */
  readonly lacking: string;
  /** Alignment of base_ptr in bytes: of the smallest table and of the largest. */
  readonly alignment: readonly [number, number];
}

/** The models of PASID table that an IOMMU's vendor has. */
export function supportedTables(iommu: IommuModel, limits: HostLimits): SupportedTable[] {
  return tableModelsOf(iommu).map((model) => {
    const { layout, largest } = PASID_TABLES[model];
    const { reach, shape } = layout(largest, undefined, new BindFindings());
    const bits = Math.min(limits.pasidBits, reach);
    return {
      model,
      lacking: limits.lacking.get(model) ?? "",
      alignment: [shape(0).alignment, shape(bits).alignment],
    };
  });
}
