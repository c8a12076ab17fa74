import { GLOBAL_SPACE, type TranslationTag } from "../../../walkers/caching.ts";
import { COMBINED_KEPT, type Invalidation } from "../../../walkers/invalidation.ts";
import { frameHi, frameLo, frameOf, framesIn } from "../../../walkers/memory.ts";
import { type Coverage, TRANSLATIONS } from "../invalidations/coverage.ts";
import { CachedPages } from "./cached-pages.ts";
import type { CachedTranslation } from "./cached-translation.ts";
import type { CacheBudgets } from "./memory-budget.ts";
import { baseHi, baseLo, pageKey, SHIFT_BITS } from "./page-keys.ts";
import { PageRanges } from "./page-ranges.ts";
import { type TagSet, TagSets } from "./tag-sets.ts";

/** An invalidation that is about more tag sets than this is written down once, and asked for each entry. */
const MOST_SETS = 64;
/** A range of more pages than this is not looked up page by page. */
const MAX_LOOKUPS = 4096;
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
  /** What covered entries without being looked up page by page. */
  readonly ranges: PageRanges;
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
    this.ranges = new PageRanges(this.tags, this.#pages, coverage);
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
    return this.#pages.evicted + this.forgotten + this.ranges.forgotten;
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
    const byTags = !inv.hasAddress && inv.anyDevice;
    // One by one, very many invalidations would be written down in very many sets.
    if (!byTags && this.tags.candidatesOf(inv) > MOST_SETS)
      return this.ranges.addToAll(inv, issued) ? UNKNOWN : 0;
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
    if (byTags) this.tags.invalidated({ inv, issued, changes: history?.changes ?? 0 }, whole);
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
    this.ranges.clear();
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
      if (time > set.epoch && !this.ranges.coverPage(set, hi, lo & ~SHIFT_BITS, lo & SHIFT_BITS, time))
        valid++;
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
        if (this.ranges.isInPieces(inv, set, shift) && (frame < first || frame + step - 1 > last))
          inPart = true;
        else if (this.#drop(set, shift, frameHi(frame), frameLo(frame), issued)) dropped++;
      }
    }
    if (inPart && this.#range(set, inv, issued, mayHold) < 0) unknown = true;
    if (set.leafShift === 0) this.coveredPages += dropped;
    return unknown && dropped === 0 ? UNKNOWN : dropped;
  }

  /** @param mayHold the set is not known to be empty */
  #range(set: TagSet, inv: Invalidation, issued: number, mayHold: boolean): number {
    this.ranges.add(set, inv, issued);
    return mayHold ? UNKNOWN : 0;
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
}
