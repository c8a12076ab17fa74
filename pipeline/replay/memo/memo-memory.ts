/**
 * The one linear memory that the tables of the memo lie in, side by side and as plain words: whoever answers a batch of
 * requests at once looks them up in it. Offsets and sizes are in bytes.
 */

/** Bytes of a slot of either table: two of them are one line of the processor's cache. */
export const MEMO_SLOT_BYTES = 32;
/** The same as words of 4 bytes. */
export const MEMO_SLOT_WORDS = MEMO_SLOT_BYTES / 4;

/** Slots of contexts and of answers, and kinds of answers: powers of two. Of the slots, half may be taken. */
export const CONTEXT_SLOTS = 1 << 15;
export const ANSWER_SLOTS = 1 << 18;
export const MAX_TAILS = 1 << 15;

/** Words that are not in a table: the period. */
export const PERIOD_AT = 0;
const HEAD_BYTES = 64;

export const CONTEXTS_AT = HEAD_BYTES;
export const ANSWERS_AT = CONTEXTS_AT + CONTEXT_SLOTS * MEMO_SLOT_BYTES;
export const TAILS_AT = ANSWERS_AT + ANSWER_SLOTS * MEMO_SLOT_BYTES;
export const MEMO_BYTES = TAILS_AT + MAX_TAILS * MEMO_SLOT_BYTES;

// A context: what it is found by (IOMMU and device as the trace names them, PASID), the period in which it was noted,
// its class and its own class; see `Memo`.
export const CONTEXT_IOMMU = 0;
export const CONTEXT_DEVICE = 1;
export const CONTEXT_PASID = 2;
export const CONTEXT_PERIOD = 3;
export const CONTEXT_CLASS = 4;
export const CONTEXT_OWN_CLASS = 5;

// An answer: class and privilege, page (of one that faults with the access in its low bits), period, kinds of access,
// which tail, and the page's physical address. A class of 0 is a free slot.
export const ANSWER_CLASS = 0;
export const ANSWER_PAGE_HI = 1;
export const ANSWER_PAGE_LO = 2;
export const ANSWER_PERIOD = 3;
export const ANSWER_ACCESS = 4;
export const ANSWER_TAIL = 5;
export const ANSWER_PA_HI = 6;
export const ANSWER_PA_LO = 7;

// A tail: how often it was the answer since it was counted last, how often a right one, and to how many bytes.
export const TAIL_COUNT = 0;
export const TAIL_MATCHES = 1;
/** As a number of 8 bytes. */
export const TAIL_BYTES = 1;

/** Where a context is looked for first. */
export function contextHash(iommu: number, device: number, pasid: number): number {
  const hash = Math.imul(device ^ Math.imul(iommu, 0x85eb_ca6b), 0x9e37_79b1) ^ Math.imul(pasid, 0xc2b2_ae35);
  return (hash ^ (hash >>> 15)) & (CONTEXT_SLOTS - 1);
}

/** Where the answers of a page are looked for first. @param group class and privilege */
export function answerHash(group: number, hi: number, lo: number): number {
  const hash =
    Math.imul((lo >>> 12) ^ Math.imul(hi, 0x85eb_ca6b), 0x9e37_79b1) ^ Math.imul(group, 0xc2b2_ae35);
  return (hash ^ (hash >>> 15)) & (ANSWER_SLOTS - 1);
}
