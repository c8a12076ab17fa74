/**
 * The interrupt address range of x86, FEEx_xxxxh: a write to it is an interrupt message (Intel VT-d 5.10, 3.15; AMD
 * 48882, 2.1.2).
 */
import { FRAME_SHIFT } from "./memory.ts";

/** Bits 63:20 of its addresses. */
const RANGE = 0xfee;
const RANGE_SHIFT = 20;

/**
 * log2 of aligned blocks of addresses of which an IOMMU that translates nothing has one answer: no special range, and no
 * limit of addresses, begins or ends within one.
 */
export const PASSING_SHIFT = RANGE_SHIFT;

/** Its first 4 KiB frame, and the one after the last. */
export const INTERRUPT_FIRST = RANGE * 2 ** (RANGE_SHIFT - FRAME_SHIFT);
export const INTERRUPT_END = INTERRUPT_FIRST + 2 ** (RANGE_SHIFT - FRAME_SHIFT);

/** Whether a 64-bit address is in it. */
export function inInterruptRange(hi: number, lo: number): boolean {
  return hi === 0 && lo >>> RANGE_SHIFT === RANGE;
}
