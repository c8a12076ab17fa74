import { coversDevice, type Invalidation, SECOND_STAGE } from "../../../walkers/invalidation.ts";
import { FRAME_SHIFT, frameHi, frameLo } from "../../../walkers/memory.ts";
import type { WalkResult } from "../../../walkers/result.ts";
import { type Coverage, type CoveredPlace, placeWhere } from "../invalidations/coverage.ts";
import {
  ANYBODY,
  deviceOf,
  IssuedInvalidations,
  ownerOf,
  translationOwners,
} from "../invalidations/issued-invalidations.ts";
import type { CachedPages } from "./cached-pages.ts";
import { pageOf, SHIFT_BITS } from "./page-keys.ts";
import type { TagSet, TagSets } from "./tag-sets.ts";

/** What a translation maps, as `WalkResult` has it: whose leaf, how large, and through which intermediate page. */
export type Extent = Pick<WalkResult, "pageShift" | "firstShift" | "ipaFrame">;

/** A copy: walk results are reused. */
export function extentOf({ pageShift, firstShift, ipaFrame }: Extent): Extent {
  return { pageShift, firstShift, ipaFrame };
}

/** Invalidations that are kept before all entries are looked at; of many pages, one for so many pages. */
const MAX_RANGES = 1024;
const PAGES_PER_RANGE = 8;
/** Of these, those that are kept after it, since they can be told only by walking. */
const MAX_KEPT = MAX_RANGES / 2;

/** How many invalidations there had been, of a set and of all. */
export interface AskedRanges {
  own: number;
  all: number;
}

/**
 * Invalidations of translations that are not looked up page by page: those of a tag set, and those of very many sets. They are
 * asked when an entry is in question.
 */
export class PageRanges {
  readonly #tags: TagSets;
  readonly #pages: CachedPages;
  readonly #coverage: Coverage;
  readonly #ofAll = new IssuedInvalidations(translationOwners);
  /** `piecesOf` of those of very many sets. */
  #piecesOf: Set<number> | null = null;
  /** How often some were forgotten while they could still tell something. */
  forgotten = 0;

  constructor(tags: TagSets, pages: CachedPages, coverage: Coverage) {
    this.#tags = tags;
    this.#pages = pages;
    this.#coverage = coverage;
  }

