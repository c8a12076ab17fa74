import type { Cause, Fault, FaultReason } from "../../fault.ts";

export interface VtdFault extends Fault {
  /** Not recorded where an entry on the way has FPD set (VT-d 5.10, section 7.1.1). */
  readonly qualified: boolean;
}

export const TABLE_30 = "VT-d 5.10, 7.1.3, Table 30";
export const TABLE_15 = "VT-d 5.10, 5.1.4.1, Table 15";

/** Qualified: FPD suppresses the record. */
export const Q = true;
/** Not qualified: always recorded. */
export const N = false;

export function fault(
  code: number,
  name: string,
  qualified: boolean,
  reason: FaultReason,
  text: string,
  causes?: readonly Cause[],
  source = TABLE_30,
  others?: readonly FaultReason[],
): VtdFault {
  return {
    code,
    name,
    reason,
    ...(others ? { others } : {}),
    source,
    text,
    qualified,
    ...(causes ? { causes } : {}),
  };
}

// What often brings several of them about.
const UNMAPPED = "the driver unmapped the buffer, or never mapped it, before the device used it";
const OTHER_SPACE =
  "the device uses an address of another address space (a physical address, or another PASID's)";
/** It knows nothing of PASIDs. */
const FIRMWARE =
  "the firmware still has the device use the memory (integrated graphics 00:02.0 its stolen memory, a management controller), and its DMAR table has no RMRR for it";
export const NOT_MAPPED: readonly Cause[] = [UNMAPPED, OTHER_SPACE, { text: FIRMWARE, withPasid: false }];
export const READ_ONLY: readonly Cause[] = [
  {
    text: "the buffer was mapped for the other direction (DMA_TO_DEVICE, DMA_FROM_DEVICE)",
    reasons: ["PERMISSION"],
  },
];
/** Where one code stands for entries that are not present and for missing rights. */
export const NOT_MAPPED_AT_ALL: readonly Cause[] = [UNMAPPED, OTHER_SPACE, FIRMWARE].map((text) => ({
  text,
  reasons: ["PTE_FETCH"],
}));
export const UNINITIALISED = [
  "the page was reused, or never cleared",
  "the entry belongs to another table format",
];
export const WRONG_POINTER = ["the pointer was written with the wrong shift", "the table was freed"];
export const UNSNOOPED = [
  "PWSNP of the PASID table entry is clear",
  "the driver did not set the accessed and dirty flags in advance",
];
