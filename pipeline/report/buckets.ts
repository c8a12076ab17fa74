import { LANE_NAMES, type Lane } from "./lanes.ts";

/**
 * Counts along an axis that nobody knows the length of: a fixed number of buckets of equal width, which doubles whenever
 * a position lies behind the last one.
 */
export class Buckets {
  /** First position. */
  start = 0;
  /** Of each bucket, in the axis' units. */
  width: number;
  /** Buckets in use. */
  used = 0;
  readonly #size: number;
  /** By lane; made when the first one is counted. */
  readonly #counts = new Map<Lane, Float64Array>();
  #empty = true;

  /**
   * @param size number of buckets; even
   * @param width of each at first: the finest that is told apart
   */
  constructor(size: number, width: number) {
    this.#size = size;
    this.width = width;
  }

  /** @param position one before the first counts as there */
  add(lane: Lane, position: number): void {
    if (this.#empty) {
      this.#empty = false;
      this.start = position;
    }
    let bucket = Math.floor((position - this.start) / this.width);
    if (!(bucket > 0)) bucket = 0;
    while (bucket >= this.#size) {
      this.#halve();
      bucket = Math.floor((position - this.start) / this.width);
    }
    if (bucket >= this.used) this.used = bucket + 1;
    let counts = this.#counts.get(lane);
    if (counts === undefined) {
      counts = new Float64Array(this.#size);
      this.#counts.set(lane, counts);
    }
    counts[bucket]!++;
  }

  /** Counts by bucket of the lanes that have any, in the order of `LANES`. */
  lanes(): { readonly lane: Lane; readonly counts: readonly number[] }[] {
    return LANE_NAMES.flatMap((lane) => {
      const counts = this.#counts.get(lane);
      return counts === undefined ? [] : [{ lane, counts: [...counts.subarray(0, this.used)] }];
    });
  }

  #halve(): void {
    this.width *= 2;
    this.used = Math.ceil(this.used / 2);
    for (const counts of this.#counts.values()) {
      for (let i = 0; i < this.#size / 2; i++) counts[i] = counts[2 * i]! + counts[2 * i + 1]!;
      counts.fill(0, this.#size / 2);
    }
  }
}
