/**
 * What x86-64, VT-d second-stage and AMD-Vi v1 page tables share: tables of 512 entries of 8 bytes, one per 4 KiB
 * frame, so that each level indexes nine bits of the address. Level 1 maps 4 KiB pages.
 */
import { entryShift, RADIX512 } from "./geometry.ts";

const INDEX_MASK = (1 << RADIX512.bits) - 1;

/** log2 of the bytes that an entry of a level maps. */
export function radix512Shift(level: number): number {
  return entryShift(RADIX512, level);
}

/** Index of a 64-bit address into the table at a level, 0 to 511; at level 6 only bits 63:57 are left. */
export function indexAt(level: number, hi: number, lo: number): number {
  switch (level) {
    case 1:
      return (lo >>> 12) & INDEX_MASK;
    case 2:
      return (lo >>> 21) & INDEX_MASK;
    case 3:
      return ((lo >>> 30) | (hi << 2)) & INDEX_MASK;
    case 4:
      return (hi >>> 7) & INDEX_MASK;
    case 5:
      return (hi >>> 16) & INDEX_MASK;
    default:
      return hi >>> 25;
  }
}

/** Frames of a leaf of level 1, 2 or 3, less one: the mask of a frame number within its page. */
export function frameMask(level: number): number {
  return level === 1 ? 0 : level === 2 ? 0x1ff : 0x3_ffff;
}