  /** One that is about a set. @param inv kept as it is */
  add(set: TagSet, inv: Invalidation, issued: number): void {
    set.ranges ??= new IssuedInvalidations(deviceOwners);
    const { ranges } = set;
    // The same page sizes of one set may each ask for it.
    if (ranges.last === inv) return;
    ranges.add(inv, issued);
    if (inv.inPieces && this.#coverage.pieces) set.piecesOf.add(inv.piecesOf);
    if (ranges.size > this.#most) this.#sweep(set, ranges);
  }

  /** One that is about very many sets. @returns whether it may be about any */
  addToAll(inv: Invalidation, issued: number): boolean {
    const { caches } = inv;
    if ((caches & this.#coverage.caches) === 0) return false;
    this.#ofAll.add(inv, issued);
    if (inv.inPieces && this.#coverage.pieces) {
      this.#piecesOf ??= new Set();
      this.#piecesOf.add(inv.piecesOf);
    }
    if (this.#ofAll.size > this.#most) this.#sweepAll();
    return true;
  }

  clear(): void {
    this.#ofAll.clear();
    this.#piecesOf = null;
  }

  get #most(): number {
    return Math.max(MAX_RANGES, this.#pages.size / PAGES_PER_RANGE);
  }

  /**
   * Whether one has covered a translation.
   * @param extent what it maps
   * @param device that it was made for
   * @param after so many are known not to have; set to how many there are, where none has
   */
  cover(
    set: TagSet,
    hi: number,
    lo: number,
    time: number,
    extent: Extent,
    device: number,
    after: AskedRanges | null = null,
  ): boolean {
    const { ranges } = set;
    const own = ranges !== null && ranges.size > 0;
    const all = this.#ofAll.size > 0;
    if (!own && !all) return false;
    const place = (inv: Invalidation) => this.place(inv, set, hi, lo, extent, device);
    const covered =
      (own && ranges.some({ ...ANYBODY, device }, place, time, NOW, after?.own)) ||
      (all && this.#ofAll.some(ownerOf(set, device), place, time, NOW, after?.all));
    if (after !== null && !covered) {
      after.own = ranges?.added ?? 0;
      after.all = this.#ofAll.added;
    }
    return covered;
  }

  /** Whether some of them were of a part only of pages of a size. */
  inPieces(set: TagSet, shift: number): boolean {
    if (shift <= FRAME_SHIFT) return false;
    const own = set.ranges !== null && set.ranges.size > 0;
    if (set.leafShift !== 0) return own || this.#ofAll.size > 0;
    const of = (pieces: Set<number>) => pieces.has(0) || pieces.has(shift);
    return (own && of(set.piecesOf)) || (this.#piecesOf !== null && of(this.#piecesOf));
  }

  /** Where an invalidation would have to reach in order to cover a translation. */
  place(
    inv: Invalidation,
    set: TagSet,
    hi: number,
    lo: number,
    extent: Extent,
    device: number,
  ): CoveredPlace {
    if (!coversDevice(inv, device) || !this.#coverage.tags(inv, set)) return placeWhere(false);
    // Of a piece, the stages' leaves do not matter.
    const leaf = coveredByFirst(inv, extent) ? extent.firstShift || extent.pageShift : extent.pageShift;
    const [shift, firstShift] = this.isInPieces(inv, set, leaf)
      ? [set.leafShift || FRAME_SHIFT, 0]
      : [Math.max(extent.pageShift, FRAME_SHIFT), extent.firstShift];
    return this.#coverage.place(inv, set, set.high(hi), lo, shift, firstShift, extent.ipaFrame);
  }

  /** DDI 0487 D8.17.6: of a group, too, only the leaves that an invalidation names are sure to go. */
  isInPieces(inv: Invalidation, set: TagSet, shift: number): boolean {
    const { inPieces, piecesOf } = inv;
    const may = inPieces && this.#coverage.pieces && (piecesOf === 0 || piecesOf === shift);
    return may || set.leafShift !== 0;
  }

  /** As `cover`, by those that need no walk. */
  coverPage(set: TagSet, hi: number, lo: number, shift: number, time: number): boolean {
    const own = set.ranges !== null && set.ranges.size > 0;
    if (!own && this.#ofAll.size === 0) return false;
    const place = (inv: Invalidation) =>
      this.#needsWalk(inv, set) || !this.#coverage.tags(inv, set)
        ? placeWhere(false)
        : this.#coverage.place(inv, set, hi, lo, shift, 0, -1);
    return (
      (own && set.ranges!.some(ANYBODY, place, time)) ||
      this.#ofAll.some(ownerOf(set, ANYBODY.device), place, time)
    );
  }

  /**
   * Applies those of a set to every entry, so that there is nothing left of them to look at. Of the others, it is known only
   * by walking what they cover: past the bound the oldest are forgotten, which leaves in the dark what became of the entries
   * before them.
   */
  #sweep(set: TagSet, ranges: IssuedInvalidations): void {
    this.#apply((of) => of === set);
    const left = keepLatest(ranges, (inv) => this.#needsWalk(inv, set));
    if (left === 0) return;
    set.unknownBefore = Math.max(set.unknownBefore, left);
    this.forgotten++;
  }

  #sweepAll(): void {
    this.#apply(() => true);
    const sets = this.#tags.all;
    const left = keepLatest(this.#ofAll, (inv) => sets.some((set) => this.#needsWalk(inv, set)));
    if (left === 0) return;
    for (const set of sets) set.unknownBefore = Math.max(set.unknownBefore, left);
    this.forgotten++;
  }

  #apply(concerns: (set: TagSet) => boolean): void {
    const sets = this.#tags.all;
    const pages = this.#pages;
    const covered: number[] = [];
    pages.forEach((tag, hi, lo, _context, time) => {
      const set = sets[tag - 1]!;
      if (
        concerns(set) &&
        time > set.epoch &&
        this.coverPage(set, hi, lo & ~SHIFT_BITS, lo & SHIFT_BITS, time)
      )
        covered.push(tag, hi, lo);
    });
    for (let i = 0; i < covered.length; i += 3) {
      const [tag, hi, lo] = [covered[i]!, covered[i + 1]!, covered[i + 2]!];
      if (!pages.find(tag, hi, lo)) continue;
      pages.set(tag, hi, lo, pages.context, -pages.time, pages.answer);
      const set = sets[tag - 1]!;
      if (set.valid > 0) set.valid--;
    }
    for (const set of sets)
      if (concerns(set))
        set.dropAllSuperseded((key, time) => {
          const { frame, shift } = pageOf(key);
          return this.coverPage(set, frameHi(frame), frameLo(frame), shift, time);
        });
  }

  /** Whether what an invalidation covers in a set can be told only by walking. */
  #needsWalk(inv: Invalidation, set: TagSet): boolean {
    return (
      set.split ||
      !inv.anyDevice ||
      this.#anyInPieces(inv, set) ||
      (inv.stage === SECOND_STAGE && this.#coverage.intermediate(inv, set))
    );
  }

  /** Whether an entry of a set may be in pieces. */
  #anyInPieces(inv: Invalidation, set: TagSet): boolean {
    if (set.leafShift === 0 && !(inv.inPieces && this.#coverage.pieces)) return false;
    const { piecesOf } = inv;
    if (piecesOf === 0 || set.leafShift !== 0) return set.nextShift(FRAME_SHIFT) !== 0;
    return set.nextShift(piecesOf - 1) === piecesOf;
  }
}

const NOW = Number.POSITIVE_INFINITY;

/** Whose entries one may be about whose tags match. */
function deviceOwners(inv: Invalidation) {
  return [{ ...ANYBODY, device: deviceOf(inv) }];
}

/** @returns the tick up to which those that pass a test were left out; 0: none was */
function keepLatest(all: IssuedInvalidations, test: (inv: Invalidation) => boolean): number {
  const { kept, left } = all.latestOf(test, MAX_KEPT);
  all.clear();
  for (const { inv, issued } of kept) all.add(inv, issued);
  return left;
}

/** Whether the address of an invalidation is one of the first stage's, where there is one. */
function coveredByFirst(inv: Invalidation, { ipaFrame }: Extent): boolean {
  return ipaFrame < 0 || inv.stage !== SECOND_STAGE;
}
