import type { WalkResult } from "../result.ts";

/**
 * How a page-table walk ended. A format reports the condition; the vendor's walker turns it into the fault code
 * that its specification gives this condition.
 */
export const WALKED = 0;
/** The entry could not be read: it is outside recorded memory. */
export const FETCH_FAILED = 1;
export const NOT_PRESENT = 2;
/** Reserved bits set, or a malformed entry. */
export const RESERVED = 3;
/** The input address is outside what the format, at this width, can translate. */
export const OUT_OF_RANGE = 4;
/** An address in an entry is wider than the output width (Arm: address size fault). */
export const ADDRESS_SIZE = 5;
export const DENIED = 6;
/** The second stage faulted under this walk; the result already says how. */
export const SECOND_STAGE_FAULT = 7;
/** Hardware has to set an accessed flag in the entry, and cannot: the stage below or the IOMMU forbids it. */
export const FLAG_UPDATE = 8;

export type WalkStatus = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** What a second-stage translation is for: it decides the class of a fault. */
export const FOR_DATA = 0;
/** A fetch of a first-stage page-table entry. */
export const FOR_TABLE = 1;
/** A fetch of a PASID structure (PASID entry, CD, GCR3 entry, process context) at a guest-physical address. */
export const FOR_CONTEXT = 2;

/**
 * The second stage that a first-stage walk goes through, for its own entries and for the final address. The
 * implementation reports its faults into `out` itself.
 */
export interface SecondStage {
  /** After a successful `translate`: 4 KiB frame number of the output. */
  frame: number;
  /** log2 of the page size of the last translation; 0 where nothing was translated (identity). */
  pageShift: number;
  /** READ | WRITE | EXECUTE that the last translation grants. */
  perm: number;

  /**
   * Translates an intermediate (guest-physical) address, given as two 32-bit halves.
   * @param access READ, WRITE, EXECUTE bits to check
   * @param purpose FOR_DATA, FOR_TABLE or FOR_CONTEXT
   * @returns false after having filled `out` with the fault
   */
  translate(hi: number, lo: number, access: number, purpose: number, out: WalkResult): boolean;
}
