import type { Invalidation } from "../../walkers/invalidation.ts";
import { frameOf } from "../../walkers/memory.ts";
import type { Extent } from "./held/page-ranges.ts";
import type { TagSet } from "./held/tag-sets.ts";
import { coversPage, coversTags } from "./invalidations/coverage.ts";

/** Size of an IOTLB: entries in all, and entries of one set (the associativity). */
export interface IotlbGeometry {
  readonly entries: number;
  readonly ways: number;
}

/** What a simulated IOTLB came to: the shape of the `iotlb` field of `stats`. */
export interface IotlbResult {
  readonly entries: number;
  readonly ways: number;
  readonly hits: number;
  readonly misses: number;
  /** Hits of all look-ups, 0 to 1. */
  readonly rate: number;
}

/** Entries that one simulation may have. */
const MOST_ENTRIES = 1 << 20;

/**
 * What is wrong with a geometry, or undefined. The number of sets must be a power of two: the low bits of the page
 * number select one.
 */
export function problemOf({ entries, ways }: IotlbGeometry): string | undefined {
  if (!Number.isInteger(entries) || entries < 1 || entries > MOST_ENTRIES)
    return `expected 1 to ${MOST_ENTRIES} entries, found ${entries}`;
  if (!Number.isInteger(ways) || ways < 1 || entries % ways !== 0)
    return `expected ways that divide ${entries} entries, found ${ways}`;
  const sets = entries / ways;
  if ((sets & (sets - 1)) !== 0) return `expected a power of two of sets, found ${entries} / ${ways}`;
  return undefined;
}

/**
 * A set-associative IOTLB that replaces what was used least recently. One entry holds one translation, of whatever page
 * size, with the tags that the IOMMU gives it; invalidations drop what they cover. One page of a request is one
 * look-up; pages that fault or that nothing translates are none.
 */
export class IotlbSimulation {
  readonly #entries: number;
  readonly #ways: number;
  readonly #setMask: number;
  // Slot s belongs to set s / ways.
  readonly #tags: Int32Array;
  readonly #frames: Float64Array;
  readonly #shifts: Int8Array;
  readonly #firstShifts: Int8Array;
  readonly #ipaFrames: Float64Array;
  readonly #used: Float64Array;
  /** The tag set of each slot, for invalidations. */
  readonly #sets: (TagSet | null)[];
  #clock = 0;
  #filled = 0;
  #hits = 0;
  #misses = 0;

  /** @throws RangeError for a geometry with a problem */
  constructor(geometry: IotlbGeometry) {
    const problem = problemOf(geometry);
    if (problem !== undefined) throw new RangeError(problem);
    const { entries, ways } = geometry;
    this.#entries = entries;
    this.#ways = ways;
    this.#setMask = entries / ways - 1;
    this.#tags = new Int32Array(entries);
    this.#frames = new Float64Array(entries);
    this.#shifts = new Int8Array(entries);
    this.#firstShifts = new Int8Array(entries);
    this.#ipaFrames = new Float64Array(entries);
    this.#used = new Float64Array(entries);
    this.#sets = new Array(entries).fill(null);
  }

  /** Looks the page of an address up, and enters it where it is missing. */
  access(set: TagSet, hi: number, lo: number, extent: Extent): void {
    const shift = extent.pageShift;
    const frames = 2 ** (shift - 12);
    const address = frameOf(set.high(hi), lo);
    const frame = address - (address % frames);
    const index = (frame / frames) & this.#setMask;
    const first = index * this.#ways;
    const now = ++this.#clock;
    let oldest = first;
    for (let slot = first; slot < first + this.#ways; slot++) {
      if (this.#tags[slot] === set.id && this.#frames[slot] === frame && this.#shifts[slot] === shift) {
        this.#hits++;
        this.#used[slot] = now;
        return;
      }
      // A free slot has never been used: it is the oldest.
      if (this.#used[slot]! < this.#used[oldest]!) oldest = slot;
    }
    this.#misses++;
    if (this.#sets[oldest] === null) this.#filled++;
    this.#tags[oldest] = set.id;
    this.#frames[oldest] = frame;
    this.#shifts[oldest] = shift;
    this.#firstShifts[oldest] = extent.firstShift;
    this.#ipaFrames[oldest] = extent.ipaFrame;
    this.#used[oldest] = now;
    this.#sets[oldest] = set;
  }

  /** An invalidation takes effect. One that selects by device drops what its other tags match: entries have no device. */
  invalidate(inv: Invalidation): void {
    if (this.#filled === 0) return;
    let known: TagSet | null = null;
    let matches = false;
    for (let slot = 0; slot < this.#entries; slot++) {
      const set = this.#sets[slot]!;
      if (set === null) continue;
      if (set !== known) {
        known = set;
        matches = coversTags(inv, set);
      }
      if (!matches) continue;
      const frame = this.#frames[slot]!;
      const covered = coversPage(
        inv,
        set,
        (frame / 0x10_0000) | 0,
        frame << 12,
        this.#shifts[slot]!,
        this.#firstShifts[slot]!,
        this.#ipaFrames[slot]!,
      );
      if (covered) this.#free(slot);
    }
  }

  /** Forgets every entry, not the counts. */
  clear(): void {
    for (let slot = 0; slot < this.#entries; slot++) if (this.#sets[slot] !== null) this.#free(slot);
  }

  #free(slot: number): void {
    this.#tags[slot] = 0;
    this.#used[slot] = 0;
    this.#sets[slot] = null;
    this.#filled--;
  }

  result(): IotlbResult {
    const lookups = this.#hits + this.#misses;
    return {
      entries: this.#entries,
      ways: this.#ways,
      hits: this.#hits,
      misses: this.#misses,
      rate: lookups === 0 ? 0 : Math.round((this.#hits / lookups) * 1e6) / 1e6,
    };
  }
}
