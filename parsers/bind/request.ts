import type { ConfigModel } from "../../walkers/models.ts";

/** Fields of the table formats beside those that all have; not checked yet. */
export interface VendorFields {
  readonly arm?: { readonly s1fmt?: number; readonly s1dss?: number };
  readonly amd?: { readonly glx?: number; readonly paging_levels?: number };
  readonly intel?: { readonly rid_pasid?: number };
  readonly riscv?: { readonly mode?: string };
}

/** The second stage that the table's addresses go through. */
export interface ParentStage {
  readonly format?: string;
  readonly root?: bigint;
  readonly levels?: number;
  readonly t0sz?: number;
}

/** `struct pasid_table_config` of the kernel list's thread, as it was passed: nothing but its form is checked. */
export interface PasidTableRequest extends VendorFields {
  readonly kind: "pasid_table_config";
  readonly version?: number;
  /** What it says of its own size. */
  readonly bytes?: number;
  /** Its size, where it was passed as bytes. */
  readonly passed?: number;
  /** Undefined: the older layout, which has no such field, or a value that is no enumerator. */
  readonly model?: ConfigModel;
  readonly unknownModel?: string;
  readonly base: bigint;
  readonly pasidBits?: number;
  /** Undefined: the identity. */
  readonly parent?: ParentStage;
}

/** `struct iommu_hwpt_vtd_s1`: one first-stage page table, nested on a second stage of the host. */
export interface VtdStage1Request {
  readonly kind: "iommu_hwpt_vtd_s1";
  readonly flags: bigint;
  readonly pgtblAddr: bigint;
  readonly addrWidth: number;
  readonly reserved: number;
}

/** `struct iommu_hwpt_arm_smmuv3`: the first two words of an STE, nested on a second stage of the host. */
export interface SmmuSteRequest {
  readonly kind: "iommu_hwpt_arm_smmuv3";
  /** A whole STE, for its layout: only the first 16 bytes were passed, the others are zero. */
  readonly ste: DataView;
}

/** What a VMM asks the host to put under a device. */
export type BindRequest = PasidTableRequest | VtdStage1Request | SmmuSteRequest;
