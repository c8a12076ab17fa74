import { GLOBAL_SPACE, NO_TAG, type TranslationTag } from "../../../walkers/caching.ts";
import { ANY, type Invalidation, NONE } from "../../../walkers/invalidation.ts";
import type { IssuedInvalidations } from "../invalidations/issued-invalidations.ts";
import type { CachedTranslation } from "./cached-translation.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import { SupersededPages } from "./superseded-pages.ts";

/** `TagSet.kind`: of several kinds. */
const SEVERAL = -1;

/** All translations with one tag. */
export class TagSet implements TranslationTag {
  /** Its number in the table of pages, from 1. */
  readonly id: number;
  readonly domain: number;
  readonly space: number;
  readonly stages: number;
  readonly regime: number;
  readonly withoutTopByte: boolean;
  readonly leafShift: number;
  /** Those of the same tags that hold groups of leaves, by the leaves' size. */
  readonly groups: TagSet[] = [];
  /** Of the table entries above its translations, which have tags of their own; null: there are none yet. */
  structures: TagSet | null = null;
  /** Page sizes seen, as bits of their log2, in two halves. */
  #shiftsLo = 0;
  #shiftsHi = 0;
  /** Some entry is smaller than its first stage's leaf. */
  split = false;
  /** All entries filled up to here are invalidated. */
  epoch = 0;
  /** Latest tick at which one was filled. */
  filled = 0;
  /** Tick at which the first was, of those that may not be invalidated; 0: there are none. */
  first = 0;
  /** Entries of the table of pages that are not invalidated, as far as that is known without walking; -1: unknown. */
  valid = 0;
  /** How often tables had changed when all entries were invalidated last. */
  changes = 0;
  /** Invalidations of entries filled up to here are forgotten: whether such an entry is valid is not known. */
  unknownBefore = 0;
  /** Kind of the contexts that have translated with these tags since all entries were invalidated; 0: none has. */
  #kind = 0;
  /** Invalidations that were not looked up page by page; null: there has been none. */
  ranges: IssuedInvalidations | null = null;
  /** `piecesOf` of those that are `inPieces`. */
  readonly piecesOf = new Set<number>();
  /** Translations that differ from the latest of their pages, which stand in the table of pages. */
  readonly superseded = new SupersededPages();
  /** How many of them are valid, at most. */
  #validSuperseded = 0;
  /** Latest tick at which one of them was filled. */
  #supersededFilled = 0;
  /** Something with these tags may be valid (`TagSets.hold`). */
  held = false;

  constructor(id: number, tag: TranslationTag, space: number, leafShift = 0) {
    this.id = id;
    this.domain = tag.domain;
    this.space = space;
    this.stages = tag.stages;
    this.regime = tag.regime;
    this.withoutTopByte = tag.withoutTopByte;
    this.leafShift = leafShift;
  }

  saw(shift: number): void {
    if (shift < 32) this.#shiftsLo |= 1 << shift;
    else this.#shiftsHi |= 1 << (shift - 32);
  }

  /** The smallest page size seen that is larger than this one, as log2; 0 where there is none. */
  nextShift(after: number): number {
    // Bits above that of `after`: a shift by 31 leaves none.
    const lo = after < 32 ? this.#shiftsLo & (-2 << after) : 0;
    if (lo !== 0) return 31 - Math.clz32(lo & -lo);
    const hi = after < 32 ? this.#shiftsHi : this.#shiftsHi & (-2 << (after - 32));
    return hi === 0 ? 0 : 63 - Math.clz32(hi & -hi);
  }

