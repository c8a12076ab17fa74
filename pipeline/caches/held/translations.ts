import { GLOBAL_SPACE, type TranslationTag } from "../../../walkers/caching.ts";
import {
  COMBINED_KEPT,
  coversDevice,
  type Invalidation,
  SECOND_STAGE,
} from "../../../walkers/invalidation.ts";
import { FRAME_SHIFT, frameHi, frameLo, frameOf, framesIn } from "../../../walkers/memory.ts";
import type { WalkResult } from "../../../walkers/result.ts";
import { type Coverage, type CoveredPlace, placeWhere, TRANSLATIONS } from "../invalidations/coverage.ts";
import { ANYBODY, IssuedInvalidations } from "../invalidations/issued-invalidations.ts";
import { CachedPages } from "./cached-pages.ts";
import type { CachedTranslation } from "./cached-translation.ts";
import type { CacheBudgets } from "./memory-budget.ts";
import { baseHi, baseLo, pageKey, pageOf, SHIFT_BITS } from "./page-keys.ts";
import { type TagSet, TagSets } from "./tag-sets.ts";

/** A range of more pages than this is not looked up page by page. */
const MAX_LOOKUPS = 4096;
/** Ranges that a tag set keeps before all of its entries are looked at; of many pages, one for so many pages. */
const MAX_RANGES = 1024;
const PAGES_PER_RANGE = 8;
/** Pages whose earlier translations are kept beside the latest. */
const MAX_SUPERSEDED_PAGES = 1 << 16;
/** Result of `invalidate`: perhaps some pages, perhaps none. */
const UNKNOWN = -1;

/** What has happened to tables, to tell an invalidation that is wider than what has changed. */
export interface TableHistory {
  /** Changes of words that walks have read, so far. */
  readonly changes: number;
  /** Tick of the latest change behind which many pages may stand: of a table above the last level, or of a context. */
  readonly wideChange: number;
}

/** What a translation maps, as `WalkResult` has it: whose leaf, how large, and through which intermediate page. */
export type Extent = Pick<WalkResult, "pageShift" | "firstShift" | "ipaFrame">;

/** A copy: walk results are reused. */
export function extentOf({ pageShift, firstShift, ipaFrame }: Extent): Extent {
  return { pageShift, firstShift, ipaFrame };
}

/** Whose entries one may be about whose tags match. */
function ownersOf({ anyDevice, device, deviceMask }: Invalidation) {
  return [anyDevice || deviceMask !== 0 ? ANYBODY : { ...ANYBODY, device }];
}

/** No pair has this number. */
const NOBODY = -1;

/**
 * The translations that one IOMMU's cache may hold: for every page the latest, in a table, and beside it those before it
 * that differ and that nothing has invalidated, or something has (an emulator may have missed it).
 */
export class Translations {
  readonly tags: TagSets;
  readonly #pages: CachedPages;
  readonly #coverage: Coverage;
  /** Pages with superseded translations, of all tag sets. */
  #supersededPages = 0;
  /** Translations that were dropped for want of memory while nothing had invalidated them. */
  forgotten = 0;
  /** How often contexts of another kind began to translate with some tags. */
  users = 0;
  /** Pages that invalidations covered, as far as that is known without walking. */
  coveredPages = 0;
  /** Of these, how many at least were still right when all of their tags were invalidated. */
  overWidePages = 0;

