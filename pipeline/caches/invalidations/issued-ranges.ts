/** log2 of how many ranges are looked at one by one. */
const RUN_BITS = 4;
const RUN = 1 << RUN_BITS;

/** Consecutive ranges: what they cover together, and between which ticks they were issued. */
interface Block {
  /** First and last of ranges that do not touch, in order. */
  readonly covered: Float64Array;
  readonly earliest: number;
  readonly latest: number;
}

/**
 * Ranges of frames and the ticks at which they were issued. Whether one that was issued within some time overlaps others is
 * told by what 16, 32, 64, … consecutive ones cover together: the logarithm of their number, squared, where they come in the
 * order of their ticks, or nearly so.
 */
export class IssuedRanges {
  readonly #firsts: number[] = [];
  readonly #lasts: number[] = [];
  readonly #ticks: number[] = [];
  /** By log2 of how many ranges there are to each, less RUN_BITS. */
  readonly #blocks: Block[][] = [];

  get size(): number {
    return this.#ticks.length;
  }

  /** Both ends included. */
  add(first: number, last: number, tick: number): void {
    this.#firsts.push(first);
    this.#lasts.push(last);
    this.#ticks.push(tick);
    if (this.size % RUN !== 0) return;
    let block = this.#newRun();
    for (let level = 0; ; level++) {
      const blocks = this.#blocks[level];
      if (blocks === undefined) {
        this.#blocks.push([block]);
        return;
      }
      blocks.push(block);
      if (blocks.length % 2 !== 0) return;
      block = joined(blocks.at(-2)!, block);
    }
  }

  /** Whether one that was issued from a tick on, and up to another, overlaps a range. */
  some(first: number, last: number, since: number, until: number): boolean {
    const { size } = this;
    const runs = Math.floor(size / RUN);
    if (this.#someOfRun(runs * RUN, size, first, last, since, until)) return true;
    // As many blocks as the number of runs has bits: the latest first.
    let end = runs;
    for (let level = 0; end > 0; level++, end >>>= 1)
      if (end % 2 === 1 && this.#someOfBlock(level, end - 1, first, last, since, until)) return true;
    return false;
  }

  forEach(visit: (first: number, last: number, tick: number) => void): void {
    for (let i = 0; i < this.size; i++) visit(this.#firsts[i]!, this.#lasts[i]!, this.#ticks[i]!);
  }

  #someOfBlock(
    level: number,
    index: number,
    first: number,
    last: number,
    since: number,
    until: number,
  ): boolean {
    const { covered, earliest, latest } = this.#blocks[level]![index]!;
    if (latest < since || earliest > until || !overlaps(covered, first, last)) return false;
    if (earliest >= since && latest <= until) return true;
    if (level === 0) return this.#someOfRun(index * RUN, (index + 1) * RUN, first, last, since, until);
    return (
      this.#someOfBlock(level - 1, 2 * index + 1, first, last, since, until) ||
      this.#someOfBlock(level - 1, 2 * index, first, last, since, until)
    );
  }

  #someOfRun(from: number, to: number, first: number, last: number, since: number, until: number): boolean {
    for (let i = to - 1; i >= from; i--) {
      const tick = this.#ticks[i]!;
      if (tick >= since && tick <= until && this.#firsts[i]! <= last && this.#lasts[i]! >= first) return true;
    }
    return false;
  }

  #newRun(): Block {
    const from = this.size - RUN;
    const order = Array.from({ length: RUN }, (_, i) => from + i);
    order.sort((a, b) => this.#firsts[a]! - this.#firsts[b]!);
    const covered: number[] = [];
    for (const i of order) cover(covered, this.#firsts[i]!, this.#lasts[i]!);
    const ticks = this.#ticks.slice(from);
    return {
      covered: Float64Array.from(covered),
      earliest: Math.min(...ticks),
      latest: Math.max(...ticks),
    };
  }
}

/** Adds a range to those that begin before it. */
function cover(covered: number[], first: number, last: number): void {
  const end = covered.length - 1;
  if (end > 0 && first <= covered[end]! + 1) covered[end] = Math.max(covered[end]!, last);
  else covered.push(first, last);
}

function joined(a: Block, b: Block): Block {
  const covered: number[] = [];
  let i = 0;
  let j = 0;
  while (i < a.covered.length || j < b.covered.length)
    if (j === b.covered.length || a.covered[i]! <= b.covered[j]!) {
      cover(covered, a.covered[i]!, a.covered[i + 1]!);
      i += 2;
    } else {
      cover(covered, b.covered[j]!, b.covered[j + 1]!);
      j += 2;
    }
  return {
    covered: Float64Array.from(covered),
    earliest: Math.min(a.earliest, b.earliest),
    latest: Math.max(a.latest, b.latest),
  };
}

/** Whether one of these ranges overlaps another one. */
function overlaps(covered: Float64Array, first: number, last: number): boolean {
  // The first of them that ends at or behind the other's beginning.
  let from = 0;
  let to = covered.length / 2;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (covered[2 * middle + 1]! < first) from = middle + 1;
    else to = middle;
  }
  return 2 * from < covered.length && covered[2 * from]! <= last;
}
