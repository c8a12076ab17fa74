import { TRANSLATED } from "./request.ts";

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

/** A name of `FAULT_REASONS`. */
export type FaultReason = keyof typeof FAULT_REASONS;

/** What is known of one fault that has happened: from its native record, or from a walk. What is not known is absent. */
export interface Occurrence {
  /** Generic reasons that are possible. */
  readonly reasons?: readonly FaultReason[] | undefined;
  /** READ, WRITE and EXECUTE of the request. */
  readonly access?: number | undefined;
  readonly stage?: number | undefined;
  /** UNTRANSLATED, TRANSLATION_REQUEST or TRANSLATED. */
  readonly at?: number | undefined;
  /** Whether it had a PASID. */
  readonly withPasid?: boolean | undefined;
  /** Flags of the native record. */
  readonly flags?: number | undefined;
  /** Which of several kinds of one code, where its record says so (`FaultRecordFormat.kind`). */
  readonly kind?: number | undefined;
  /** First 32 bits of the failing entry. */
  readonly entryLo?: number | undefined;
}

/** A likely cause; with conditions, one that is said only of faults that may be so. */
interface ConditionalCause {
  readonly text: string;
  readonly reasons?: readonly FaultReason[];
  /** READ, WRITE and EXECUTE: any of them. */
  readonly access?: number;
  readonly stage?: 1 | 2;
  /** Address types of the request. */
  readonly at?: readonly number[];
  /** It is said only where the address type is known: few requests are of these. */
  readonly rare?: true;
  readonly withPasid?: boolean;
  /** Flags of the native record, and what they are. */
  readonly flags?: { readonly mask: number; readonly value: number };
  readonly kinds?: readonly number[];
  /** Bits of the failing entry's first 32, and what they are. */
  readonly entry?: { readonly mask: number; readonly value: number };
}
export type Cause = string | ConditionalCause;

/** Of a request that has been translated, and that a second stage refuses. */
export const KEPT_BY_DEVICE: Cause = {
  text: "a translated request: the device has kept a translation that software has taken back: its TLB was not invalidated, or it had not done so yet",
  at: [TRANSLATED],
  rare: true,
};

/** The likely causes of a fault that what is known of it leaves possible. */
export function causesOf({ causes = [] }: Pick<Fault, "causes">, known: Occurrence = {}): string[] {
  return causes.flatMap((cause) => {
    if (typeof cause === "string") return [cause];
    return isPossible(cause, known) ? [cause.text] : [];
  });
}

function isPossible(cause: ConditionalCause, known: Occurrence): boolean {
  const { reasons, access, stage, at, rare, withPasid, flags, kinds, entry } = cause;
  if (reasons && known.reasons && !reasons.some((reason) => known.reasons!.includes(reason))) return false;
  if (access !== undefined && known.access !== undefined && (access & known.access) === 0) return false;
  if (stage !== undefined && known.stage !== undefined && stage !== known.stage) return false;
  if (at && (known.at === undefined ? rare : !at.includes(known.at))) return false;
  if (withPasid !== undefined && known.withPasid !== undefined && withPasid !== known.withPasid) return false;
  if (flags && known.flags !== undefined && (known.flags & flags.mask) !== flags.value) return false;
  if (kinds && known.kind !== undefined && !kinds.includes(known.kind)) return false;
  return !entry || known.entryLo === undefined || (known.entryLo & entry.mask) === entry.value;
}

/** One fault of a vendor's specification. Declared once per vendor; walkers report a reference to it. */
export interface Fault {
  /** The native fault code or event number; 0 where the specification has none: the request is only terminated. */
  readonly code: number;
  /** The name as the specification (or, where it gives only numbers, Linux or this document's tables) spells it. */
  readonly name: string;
  readonly reason: FaultReason;
  /** Other reasons that the same code is reported for: an outcome, and often the native record, says which. */
  readonly others?: readonly FaultReason[];
  /** The specification has this one code for nearly all that can be wrong: who tells mistakes apart asks for the reason too. */
  readonly coarse?: true;
  /** Document and section that define it. */
  readonly source: string;
  /** One sentence on what it means. */
  readonly text: string;
  /** What most often brings it about, for a person who debugs it; printed by `explain`. */
  readonly causes?: readonly Cause[];
}

/** Whether the specification gives a fault a code: no code that it defines is 0. */
export function hasCode({ code }: Pick<Fault, "code">): boolean {
  return code !== 0;
}
