import { FRAME_BYTES } from "../../walkers/memory.ts";
import { addBytes, type ByteMask } from "./byte-mask.ts";

/** What of a frame a range set holds. */
export const NOTHING = 0;
export const EVERYTHING = 1;
export const PART = 2;
export type FrameCoverage = 0 | 1 | 2;

/** Ranges of one block: a larger one is split, so that an insertion moves few of them. */
const MAX_BLOCK = 256;

/** Some ranges that follow one another, as columns. */
class Block {
  readonly startFrame: number[] = [];
  readonly startOffset: number[] = [];
  readonly endFrame: number[] = [];
  readonly endOffset: number[] = [];

  get size(): number {
    return this.startFrame.length;
  }

  insert(at: number, startFrame: number, startOffset: number, endFrame: number, endOffset: number): void {
    this.startFrame.splice(at, 0, startFrame);
    this.startOffset.splice(at, 0, startOffset);
    this.endFrame.splice(at, 0, endFrame);
    this.endOffset.splice(at, 0, endOffset);
  }

  remove(at: number): void {
    this.startFrame.splice(at, 1);
    this.startOffset.splice(at, 1);
    this.endFrame.splice(at, 1);
    this.endOffset.splice(at, 1);
  }

  /** Whether range `i` ends below an address. */
  endsBefore(i: number, frame: number, offset: number): boolean {
    return isBefore(this.endFrame[i]!, this.endOffset[i]!, frame, offset);
  }

  /** Takes the upper half away, as a block of its own. */
  split(): Block {
    const upper = new Block();
    const from = this.size >>> 1;
    upper.startFrame.push(...this.startFrame.splice(from));
    upper.startOffset.push(...this.startOffset.splice(from));
    upper.endFrame.push(...this.endFrame.splice(from));
    upper.endOffset.push(...this.endOffset.splice(from));
    return upper;
  }
}

/**
 * A set of 64-bit byte addresses as disjoint, sorted ranges. An address is a frame number (exact in a double)
 * and an offset; the end of a range is exclusive and may be frame 2^52, offset 0 (the byte address 2^64). Costs
 * what its ranges cost, whatever they span; a lookup is two binary searches, and an addition moves the ranges of one
 * block, however many there are.
 */
export class RangeSet {
  /** None is empty. */
  readonly #blocks: Block[] = [];
  // What `#find` found: the first range that ends at or beyond an address. There is none where `#block` is no index.
  #block = 0;
  #index = 0;

  /**
   * Adds a range; ranges that touch or overlap become one.
   * @returns false where all of it was there already
   */
  add(startFrame: number, startOffset: number, endFrame: number, endOffset: number): boolean {
    if (startFrame === endFrame && startOffset === endOffset) return false;
    const blocks = this.#blocks;
    this.#find(startFrame, startOffset);
    // What it touches goes, and becomes part of it.
    while (this.#block < blocks.length) {
      const block = blocks[this.#block]!;
      const i = this.#index;
      const sf = block.startFrame[i]!;
      const so = block.startOffset[i]!;
      if (isBefore(endFrame, endOffset, sf, so)) break;
      const startsInside = !isBefore(startFrame, startOffset, sf, so);
      const endsInside = !block.endsBefore(i, endFrame, endOffset);
      if (startsInside && endsInside) return false;
      if (startsInside) {
        startFrame = sf;
        startOffset = so;
      }
      if (endsInside) {
        endFrame = block.endFrame[i]!;
        endOffset = block.endOffset[i]!;
      }
      this.#remove(block, i);
    }
    this.#insert(startFrame, startOffset, endFrame, endOffset);
    return true;
  }

  clear(): void {
    this.#blocks.length = 0;
  }

  coverage(frame: number): FrameCoverage {
    this.#find(frame, 1);
    const block = this.#blocks[this.#block];
    if (block === undefined) return NOTHING;
    const i = this.#index;
    const start = block.startFrame[i]!;
    if (start > frame) return NOTHING;
    const whole = (start < frame || block.startOffset[i] === 0) && block.endFrame[i]! > frame;
    return whole ? EVERYTHING : PART;
  }

  /**
   * Adds to `mask` the bytes of a frame that are in the set.
   * @returns how many of them the mask did not have
   */
  markBytes(frame: number, mask: ByteMask): number {
    let added = 0;
    this.#find(frame, 1);
    for (let b = this.#block, i = this.#index; b < this.#blocks.length; b++, i = 0) {
      const block = this.#blocks[b]!;
      for (; i < block.size; i++) {
        if (block.startFrame[i]! > frame) return added;
        const from = block.startFrame[i] === frame ? block.startOffset[i]! : 0;
        const to = block.endFrame[i] === frame ? block.endOffset[i]! : FRAME_BYTES;
        added += addBytes(mask, from, to);
      }
    }
    return added;
  }

  /** Finds the first range whose end is at or beyond an address. */
  #find(frame: number, offset: number): void {
    const blocks = this.#blocks;
    let low = 0;
    let high = blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const block = blocks[middle]!;
      if (block.endsBefore(block.size - 1, frame, offset)) low = middle + 1;
      else high = middle;
    }
    this.#block = low;
    const block = blocks[low];
    low = 0;
    high = block?.size ?? 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (block!.endsBefore(middle, frame, offset)) low = middle + 1;
      else high = middle;
    }
    this.#index = low;
  }

  /** Removes a range at the place that was found; the next one stands there then. */
  #remove(block: Block, index: number): void {
    block.remove(index);
    if (block.size === 0) this.#blocks.splice(this.#block, 1);
    else if (index === block.size) {
      this.#block++;
      this.#index = 0;
    }
  }

  /** Inserts a range at the place that was found. */
  #insert(startFrame: number, startOffset: number, endFrame: number, endOffset: number): void {
    const blocks = this.#blocks;
    if (this.#block === blocks.length) {
      if (blocks.length === 0) blocks.push(new Block());
      this.#block = blocks.length - 1;
      this.#index = blocks[this.#block]!.size;
    }
    const block = blocks[this.#block]!;
    block.insert(this.#index, startFrame, startOffset, endFrame, endOffset);
    if (block.size > MAX_BLOCK) blocks.splice(this.#block + 1, 0, block.split());
  }
}

/** Whether one address is below another. */
export function isBefore(aFrame: number, aOffset: number, bFrame: number, bOffset: number): boolean {
  return aFrame < bFrame || (aFrame === bFrame && aOffset < bOffset);
}
