import type { RangeWalk } from "./range-walk.ts";

/** Counts of one address space as it is enumerated, and of the whole inspection. */
export class Tally {
  /** Of the address space at hand. */
  ranges = 0;
  faulty = 0;
  #bytes = 0;
  /** By log2 of the page size. */
  readonly #pages = new Float64Array(64);

  // Of everything.
  devices = 0;
  plainDevices = 0;
  pasids = 0;
  allRanges = 0;
  allBytes = 0;
  allFaulty = 0;
  faultyContexts = 0;
  readonly allPages = new Float64Array(64);
  complete = true;

  /** Adds what another inspection has counted. */
  include(other: Tally): void {
    this.devices += other.devices;
    this.plainDevices += other.plainDevices;
    this.pasids += other.pasids;
    this.allRanges += other.allRanges;
    this.allBytes += other.allBytes;
    this.allFaulty += other.allFaulty;
    this.faultyContexts += other.faultyContexts;
    other.allPages.forEach((count, shift) => {
      this.allPages[shift]! += count;
    });
    this.complete &&= other.complete;
  }

  begin(): void {
    this.ranges = 0;
    this.faulty = 0;
    this.#bytes = 0;
    this.#pages.fill(0);
  }

  addPages(range: RangeWalk): void {
    this.ranges++;
    if (range.pageShift === 0) return;
    this.#bytes += range.frames * 4096;
    this.#pages[range.pageShift]! += range.pages;
  }

  /** Closes the address space. */
  end(complete: boolean) {
    this.allRanges += this.ranges;
    this.allBytes += this.#bytes;
    this.allFaulty += this.faulty;
    for (let shift = 0; shift < this.#pages.length; shift++) this.allPages[shift]! += this.#pages[shift]!;
    if (!complete) this.complete = false;
    return {
      ranges: this.ranges,
      bytes: this.#bytes,
      pages: bySize(this.#pages),
      faulty: this.faulty,
      complete: complete ? undefined : (false as const),
    };
  }
}

/** Numbers of pages by their size in bytes, smallest first. */
export function bySize(pages: Float64Array): Record<string, number> {
  const sizes: Record<string, number> = {};
  pages.forEach((count, shift) => {
    if (count > 0) sizes[`${2 ** shift}`] = count;
  });
  return sizes;
}