  /** Contexts of a kind translate with these tags. @returns whether that is new */
  usedBy(kind: number): boolean {
    if (this.#kind === kind || this.#kind === SEVERAL) return false;
    this.#kind = this.#kind === 0 ? kind : SEVERAL;
    return true;
  }

  /** Whether others than contexts of a kind have translated with these tags. */
  usedByOthers(kind: number): boolean {
    return this.#kind !== 0 && this.#kind !== kind;
  }

  /** High half of an address as entries of this set have it. */
  high(hi: number): number {
    return this.withoutTopByte ? (hi << 8) >> 8 : hi;
  }

  /** Whether a superseded translation, of whatever page, may be valid: to look through those of a page takes its time. */
  get anySuperseded(): boolean {
    return this.#validSuperseded > 0;
  }

  /** Adds a superseded translation. @returns whether a valid one went for it */
  supersede(key: number, old: CachedTranslation): boolean {
    if (!old.invalidated && old.time > this.epoch) this.#validSuperseded++;
    if (old.time > this.#supersededFilled) this.#supersededFilled = old.time;
    const gone = this.superseded.add(key, old, this.epoch);
    if (gone !== null) this.#validSuperseded--;
    return gone !== null;
  }

  /** Memory gives one of them again. */
  fill(key: number, old: CachedTranslation, time: number): void {
    this.superseded.fill(key, old, time);
    this.#supersededFilled = time;
  }

  /** An invalidation covers those of a page that were filled up to a tick. @returns whether any was valid */
  dropSuperseded(key: number, issued: number): boolean {
    if (!this.anySuperseded) return false;
    const lost = this.superseded.invalidate(key, this.epoch, (time) => time <= issued);
    this.#validSuperseded -= lost;
    return lost > 0;
  }

  /** Those are invalidated that pass a test. */
  dropAllSuperseded(covers: (key: number, time: number) => boolean): void {
    if (this.anySuperseded) this.#validSuperseded -= this.superseded.invalidateAll(this.epoch, covers);
  }

  /** Forgets those of the page that is here for longest. @returns how many were valid */
  forgetOldest(): number {
    const lost = this.superseded.forgetOldest(this.epoch);
    this.#validSuperseded -= lost;
    return lost;
  }

  /** Whether all that was filled is invalidated. */
  get isSpent(): boolean {
    return this.filled <= this.epoch && this.#supersededFilled <= this.epoch;
  }

  /** Whether no translation is known to be held, nor to have been. */
  get isEmpty(): boolean {
    return this.filled === 0 && this.superseded.size === 0;
  }

  /** All entries are gone. */
  clear(): void {
    this.valid = 0;
    this.superseded.clear();
    this.#validSuperseded = 0;
    this.dropRanges();
    this.#kind = 0;
    this.first = 0;
  }

  /** All entries filled up to a tick are invalidated. */
  invalidateAll(issued: number): void {
    if (issued <= this.epoch) return;
    this.epoch = issued;
    if (this.#supersededFilled <= issued) this.#validSuperseded = 0;
    if (this.filled <= issued) {
      this.#kind = 0;
      this.first = 0;
    }
    // Of the others, those that were issued before are of no entry that may be valid.
    if (this.ranges !== null && this.ranges.latest <= issued) this.dropRanges();
  }

  dropRanges(): void {
    this.ranges?.clear();
    this.piecesOf.clear();
  }
}

/** What one tag set costs with all that it is found by: an estimate. */
const SET_BYTES = 1024;

/** An invalidation of all that has some tags. */
interface WideInvalidation {
  readonly inv: Invalidation;
  readonly issued: number;
  /** How often tables had changed. */
  readonly changes: number;
}

/** What tag sets are found by. */
class Indexes {
  readonly byTag = new Map<string, TagSet>();
  readonly held = new Set<TagSet>();
  /** Of those that are held, by domain. */
  readonly heldOf = new Map<number, Set<TagSet>>();
  /** Of those that are held, by address space. */
  readonly heldWith = new Map<number, Set<TagSet>>();
  /** By domain and address space: a domain may have very many spaces. */
  readonly bySpace = new Map<number, Map<number, TagSet[]>>();
  /** The latest invalidation of each domain. */
  readonly wideOf = new Map<number, WideInvalidation>();
}

/**
 * The tag sets of one IOMMU. Those that may hold something valid stand apart: of the others there is nothing to drop, so that
 * the work of all invalidations together grows with what was filled.
 */
export class TagSets {
  readonly all: TagSet[] = [];
  readonly #budget: MemoryBudget;
  /** Null where there are none: an IOMMU that nothing has used costs little. */
  #by: Indexes | null = null;
  /** The latest invalidation of whatever domain. */
  #wide: WideInvalidation | null = null;

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  /** There are none any more: none may be used that there was. */
  clear(): void {
    this.#budget.give(this.all.length * SET_BYTES);
    this.all.length = 0;
    this.#by = null;
  }

  of(tag: TranslationTag, space = tag.space, leafShift = 0): TagSet {
    const key = `${tag.domain}:${space}:${tag.stages}:${tag.regime}:${leafShift}`;
    this.#by ??= new Indexes();
    const by = this.#by;
    let set = by.byTag.get(key);
    if (set === undefined) {
      set = new TagSet(this.all.length + 1, tag, space, leafShift);
      this.all.push(set);
      this.#budget.take(SET_BYTES);
      by.byTag.set(key, set);
      let spaces = by.bySpace.get(tag.domain);
      if (spaces === undefined) {
        spaces = new Map();
        by.bySpace.set(tag.domain, spaces);
      }
      listOf(spaces, space).push(set);
    }
    return set;
  }

  /** The set of the same tags whose entries are groups of leaves of a size. */
  groupsOf(set: TagSet, leafShift: number): TagSet {
    let groups = set.groups.find((other) => other.leafShift === leafShift);
    if (groups === undefined) {
      groups = this.of(set, set.space, leafShift);
      set.groups.push(groups);
    }
    return groups;
  }

  /**
   * Something is about to be filled with some tags.
   * @param covers whether an invalidation of all that has some tags is about these
   */
  hold(set: TagSet, covers: (inv: Invalidation, set: TagSet) => boolean): void {
    set.held = true;
    const by = this.#by!;
    by.held.add(set);
    for (const [held, key] of heldIn(by, set)) {
      const sets = held.get(key);
      if (sets === undefined) held.set(key, new Set([set]));
      else sets.add(set);
    }
    // What it was spared while there was nothing to drop.
    if (set.epoch === 0) return;
    for (const wide of [this.#wide, by.wideOf.get(set.domain) ?? null]) {
      if (wide === null || wide.issued <= set.epoch || !covers(wide.inv, set)) continue;
      set.epoch = wide.issued;
      set.changes = wide.changes;
    }
  }

  /** All with some tags is invalidated, and there is nothing left to drop. */
  #spend(set: TagSet): void {
    set.held = false;
    const by = this.#by!;
    by.held.delete(set);
    for (const [held, key] of heldIn(by, set)) {
      const sets = held.get(key)!;
      sets.delete(set);
      if (sets.size === 0) held.delete(key);
    }
  }

  /** An invalidation of all that has some tags has taken effect in those of its `candidates` that it is about. */
  invalidated(wide: WideInvalidation, sets: readonly TagSet[]): void {
    if (this.#by === null) return;
    for (const set of sets) if (set.held && set.isSpent) this.#spend(set);
    const { domain, domainMask, asid, pasid } = wide.inv;
    if (asid !== ANY || pasid !== ANY) return;
    if (domain === ANY || domainMask !== 0) this.#wide = wide;
    else this.#by.wideOf.set(domain === NONE ? NO_TAG : domain, wide);
  }

  /** How many `candidates` gives, at least. */
  candidatesOf(inv: Invalidation): number {
    const by = this.#by;
    if (by === null) return 0;
    const space = inv.asid !== ANY ? inv.asid : inv.pasid;
    if (inv.domain === ANY || inv.domainMask !== 0)
      return space < 0 ? by.held.size : (by.heldWith.get(space)?.size ?? 0);
    return space < 0 ? (by.heldOf.get(inv.domain === NONE ? NO_TAG : inv.domain)?.size ?? 0) : 0;
  }

  /** Sets among which are all that an invalidation covers something of. */
  *candidates(inv: Invalidation): Iterable<TagSet> {
    const by = this.#by;
    if (by === null) return;
    const space = inv.asid !== ANY ? inv.asid : inv.pasid;
    if (inv.domain === ANY || inv.domainMask !== 0) {
      if (space < 0) yield* by.held;
      else for (const of of [space, GLOBAL_SPACE]) yield* by.heldWith.get(of) ?? [];
      return;
    }
    const domain = inv.domain === NONE ? NO_TAG : inv.domain;
    if (space < 0) {
      yield* by.heldOf.get(domain) ?? [];
      return;
    }
    const spaces = by.bySpace.get(domain);
    yield* spaces?.get(space) ?? [];
    yield* spaces?.get(GLOBAL_SPACE) ?? [];
  }
}

/** The maps that a set stands in as long as it is held, and by what. */
function heldIn(
  by: Indexes,
  { domain, space }: TagSet,
): readonly (readonly [Map<number, Set<TagSet>>, number])[] {
  return [
    [by.heldOf, domain],
    [by.heldWith, space],
  ];
}

function listOf<K>(lists: Map<K, TagSet[]>, key: K): TagSet[] {
  let list = lists.get(key);
  if (list === undefined) {
    list = [];
    lists.set(key, list);
  }
  return list;
}
