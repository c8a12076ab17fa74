import { FRAME_BYTES } from "../../walkers/memory.ts";
import { addBytes, type ByteMask } from "./byte-mask.ts";

/** What of a frame a range set holds. */
export const NOTHING = 0;
export const EVERYTHING = 1;
export const PART = 2;
export type Coverage = 0 | 1 | 2;

/**
 * A set of 64-bit byte addresses as disjoint, sorted ranges. An address is a frame number (exact in a double)
 * and an offset; the end of a range is exclusive and may be frame 2^52, offset 0 (the byte address 2^64). Costs
 * what its ranges cost, whatever they span; a lookup is a binary search.
 */
export class RangeSet {
  readonly #startFrame: number[] = [];
  readonly #startOffset: number[] = [];
  readonly #endFrame: number[] = [];
  readonly #endOffset: number[] = [];

  get size(): number {
    return this.#startFrame.length;
  }

  /**
   * Adds a range; ranges that touch or overlap become one.
   * @returns false where all of it was there already
   */
  add(startFrame: number, startOffset: number, endFrame: number, endOffset: number): boolean {
    if (startFrame === endFrame && startOffset === endOffset) return false;
    const first = this.#firstEndingAtOrAfter(startFrame, startOffset);
    let last = first;
    while (
      last < this.size &&
      !isBefore(endFrame, endOffset, this.#startFrame[last]!, this.#startOffset[last]!)
    )
      last++;
    if (first < last) {
      const sf = this.#startFrame[first]!;
      const so = this.#startOffset[first]!;
      const ef = this.#endFrame[last - 1]!;
      const eo = this.#endOffset[last - 1]!;
      const startsInside = !isBefore(startFrame, startOffset, sf, so);
      const endsInside = !isBefore(ef, eo, endFrame, endOffset);
      if (last - first === 1 && startsInside && endsInside) return false;
      if (startsInside) {
        startFrame = sf;
        startOffset = so;
      }
      if (endsInside) {
        endFrame = ef;
        endOffset = eo;
      }
    }
    const replaced = last - first;
    this.#startFrame.splice(first, replaced, startFrame);
    this.#startOffset.splice(first, replaced, startOffset);
    this.#endFrame.splice(first, replaced, endFrame);
    this.#endOffset.splice(first, replaced, endOffset);
    return true;
  }

  clear(): void {
    this.#startFrame.length = 0;
    this.#startOffset.length = 0;
    this.#endFrame.length = 0;
    this.#endOffset.length = 0;
  }

  coverage(frame: number): Coverage {
    const i = this.#firstEndingAtOrAfter(frame, 1);
    if (i === this.size || this.#startFrame[i]! > frame) return NOTHING;
    const whole = (this.#startFrame[i]! < frame || this.#startOffset[i] === 0) && this.#endFrame[i]! > frame;
    return whole ? EVERYTHING : PART;
  }

  /**
   * Adds to `mask` the bytes of a frame that are in the set.
   * @returns how many of them the mask did not have
   */
  markBytes(frame: number, mask: ByteMask): number {
    let added = 0;
    for (let i = this.#firstEndingAtOrAfter(frame, 1); i < this.size && this.#startFrame[i]! <= frame; i++) {
      const from = this.#startFrame[i] === frame ? this.#startOffset[i]! : 0;
      const to = this.#endFrame[i] === frame ? this.#endOffset[i]! : FRAME_BYTES;
      added += addBytes(mask, from, to);
    }
    return added;
  }

  /** Index of the first range whose end is at or beyond an address. */
  #firstEndingAtOrAfter(frame: number, offset: number): number {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(this.#endFrame[middle]!, this.#endOffset[middle]!, frame, offset)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Whether one address is below another. */
export function isBefore(aFrame: number, aOffset: number, bFrame: number, bOffset: number): boolean {
  return aFrame < bFrame || (aFrame === bFrame && aOffset < bOffset);
}
