/** The rounding rules of commands that take a range of addresses: all count 4 KiB frames, which doubles hold exactly. */

import type { Invalidation } from "../invalidation.ts";
import { frameHi, frameLo } from "../memory.ts";

/** Bits of a frame number of a 64-bit address. */
export const FRAME_BITS = 52;

/** Narrows to `2^order` frames, from `frame` rounded down to that size. From order 52 on that is no narrowing. */
export function alignedRange(inv: Invalidation, frame: number, order: number): void {
  if (order >= FRAME_BITS) return;
  const frames = 2 ** order;
  setRange(inv, frame - (frame % frames), frames);
}

/** Narrows to `frames` frames from `frame` on; a range that leaves the address space ends with it, it does not wrap. */
export function setRange(inv: Invalidation, frame: number, frames: number): void {
  const last = Math.min(frame + frames, 2 ** FRAME_BITS) - 1;
  inv.hasAddress = true;
  inv.addrHi = frameHi(frame);
  inv.addrLo = frameLo(frame);
  inv.lastHi = frameHi(last);
  inv.lastLo = frameLo(last) | 0xfff;
}

/** An address whose bits from 12 up are all ones says no size. */
export const NO_SIZE = FRAME_BITS + 1;

/**
 * Order of a range whose size stands in its address: with the lowest zero bit of the frame number at position n, it is
 * 2^(n+1) frames (PCIe ATS, AMD `S`, RISC-V `S`).
 * @returns 1 to 52, or NO_SIZE where there is no zero bit
 */
export function sizeInAddress(frame: number): number {
  let order = 1;
  for (let rest = frame; rest % 2 === 1; rest = (rest - 1) / 2) order++;
  return order > FRAME_BITS ? NO_SIZE : order;
}