  /**
   * @param budgets for the table of pages, and for tag sets
   * @param coverage what invalidations cover of them
   */
  constructor(budgets: Pick<CacheBudgets, "pages" | "tags">, coverage: Coverage = TRANSLATIONS) {
    this.tags = new TagSets(budgets.tags);
    this.#pages = new CachedPages(budgets.pages, (tag, time) => {
      const set = this.tags.all[tag - 1]!;
      if (time > set.epoch && set.valid > 0) set.valid--;
    });
    this.#coverage = coverage;
  }

  get size(): number {
    return this.#pages.size;
  }

  get bytes(): number {
    return this.#pages.bytes;
  }

  /** Changes where what is still in use must be entered again, or is forgotten. */
  get rotations(): number {
    return this.#pages.rotations;
  }

  get evicted(): number {
    return this.#pages.evicted + this.forgotten;
  }

  tagSet(tag: TranslationTag): TagSet {
    return this.tags.of(tag);
  }

  globalSet(tag: TranslationTag): TagSet {
    return this.tags.of(tag, GLOBAL_SPACE);
  }

  /**
   * Looks for the latest translation of the page of a given size that holds an address.
   * @returns false where there is none; else `context`, `time` and `invalidated` say what it is
   */
  find(set: TagSet, shift: number, hi: number, lo: number): boolean {
    const pages = this.#pages;
    if (!pages.find(set.id, baseHi(set.high(hi), shift), baseLo(lo, shift))) return false;
    this.context = pages.context;
    this.time = Math.abs(pages.time);
    this.invalidated = pages.time < 0 || this.time <= set.epoch;
    this.answer = pages.answer;
    return true;
  }

  context = 0;
  time = 0;
  invalidated = false;
  /** As it was entered. */
  answer = Number.NaN;

  /** The other translations of that page, as copies; empty for most. */
  earlier(set: TagSet, shift: number, hi: number, lo: number): readonly CachedTranslation[] {
    return set.superseded.of(pageKey(set.high(hi), lo, shift));
  }

  /**
   * Whether any translation of a page is valid, as far as that is known without walking: of those that were filled up to a
   * tick, or through a pair.
   */
  anyValid(set: TagSet, hi: number, lo: number, until: number, through = NOBODY): boolean {
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      if (this.find(set, shift, hi, lo) && !this.invalidated)
        if (this.time <= until || this.context === through) return true;
      if (!set.anySuperseded) continue;
      for (const { invalidated, time, context } of this.earlier(set, shift, hi, lo))
        if (!invalidated && time > set.epoch && (time <= until || context === through)) return true;
    }
    return false;
  }

  /** Drops the latest translation of a page. */
  remove(set: TagSet, shift: number, hi: number, lo: number): void {
    const time = this.#pages.remove(set.id, baseHi(set.high(hi), shift), baseLo(lo, shift));
    if (time > set.epoch && set.valid > 0) set.valid--;
  }

  /**
   * Enters the latest translation of a page.
   * @param shift log2 of what it maps
   * @param firstShift log2 of its first stage's leaf, where both stages translate; else 0
   * @param answer whatever number says what it leads to; NaN: none does
   */
  enter(
    set: TagSet,
    shift: number,
    firstShift: number,
    hi: number,
    lo: number,
    context: number,
    time: number,
    answer = Number.NaN,
  ): void {
    if (!set.held) this.#hold(set);
    set.saw(shift);
    if (firstShift > shift) set.split = true;
    const before = this.#pages.set(
      set.id,
      baseHi(set.high(hi), shift),
      baseLo(lo, shift),
      context,
      time,
      answer,
    );
    set.filled = time;
    if (set.first === 0) set.first = time;
    if (before <= set.epoch && set.valid >= 0) set.valid++;
  }

  #hold(set: TagSet): void {
    const coverage = this.#coverage;
    this.tags.hold(set, (inv, of) => coverage.tags(inv, of) && coverage.all(inv, of));
  }

  /** Contexts of a kind translate with some tags. */
  usedBy(set: TagSet, kind: number): void {
    if (set.usedBy(kind)) this.users++;
  }

  /** Keeps a translation of a page beside the one in the table. */
  supersede(set: TagSet, shift: number, hi: number, lo: number, old: CachedTranslation): void {
    if (!set.held) this.#hold(set);
    set.saw(shift);
    const pages = set.superseded.size;
    if (set.supersede(pageKey(set.high(hi), lo, shift), old)) this.forgotten++;
    this.#supersededPages += set.superseded.size - pages;
    if (this.#supersededPages <= MAX_SUPERSEDED_PAGES) return;
    this.forgotten += set.forgetOldest();
    this.#supersededPages--;
  }

  /** Memory gives one of the earlier translations of a page again. */
  fill(set: TagSet, shift: number, hi: number, lo: number, old: CachedTranslation, time: number): void {
    set.fill(pageKey(set.high(hi), lo, shift), old, time);
  }

  /**
   * Whether one of the invalidations that are not looked up page by page has covered a translation.
   * @param extent what it maps
   * @param device that it was made for
   * @param after number of the last one that is known not to have
   */
  coveredByRange(
    set: TagSet,
    hi: number,
    lo: number,
    time: number,
    extent: Extent,
    device: number,
    after = 0,
  ): boolean {
    if (set.ranges === null || set.ranges.size === 0) return false;
    const place = (inv: Invalidation) => this.#place(inv, set, set.high(hi), lo, extent, device);
    return set.ranges.some({ ...ANYBODY, device }, place, time, Number.POSITIVE_INFINITY, after);
  }

  /** Whether some of them were of a part only of pages of a size. */
  inPieces(set: TagSet, shift: number): boolean {
    if (shift <= FRAME_SHIFT || set.ranges === null || set.ranges.size === 0) return false;
    return set.leafShift !== 0 || set.piecesOf.has(0) || set.piecesOf.has(shift);
  }

  /** Where an invalidation would have to reach in order to cover a translation. */
  placeFor(
    inv: Invalidation,
    set: TagSet,
    hi: number,
    lo: number,
    extent: Extent,
    device: number,
  ): CoveredPlace {
    if (!this.#coverage.tags(inv, set)) return placeWhere(false);
    return this.#place(inv, set, set.high(hi), lo, extent, device);
  }

  /**
   * An invalidation that was issued at a tick takes effect: what was filled later stays.
   * @param inv kept as it is; not to be changed later
   * @returns pages that it covered; UNKNOWN where only walking would tell
   */
  invalidate(inv: Invalidation, issued: number, history: TableHistory | null = null): number {
    let dropped = 0;
    const add = (pages: number) => {
      dropped = pages < 0 || dropped < 0 ? UNKNOWN : dropped + pages;
    };
    const coverage = this.#coverage;
    const whole: TagSet[] = [];
    for (const set of this.tags.candidates(inv)) {
      if (!coverage.tags(inv, set)) continue;
      const mayHold = set.valid !== 0 || set.superseded.size > 0;
      if (coverage.all(inv, set)) {
        add(this.#whole(set, issued, history));
        whole.push(set);
      } else if (!inv.anyDevice) add(this.#range(set, inv, issued, mayHold));
      else if (coverage.intermediate(inv, set)) {
        if (inv.combined !== COMBINED_KEPT) add(this.#range(set, inv, issued, mayHold));
      } else add(this.#page(set, inv, issued));
    }
    if (!inv.hasAddress && inv.anyDevice)
      this.tags.invalidated({ inv, issued, changes: history?.changes ?? 0 }, whole);
    return dropped;
  }

  #whole(set: TagSet, issued: number, history: TableHistory | null): number {
    const more = set.superseded.size > 0 && issued > set.epoch;
    const { valid } = set;
    // Which of the entries were filled again since it was issued is not known.
    const later = set.filled > issued;
    if (valid > 0 && !later && set.leafShift === 0) {
      this.coveredPages += valid;
      // A change of a last-level entry is one of a page.
      if (history !== null && history.wideChange <= set.epoch)
        this.overWidePages += Math.max(0, valid - (history.changes - set.changes));
    }
    set.invalidateAll(issued);
    set.changes = history?.changes ?? 0;
    set.valid = later ? UNKNOWN : 0;
    return later || valid < 0 || (valid === 0 && more) ? UNKNOWN : valid;
  }

  /** Everything is gone: memory as a whole was replaced. */
  clear(): void {
    this.#pages.clear();
    this.#supersededPages = 0;
    for (const set of this.tags.all) set.clear();
  }

  /** Everything is forgotten for want of memory, tag sets too: none of them may be used any more. */
  forget(): void {
    for (const { valid, superseded } of this.tags.all)
      if (valid !== 0 || superseded.size > 0) this.forgotten++;
    this.clear();
    this.tags.clear();
  }

  /** Entries of the table that nothing has invalidated, as far as that is known without walking. */
  countValid(): number {
    const sets = this.tags.all;
    let valid = 0;
    this.#pages.forEach((tag, hi, lo, _context, time) => {
      const set = sets[tag - 1]!;
      // A group holds no page that has not its own entry.
      if (set.leafShift !== 0) return;
      if (time > set.epoch && !this.#inRange(set, hi, lo & ~SHIFT_BITS, lo & SHIFT_BITS, time)) valid++;
    });
    return valid;
  }

  #page(set: TagSet, inv: Invalidation, issued: number): number {
    const mayHold = set.valid !== 0 || set.superseded.size > 0;
    // Entries may be smaller than the first stage's leaf, all of which an address in it names.
    let unknown = set.split && this.#range(set, inv, issued, mayHold) < 0;
    let dropped = 0;
    let inPart = false;
    const last = frameOf(inv.lastHi, inv.lastLo);
    const first = frameOf(inv.addrHi, inv.addrLo);
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      if (inv.granule !== 0 && (set.split || !this.#coverage.granule(inv, set.leafShift || shift))) continue;
      const step = framesIn(shift);
      const base = first - (first % step);
      if ((last - base) / step > MAX_LOOKUPS) {
        if (!set.split && this.#range(set, inv, issued, mayHold) < 0) unknown = true;
        continue;
      }
      for (let frame = base; frame <= last; frame += step) {
        if (this.#inPieces(inv, set, shift) && (frame < first || frame + step - 1 > last)) inPart = true;
        else if (this.#drop(set, shift, frameHi(frame), frameLo(frame), issued)) dropped++;
      }
    }
    if (inPart && this.#range(set, inv, issued, mayHold) < 0) unknown = true;
    if (set.leafShift === 0) this.coveredPages += dropped;
    return unknown && dropped === 0 ? UNKNOWN : dropped;
  }

  #drop(set: TagSet, shift: number, hi: number, lo: number, issued: number): boolean {
    const pages = this.#pages;
    const key = baseLo(lo, shift);
    const high = baseHi(hi, shift);
    let dropped = false;
    if (pages.find(set.id, high, key) && pages.time > set.epoch && pages.time <= issued) {
      pages.set(set.id, high, key, pages.context, -pages.time, pages.answer);
      if (set.valid > 0) set.valid--;
      dropped = true;
    }
    if (set.dropSuperseded(pageKey(hi, lo, shift), issued)) dropped = true;
    return dropped;
  }

  /** @param mayHold the set is not known to be empty */
  #range(set: TagSet, inv: Invalidation, issued: number, mayHold: boolean): number {
    set.ranges ??= new IssuedInvalidations(ownersOf);
    const { ranges } = set;
    // The same page sizes of one set may each ask for it.
    if (ranges.last === inv) return mayHold ? UNKNOWN : 0;
    ranges.add(inv, issued);
    if (inv.inPieces && this.#coverage.pieces) set.piecesOf.add(inv.piecesOf);
    if (ranges.size > Math.max(MAX_RANGES, this.#pages.size / PAGES_PER_RANGE)) this.#sweep(set, ranges);
    return mayHold ? UNKNOWN : 0;
  }

  /**
   * Applies ranges of input pages to every entry, so that there is nothing left of them to look at. Of the others, it is
   * known only by walking what they cover: past the bound the oldest are forgotten, which leaves in the dark what
   * became of the entries before them.
   */
  #sweep(set: TagSet, ranges: IssuedInvalidations): void {
    const covered: number[] = [];
    this.#pages.forEach((tag, hi, lo, _context, time) => {
      if (
        tag === set.id &&
        time > set.epoch &&
        this.#inRange(set, hi, lo & ~SHIFT_BITS, lo & SHIFT_BITS, time)
      )
        covered.push(hi, lo);
    });
    for (let i = 0; i < covered.length; i += 2)
      if (this.#pages.find(set.id, covered[i]!, covered[i + 1]!))
        this.#pages.set(
          set.id,
          covered[i]!,
          covered[i + 1]!,
          this.#pages.context,
          -this.#pages.time,
          this.#pages.answer,
        );
    if (set.valid > 0) set.valid = Math.max(0, set.valid - covered.length / 2);
    set.dropAllSuperseded((key, time) => {
      const { frame, shift } = pageOf(key);
      return this.#inRange(set, frameHi(frame), frameLo(frame), shift, time);
    });
    const { kept, left } = ranges.latestOf((inv) => this.#needsWalk(inv, set), MAX_RANGES / 2);
    if (left > 0) {
      set.unknownBefore = Math.max(set.unknownBefore, left);
      this.forgotten++;
    }
    ranges.clear();
    for (const { inv, issued } of kept) ranges.add(inv, issued);
  }

  /** As `coveredByRange`, by those ranges that need no walk. */
  #inRange(set: TagSet, hi: number, lo: number, shift: number, time: number): boolean {
    const place = (inv: Invalidation) =>
      this.#needsWalk(inv, set) ? placeWhere(false) : this.#coverage.place(inv, set, hi, lo, shift, 0, -1);
    return set.ranges?.some(ANYBODY, place, time) ?? false;
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

  /** Where an invalidation whose tags match is to reach in order to cover a translation. */
  #place(
    inv: Invalidation,
    set: TagSet,
    hi: number,
    lo: number,
    extent: Extent,
    device: number,
  ): CoveredPlace {
    if (!coversDevice(inv, device)) return placeWhere(false);
    // Of a piece, the stages' leaves do not matter.
    const leaf = coveredByFirst(inv, extent) ? extent.firstShift || extent.pageShift : extent.pageShift;
    const [shift, firstShift] = this.#inPieces(inv, set, leaf)
      ? [set.leafShift || FRAME_SHIFT, 0]
      : [Math.max(extent.pageShift, FRAME_SHIFT), extent.firstShift];
    return this.#coverage.place(inv, set, hi, lo, shift, firstShift, extent.ipaFrame);
  }

  /** DDI 0487 D8.17.6: of a group, too, only the leaves that an invalidation names are sure to go. */
  #inPieces(inv: Invalidation, set: TagSet, shift: number): boolean {
    const { inPieces, piecesOf } = inv;
    const may = inPieces && this.#coverage.pieces && (piecesOf === 0 || piecesOf === shift);
    return may || set.leafShift !== 0;
  }

  /** Whether an entry of a set may be in pieces. */
  #anyInPieces(inv: Invalidation, set: TagSet): boolean {
    if (set.leafShift === 0 && !(inv.inPieces && this.#coverage.pieces)) return false;
    const { piecesOf } = inv;
    if (piecesOf === 0 || set.leafShift !== 0) return set.nextShift(FRAME_SHIFT) !== 0;
    return set.nextShift(piecesOf - 1) === piecesOf;
  }
}

/** Whether the address of an invalidation is one of the first stage's, where there is one. */
function coveredByFirst(inv: Invalidation, { ipaFrame }: Extent): boolean {
  return ipaFrame < 0 || inv.stage !== SECOND_STAGE;
}
