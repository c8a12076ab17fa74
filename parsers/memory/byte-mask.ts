/**
 * Which bytes of one 4 KiB frame exist: a bit per byte, in 32-bit words. Allocated only for frames that are
 * there in part.
 */
import { FRAME_BYTES } from "../../walkers/memory.ts";

export type ByteMask = Int32Array;

export function newByteMask(): ByteMask {
  return new Int32Array(FRAME_BYTES / 32);
}

/** Bits `from` to `to` - 1 of one word; `to` is 1 to 32. */
function wordBits(from: number, to: number): number {
  return (-1 << from) & (-1 >>> (32 - to));
}

/**
 * Adds bytes `from` to `to` - 1 of the frame.
 * @returns how many of them were not there before
 */
export function addBytes(mask: ByteMask, from: number, to: number): number {
  let added = 0;
  for (let at = from; at < to; at = (at | 31) + 1) {
    const bits = wordBits(at & 31, Math.min(to - (at & ~31), 32));
    const word = at >>> 5;
    added += popcount(bits & ~mask[word]!);
    mask[word]! |= bits;
  }
  return added;
}

/** Whether bytes `from` to `to` - 1 of the frame are all there. */
export function hasBytes(mask: ByteMask, from: number, to: number): boolean {
  for (let at = from; at < to; at = (at | 31) + 1) {
    const bits = wordBits(at & 31, Math.min(to - (at & ~31), 32));
    if ((mask[at >>> 5]! & bits) !== bits) return false;
  }
  return true;
}

/** How many bytes are there. */
export function countBytes(mask: ByteMask): number {
  let count = 0;
  for (let i = 0; i < mask.length; i++) count += popcount(mask[i]!);
  return count;
}

/** Number of ones in a 32-bit word. */
export function popcount(word: number): number {
  let n = word - ((word >>> 1) & 0x5555_5555);
  n = (n & 0x3333_3333) + ((n >>> 2) & 0x3333_3333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
