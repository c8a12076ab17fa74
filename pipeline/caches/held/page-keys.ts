/** How pages of any size are told apart: as two halves of an address in the table of pages, as one number elsewhere. */
import { frameOf, framesIn } from "../../../walkers/memory.ts";

/** Bits of a key's low half that hold log2 of the page's size. */
export const SHIFT_BITS = 63;

/** Base of the page that holds an address; the low half carries log2 of its size below bit 12. */
export function baseHi(hi: number, shift: number): number {
  return shift <= 32 ? hi : (hi >> (shift - 32)) << (shift - 32);
}

export function baseLo(lo: number, shift: number): number {
  return (shift >= 32 ? 0 : (lo >> shift) << shift) | shift;
}

/** A page as one number: twice its first frame plus its frames, which no other page has. */
export function pageKey(hi: number, lo: number, shift: number): number {
  const frame = frameOf(hi, lo);
  const frames = framesIn(shift);
  return 2 * (frame - (frame % frames)) + frames;
}

export function pageOf(key: number): { frame: number; shift: number } {
  let frames = 1;
  while (Math.floor(key / frames) % 2 === 0) frames *= 2;
  return { frame: (key - frames) / 2, shift: 12 + Math.log2(frames) };
}
