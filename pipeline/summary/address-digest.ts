import { FRAME_SHIFT, FRAMES, frameOf } from "../../walkers/memory.ts";

/** A block of addresses, and how many of those that were added lie in it. */
export interface AddressBlock {
  /** First 4 KiB frame. */
  readonly frame: number;
  /** 4 KiB frames. */
  readonly frames: number;
  count: number;
}

/** Blocks kept unless the caller says otherwise. */
const MOST_BLOCKS = 256;

/**
 * Where addresses lie, in bounded memory: counts by page, and by ever larger blocks (naturally aligned, all of one size)
 * once there are more pages than are kept.
 */
export class AddressDigest {
  /** log2 of the bytes of each block. */
  shift = FRAME_SHIFT;
  /** By the first frame of the block. */
  #counts = new Map<number, number>();
  readonly #most: number;

  constructor(most = MOST_BLOCKS) {
    this.#most = most;
  }

  /** Adds a byte address by its halves. */
  add(hi: number, lo: number): void {
    this.#add(frameOf(hi, lo), 1);
    while (this.#counts.size > this.#most && this.#frames < FRAMES) this.#coarsen();
  }

  /** In ascending order. */
  blocks(): AddressBlock[] {
    const frames = this.#frames;
    return [...this.#counts].sort(([a], [b]) => a - b).map(([frame, count]) => ({ frame, frames, count }));
  }

  get #frames(): number {
    return 2 ** (this.shift - FRAME_SHIFT);
  }

  #add(frame: number, count: number): void {
    const first = frame - (frame % this.#frames);
    this.#counts.set(first, (this.#counts.get(first) ?? 0) + count);
  }

  #coarsen(): void {
    this.shift++;
    const finer = this.#counts;
    this.#counts = new Map();
    for (const [frame, count] of finer) this.#add(frame, count);
  }
}
