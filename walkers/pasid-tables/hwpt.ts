import type { BindFindings } from "./bind-findings.ts";
import type { BindHost, TableUse } from "./format.ts";

/** A field of a C structure, little-endian. */
export interface StructureField {
  readonly name: string;
  readonly at: number;
  readonly bytes: 4 | 8;
  /** Elements, where it is an array. */
  readonly count?: number;
  /** May be left out where the structure is written by names: it is 0 then. */
  readonly optional?: true;
}

/**
 * The structure by which iommufd gives an IOMMU what is nested on a second stage of the host
 * (include/uapi/linux/iommufd.h).
 */
export interface HwptStructure {
  /** "iommu_hwpt_vtd_s1" */
  readonly name: string;
  readonly bytes: number;
  /** All that it has; the first tells it from others by its name. */
  readonly fields: readonly [StructureField, ...StructureField[]];
  /** Whether bytes of its size can be one, and not a `pasid_table_config`. */
  fits(view: DataView): boolean;
  /**
   * Checks it against an IOMMU of its model.
   * @returns the PASID table that it leads to, or null where it has none
   */
  check(view: DataView, host: BindHost, out: BindFindings): TableUse | null;
}
