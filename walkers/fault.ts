/**
 * The generic fault reasons: the names of Linux's `enum iommu_fault_reason` over its versions, without the
 * prefix, and two of ours (BAD_DEVICE_CONTEXT, BAD_PTE). The sentence is what `explain` prints.
 */
export const FAULT_REASONS = {
  UNKNOWN: "no reason is known",
  INTERNAL: "the IOMMU failed internally",
  SOURCEID_INVALID: "no such device or stream",
  DEVICE_CONTEXT_FETCH: "the device's context could not be read",
  BAD_DEVICE_CONTEXT: "the device's context is not present or is misprogrammed",
  PASID_FETCH: "the PASID table could not be read",
  PASID_INVALID: "the PASID is out of range, disabled or not present",
  BAD_PASID_ENTRY: "the PASID entry is present but misprogrammed",
  PGD_FETCH: "the root of the page table could not be read",
  WALK_EABT: "a lower page table could not be read",
  PTE_FETCH: "a page-table entry is not present: the plain translation fault",
  BAD_PTE: "a page-table entry has reserved bits set or is malformed",
  PERMISSION: "this kind of access is denied",
  ACCESS: "the access flag is clear",
  OOR_ADDRESS: "the input or the output address is out of range",
} as const;

export type FaultReason = keyof typeof FAULT_REASONS;

/** One fault of a vendor's specification. Declared once per vendor; walkers report a reference to it. */
export interface Fault {
  /** The native fault code or event number; 0 where the specification has none: the request is only terminated. */
  readonly code: number;
  /** The name as the specification (or, where it gives only numbers, Linux or this document's tables) spells it. */
  readonly name: string;
  readonly reason: FaultReason;
  /** Other reasons that the same code is reported for: an outcome, and often the native record, says which. */
  readonly others?: readonly FaultReason[];
  /** Document and section that define it. */
  readonly source: string;
  /** One sentence on what it means. */
  readonly text: string;
  /** What most often brings it about, for a person who debugs it; printed by `explain`. */
  readonly causes?: readonly string[];
}

/** Whether the specification gives a fault a code: no code that it defines is 0. */
export function hasCode({ code }: Pick<Fault, "code">): boolean {
  return code !== 0;
}
