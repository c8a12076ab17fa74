import {
  ANY,
  BOTH_STAGES,
  COMBINED_BY_ADDRESS,
  COMBINED_KEPT,
  coversDomain,
  FIRST_STAGE,
  type Invalidation,
  NONE,
  SECOND_STAGE,
} from "../../parsers/commands/invalidation.ts";
import { frameHi, frameLo, frameOf } from "../../walkers/memory.ts";
import type { WalkResult } from "../../walkers/result.ts";
import { CachedPages } from "./cached-pages.ts";
import { GLOBAL_SPACE, type PageRange, type TagSet, TagSets, type TranslationTag } from "./tag-sets.ts";

/** A range of more pages than this is not looked up page by page. */
const MAX_LOOKUPS = 4096;
/** Ranges that a tag set keeps before all of its entries are looked at. */
const MAX_RANGES = 1024;
/** Pages whose earlier translations are kept beside the latest, and versions of each. */
const MAX_SIDE_PAGES = 1 << 16;
const MAX_VERSIONS = 4;

/** A translation that a cache may hold, or once held: what memory said to a context at a time. */
export interface CachedTranslation {
  readonly context: number;
  /** Last tick at which memory gave this translation. */
  time: number;
  /** An invalidation has covered it. */
  dead: boolean;
}

/**
 * The translations that one IOMMU's cache may hold: for every page the latest, in a table, and aside those before it
 * that differ and that nothing has invalidated, or something has (an emulator may have missed it).
 */
export class Translations {
  readonly tags = new TagSets();
  readonly #pages: CachedPages;
  readonly #aside = new Map<string, CachedTranslation[]>();
  /** Translations that were dropped for want of memory while nothing had invalidated them. */
  forgotten = 0;
  /** Pages that invalidations covered, and invalidations that covered none. */
  coveredPages = 0;

  constructor(maxBytes: number) {
    this.#pages = new CachedPages(maxBytes);
  }

  get size(): number {
    return this.#pages.size;
  }

  get bytes(): number {
    return this.#pages.bytes;
  }

  get evicted(): number {
    return this.#pages.evicted + this.forgotten;
  }

  tagSet(tag: TranslationTag): TagSet {
    return this.tags.of(tag.domain, tag.space, tag.stages);
  }

  globalSet(tag: TranslationTag): TagSet {
    return this.tags.of(tag.domain, GLOBAL_SPACE, tag.stages);
  }

  /**
   * Looks for the latest translation of the page of a given size that holds an address.
   * @returns false where there is none; else `context`, `time` and `dead` say what it is
   */
  find(set: TagSet, shift: number, hi: number, lo: number): boolean {
    const pages = this.#pages;
    if (!pages.find(set.id, baseHi(hi, shift), baseLo(lo, shift))) return false;
    this.context = pages.context;
    this.time = Math.abs(pages.time);
    this.dead = pages.time < 0 || this.time <= set.epoch;
    return true;
  }

  context = 0;
  time = 0;
  dead = false;

