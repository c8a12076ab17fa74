import type { ConfigModel, IommuModel } from "../../walkers/models.ts";
import type { ParentStage } from "../../walkers/pasid-tables/format.ts";
import type { VendorFields } from "../../walkers/pasid-tables/vendor-fields.ts";

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

/** A structure of iommufd (`HwptStructure`) for IOMMUs of one model. */
export interface HwptRequest {
  readonly kind: "iommu_hwpt";
  readonly owner: IommuModel;
  /** All of its bytes, little-endian. */
  readonly view: DataView;
}

/** What a VMM asks the host to put under a device. */
export type BindRequest = PasidTableRequest | HwptRequest;
