/** A stretch of an address space in which ranges are mapped; gaps between them count as part of it. */
export interface MapStretch {
  /** First 4 KiB frame, and frames from the first one to the last. */
  readonly frame: number;
  frames: number;
  /** Frames that are mapped. */
  mapped: number;
  ranges: number;
  /** Frame that the first one translates to; only of a single range does it tell of the others. */
  readonly output: number;
  /** Rights of its ranges, as a set of the eight combinations of READ, WRITE and EXECUTE. */
  rights: number;
  /** log2 of the bytes of its smallest and largest page; 0: not translated. */
  smallest: number;
  largest: number;
}

/** A mapped range, as an inspection gives it. */
export interface DigestedRange {
  readonly frame: number;
  readonly frames: number;
  readonly output: number;
  readonly perm: number;
  readonly pageShift: number;
}

/** Ranges that come in ascending order, in bounded memory: once there are too many, those with the smallest gaps between them are joined. */
export class RangeDigest {
  #stretches: MapStretch[] = [];
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  add({ frame, frames, output, perm, pageShift }: DigestedRange): void {
    this.#stretches.push({
      frame,
      frames,
      mapped: frames,
      ranges: 1,
      output,
      rights: 1 << perm,
      smallest: pageShift,
      largest: pageShift,
    });
    if (this.#stretches.length >= 2 * this.#most) this.#stretches = joined(this.#stretches, this.#most);
  }

  /** In ascending order. */
  stretches(): readonly MapStretch[] {
    return this.#stretches.length > this.#most ? joined(this.#stretches, this.#most) : this.#stretches;
  }
}

function joined(stretches: readonly MapStretch[], most: number): MapStretch[] {
  const gaps = stretches.slice(1).map((stretch, i) => gapBetween(stretches[i]!, stretch));
  // Equal gaps all fall on one side: there may be fewer stretches than asked for.
  const limit = [...gaps].sort((a, b) => b - a)[most - 1]!;
  const out: MapStretch[] = [{ ...stretches[0]! }];
  gaps.forEach((gap, i) => {
    const next = stretches[i + 1]!;
    if (gap > limit) out.push({ ...next });
    else join(out.at(-1)!, next);
  });
  return out;
}

function gapBetween(a: MapStretch, b: MapStretch): number {
  return b.frame - a.frame - a.frames;
}

function join(a: MapStretch, b: MapStretch): void {
  a.frames = b.frame + b.frames - a.frame;
  a.mapped += b.mapped;
  a.ranges += b.ranges;
  a.rights |= b.rights;
  a.smallest = Math.min(a.smallest, b.smallest);
  a.largest = Math.max(a.largest, b.largest);
}
