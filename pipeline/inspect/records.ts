/**
 * What an inspection finds, as objects: the NDJSON output of `inspect`. 64-bit addresses are hex strings, everything
 * else numbers, as in the trace contract.
 */
import type { FaultReason } from "../../walkers/fault.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { TranslationKind } from "../../walkers/page-tables/address-space.ts";

export interface InspectedIommu {
  readonly type: "iommu";
  readonly iommu?: string | undefined;
  readonly model: IommuModel;
  /** Whether requests of devices without a binding are translated, passed through or refused. */
  readonly translation: "enabled" | "passthrough" | "blocked";
  /** What the base register points to; absent where the trace does not give that register. */
  readonly table?: { readonly kind: string; readonly addr: string } | undefined;
}

export interface InspectedDevice {
  readonly type: "device";
  readonly iommu?: string | undefined;
  readonly dev: string;
  /** Requester id, StreamID, DeviceID or device_id. */
  readonly id: number;
  /** The PASID table comes from a `bind` record. */
  readonly bound?: true | undefined;
  /** Where its PASID structures begin. */
  readonly pasid_table?:
    | { readonly kind: string; readonly addr: string; readonly pasids: number }
    | undefined;
  /** The PASID whose entry requests without PASID use. */
  readonly default_pasid?: number | undefined;
}

/** Devices one after another whose contexts have no tables: they pass through, or are refused. */
export interface InspectedDevices {
  readonly type: "devices";
  readonly iommu?: string | undefined;
  readonly dev: string;
  readonly last: string;
  readonly count: number;
  readonly translation: "passthrough" | "blocked";
  readonly domain?: number | undefined;
}

export interface InspectedTable {
  readonly stage: 1 | 2;
  readonly format: string;
  readonly root: string;
  readonly levels: number;
  /** KiB, where it is not 4. */
  readonly granule?: number | undefined;
  /** Where the same PASID has several: the first input address of this one. */
  readonly from?: string | undefined;
}

/** Requests of one device with one PASID, or without; it follows their `map` and `note` records. */
export interface InspectedPasid {
  readonly type: "pasid";
  readonly iommu?: string | undefined;
  readonly dev: string;
  /** Absent: requests without PASID. */
  readonly pasid?: number | undefined;
  readonly translation: TranslationKind | "blocked";
  readonly domain?: number | undefined;
  readonly asid?: number | undefined;
  readonly tables: readonly InspectedTable[];
  /** blocked: the fault of every request, where the context or PASID entry has it. */
  readonly fault?: Pick<InspectionNote, "code" | "name" | "reason"> | undefined;
  /** Merged ranges, bytes mapped, and pages by their size in bytes. */
  readonly ranges: number;
  readonly bytes: number;
  readonly pages: Readonly<Record<string, number>>;
  /** Ranges whose entries are there, and fault. */
  readonly faulty: number;
  /** false: a limit ended the enumeration before the end of the address space. */
  readonly complete?: false | undefined;
}

export interface InspectedRange {
  readonly type: "map";
  readonly iommu?: string | undefined;
  readonly dev: string;
  readonly pasid?: number | undefined;
  readonly iova: string;
  readonly pa: string;
  readonly size: number;
  /** "rwx" with "-" for what the walk denies. */
  readonly perm: string;
  /** Bytes of each page; absent where nothing is translated. */
  readonly page?: number | undefined;
  /** Unprivileged requests are refused: the rights are those of privileged ones. */
  readonly priv?: true | undefined;
  readonly passthrough?: true | undefined;
}

export interface InspectionNote {
  readonly type: "note";
  readonly note: "faulty" | "limit" | "effort" | "table";
  readonly iommu?: string | undefined;
  readonly dev?: string | undefined;
  readonly pasid?: number | undefined;
  /** Where the same can be said of several devices, or PASIDs, one after another: the last, and how many. */
  readonly last?: string | number | undefined;
  readonly count?: number | undefined;
  /** First input address, and bytes, that a page-table entry at fault stands for. */
  readonly iova?: string | undefined;
  readonly size?: number | undefined;
  readonly reason?: FaultReason | undefined;
  readonly code?: string | undefined;
  readonly name?: string | undefined;
  readonly stage?: number | undefined;
  readonly level?: number | undefined;
  readonly entry_addr?: string | undefined;
  readonly entry?: string | undefined;
  readonly hole?: true | undefined;
  /** Where to go on. */
  readonly next?: string | undefined;
  readonly message: string;
}

export interface InspectionSummary {
  readonly type: "inspect-summary";
  /** The state is that after this line. */
  readonly line: number;
  readonly iommus: number;
  /** Devices with tables, and devices without. */
  readonly devices: number;
  readonly plain_devices: number;
  readonly pasids: number;
  readonly ranges: number;
  readonly bytes: number;
  readonly pages: Readonly<Record<string, number>>;
  readonly faulty: number;
  /** Walks made. */
  readonly walks: number;
  readonly complete: boolean;
}