  /** The earlier translations of that page; empty for most. */
  earlier(set: TagSet, shift: number, hi: number, lo: number): readonly CachedTranslation[] {
    if (this.#aside.size === 0) return [];
    return this.#aside.get(keyOf(set.id, baseHi(hi, shift), baseLo(lo, shift))) ?? [];
  }

  /** @param walk what the translation is */
  enter(set: TagSet, walk: WalkResult, hi: number, lo: number, context: number, time: number): void {
    const shift = walk.pageShift;
    set.saw(shift);
    if (walk.firstShift > shift) set.split = true;
    this.#pages.set(set.id, baseHi(hi, shift), baseLo(lo, shift), context, time);
  }

  /** Keeps a translation of a page beside the one that now takes its place in the table. */
  setAside(set: TagSet, shift: number, hi: number, lo: number, old: CachedTranslation): void {
    const key = keyOf(set.id, baseHi(hi, shift), baseLo(lo, shift));
    const versions = this.#aside.get(key) ?? [];
    versions.push(old);
    if (versions.length > MAX_VERSIONS) {
      const dead = versions.findIndex((v) => v.dead || v.time <= set.epoch);
      const gone = versions.splice(Math.max(dead, 0), 1)[0]!;
      if (!gone.dead) this.forgotten++;
    }
    this.#aside.set(key, versions);
    if (this.#aside.size <= MAX_SIDE_PAGES) return;
    const [first] = this.#aside.keys();
    this.forgotten += this.#aside.get(first!)!.filter((v) => !v.dead).length;
    this.#aside.delete(first!);
  }

  /** Whether one of the invalidations of many or of intermediate pages has covered a translation. */
  coveredByRange(set: TagSet, hi: number, lo: number, time: number, walk: WalkResult): boolean {
    for (const range of set.ranges) {
      if (range.issued < time) continue;
      if (range.intermediate) {
        if (walk.ipaFrame >= 0 && overlaps(range, walk.ipaFrame, walk.pageShift)) return true;
      } else if (overlaps(range, frameOf(hi, lo), Math.max(walk.firstShift, walk.pageShift))) return true;
    }
    return false;
  }

  /**
   * An invalidation that was issued at a tick takes effect: what was filled later stays.
   * @returns pages that were looked up and dropped; -1 where whole tag sets were
   */
  invalidate(inv: Invalidation, issued: number): number {
    let dropped = 0;
    for (const set of this.tags.all) {
      if (!coversTags(inv, set)) continue;
      if (
        !inv.hasAddress ||
        (inv.stage === SECOND_STAGE && set.stages === 3 && inv.combined > COMBINED_BY_ADDRESS)
      ) {
        set.epoch = Math.max(set.epoch, issued);
        set.ranges.length = 0;
        this.#bury(set, issued);
        dropped = -1;
      } else if (inv.stage === SECOND_STAGE && (set.stages & 1) !== 0) {
        if (inv.combined !== COMBINED_KEPT) this.#range(set, inv, issued, true);
      } else {
        const pages = this.#page(set, inv, issued);
        if (dropped >= 0) dropped += pages;
      }
    }
    return dropped;
  }

  /** Everything is gone: memory as a whole was replaced. */
  clear(): void {
    this.#pages.clear();
    this.#aside.clear();
    for (const set of this.tags.all) set.ranges.length = 0;
  }

  #page(set: TagSet, inv: Invalidation, issued: number): number {
    // Entries may be smaller than the first stage's leaf, all of which an address in it names.
    if (set.split) this.#range(set, inv, issued, false);
    let dropped = 0;
    const last = frameOf(inv.lastHi, inv.lastLo);
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      const step = 2 ** (shift - 12);
      const first = frameOf(inv.addrHi, inv.addrLo);
      const base = first - (first % step);
      if ((last - base) / step > MAX_LOOKUPS) {
        this.#range(set, inv, issued, false);
        continue;
      }
      for (let frame = base; frame <= last; frame += step)
        if (this.#drop(set, shift, frameHi(frame), frameLo(frame), issued)) dropped++;
    }
    this.coveredPages += dropped;
    return dropped;
  }

  #drop(set: TagSet, shift: number, hi: number, lo: number, issued: number): boolean {
    const pages = this.#pages;
    const key = baseLo(lo, shift);
    const high = baseHi(hi, shift);
    let dropped = false;
    if (pages.find(set.id, high, key) && pages.time > set.epoch && pages.time <= issued) {
      pages.set(set.id, high, key, pages.context, -pages.time);
      dropped = true;
    }
    if (this.#aside.size > 0)
      for (const old of this.#aside.get(keyOf(set.id, high, key)) ?? [])
        if (old.time <= issued && !old.dead) {
          old.dead = true;
          dropped = true;
        }
    return dropped;
  }

  #range(set: TagSet, inv: Invalidation, issued: number, intermediate: boolean): void {
    const range: PageRange = {
      first: frameOf(inv.addrHi, inv.addrLo),
      last: frameOf(inv.lastHi, inv.lastLo),
      issued,
      intermediate,
    };
    set.ranges.push(range);
    if (set.ranges.length > MAX_RANGES) this.#sweep(set);
  }

  /** Applies the ranges of input pages to every entry, so that there is nothing left of them to look at. */
  #sweep(set: TagSet): void {
    const kept = set.ranges.filter((range) => range.intermediate);
    const ranges = set.ranges.filter((range) => !range.intermediate);
    const covered: number[] = [];
    this.#pages.forEach((tag, hi, lo, _context, time) => {
      if (tag !== set.id || time <= set.epoch) return;
      const frame = frameOf(hi, lo & ~63);
      if (ranges.some((range) => range.issued >= time && overlaps(range, frame, lo & 63)))
        covered.push(hi, lo);
    });
    for (let i = 0; i < covered.length; i += 2) {
      const hi = covered[i]!;
      const lo = covered[i + 1]!;
      if (this.#pages.find(set.id, hi, lo))
        this.#pages.set(set.id, hi, lo, this.#pages.context, -this.#pages.time);
    }
    // Intermediate addresses are known only by walking: past the bound the oldest of these go.
    set.ranges.splice(0, set.ranges.length, ...kept.slice(-MAX_RANGES / 2));
  }

  /** Marks what stands aside of a whole tag set as invalidated. */
  #bury(set: TagSet, issued: number): void {
    if (this.#aside.size === 0) return;
    const prefix = `${set.id}:`;
    for (const [key, versions] of this.#aside)
      if (key.startsWith(prefix)) for (const old of versions) if (old.time <= issued) old.dead = true;
  }
}

/** Whether an invalidation is about translations with these tags, as far as tags decide. */
export function coversTags(inv: Invalidation, set: TagSet): boolean {
  if (!coversDomain(inv, set.domain < 0 ? NONE : set.domain)) return false;
  const global = set.space === GLOBAL_SPACE;
  if (inv.asid !== ANY && (global ? !inv.global : set.space !== inv.asid)) return false;
  if (inv.pasid === NONE && set.space >= 0) return false;
  if (inv.pasid >= 0 && (global ? !inv.global : set.space !== inv.pasid)) return false;
  if (inv.stage === FIRST_STAGE) return (set.stages & 1) !== 0;
  if (inv.stage === SECOND_STAGE) return (set.stages & 2) !== 0;
  return inv.stage === BOTH_STAGES;
}

function overlaps(range: PageRange, frame: number, shift: number): boolean {
  const frames = 2 ** Math.max(shift - 12, 0);
  const base = frame - (frame % frames);
  return base <= range.last && base + frames - 1 >= range.first;
}

/** Base of the page that holds an address; the low half carries log2 of its size below bit 12. */
function baseHi(hi: number, shift: number): number {
  return shift <= 32 ? hi : (hi >> (shift - 32)) << (shift - 32);
}

function baseLo(lo: number, shift: number): number {
  return (shift >= 32 ? 0 : (lo >> shift) << shift) | shift;
}

function keyOf(tag: number, hi: number, lo: number): string {
  return `${tag}:${hi}:${lo}`;
}
