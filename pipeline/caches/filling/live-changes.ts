import type { LiveChange } from "../../../walkers/caching.ts";
import { highHalf, lowHalf } from "../../../walkers/entry-halves.ts";
import { FRAME_SHIFT, frameHi, frameLo, frameOf } from "../../../walkers/memory.ts";
import type { WalkRequest } from "../../../walkers/request.ts";
import { OK, type WalkResult } from "../../../walkers/result.ts";
import type { CachedTranslation } from "../held/cached-translation.ts";
import type { Contexts } from "../held/contexts.ts";
import type { TagSet } from "../held/tag-sets.ts";
import type { TranslationContext } from "../held/translation-context.ts";
import type { Translations } from "../held/translations.ts";
import type { CachedIommu } from "../history/cached-iommu.ts";
import type { PastWalks } from "../history/past-walks.ts";
import { type Change, type VersionedMemory, WORD_BYTES } from "../history/versioned-memory.ts";
import { RepeatedLeaves, type UnlikeEntry } from "./repeated-leaves.ts";

/** What is wrong with page-table entries, whether an invalidation came or not. */
export type TableFlaw =
  | {
      readonly kind: "replaced";
      readonly change: Change;
      readonly newHi: number;
      readonly newLo: number;
      readonly text: string;
    }
  | { readonly kind: "group"; readonly shift: number; readonly first: number; readonly text: string }
  | { readonly kind: "repeated"; readonly entry: UnlikeEntry };

/**
 * Entries that must not be changed from one valid value to another without being invalid, and invalidated, in between;
 * and groups of entries that a cache may hold as one and that are not alike. Each is looked for where a page is used again.
 */
export class LiveChanges {
  readonly #unit: CachedIommu;
  readonly #memory: VersionedMemory;
  readonly #contexts: Contexts;
  readonly #translations: Translations;
  readonly #past: PastWalks;
  /** The latest, until somebody has taken note. */
  flaw: TableFlaw | null = null;

  readonly #repeated: RepeatedLeaves;
  /** High and low half of the last entry of stage 0 (none), 1 and 2 that a translation has read. */
  readonly #leaves = new Int32Array(6);

  constructor(
    unit: CachedIommu,
    memory: VersionedMemory,
    contexts: Contexts,
    translations: Translations,
    past: PastWalks,
  ) {
    this.#repeated = new RepeatedLeaves(unit, memory);
    this.#unit = unit;
    this.#memory = memory;
    this.#contexts = contexts;
    this.#translations = translations;
    this.#past = past;
  }

  /**
   * A page that is mapped is about to be entered.
   * @param set of its tags, `other` of those that it has where it is global, or is not
   * @param walk of memory as it is
   */
  entering(set: TagSet, other: TagSet, request: WalkRequest, walk: WalkResult): void {
    if (this.#unit.vendor.caching.brokenBeforeMade === undefined) return;
    this.#entering(set, request, walk);
    if (!other.isEmpty) this.#entering(other, request, walk);
  }

  #entering(set: TagSet, request: WalkRequest, walk: WalkResult): void {
    const old = this.#latest(set, request);
    if (old === null || old.time >= this.#memory.lastChange) return;
    const { frame, perm } = walk;
    const read = this.#past.walkAsOf(old, request);
    if (read === null || read.value.status !== OK) return;
    const change = read.missedChange();
    // Where it was written several times, it may have been invalid in between.
    if (change === null || change.again || change.asRead) return;
    const pair = this.#contexts.pair(old.context);
    if (pair === undefined) return;
    const { addrHi: hi, addrLo: lo } = request;
    const dropped =
      old.invalidated || this.#translations.ranges.cover(set, hi, lo, old.time, read.value, pair.deviceId);
    // Without an invalidation, that one is what is missing.
    if (!dropped) return;
    const structure = this.#past.structureAt(request, change.frame, change.offset);
    if (structure === null || structure.stage === 0) return;
    const { littleEndian, stage, level } = structure;
    if (!littleEndian || !this.#memory.fetch(change.frame, change.offset, WORD_BYTES)) return;
    const { view, at } = this.#memory;
    const newHi = view.getInt32(at + 4, true);
    const newLo = view.getInt32(at, true);
    const { oldHi, oldLo } = change;
    const translatesOtherwise = read.value.frame !== frame || read.value.perm !== perm;
    const live: LiveChange = { stage, level, translatesOtherwise, oldHi, oldLo, newHi, newLo };
    const { device, process } = pair;
    const text = this.#unit.vendor.caching.brokenBeforeMade!(
      this.#unit.state,
      live,
      device.context,
      process.context,
    );
    if (text !== null) this.flaw = { kind: "replaced", change, newHi, newLo, text };
  }

  /** The latest translation of an address, of whatever size. */
  #latest(set: TagSet, { addrHi, addrLo }: WalkRequest): CachedTranslation | null {
    const translations = this.#translations;
    let latest: CachedTranslation | null = null;
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      if (!translations.find(set, shift, addrHi, addrLo)) continue;
      const { context, time, invalidated } = translations;
      if (latest === null || time > latest.time) latest = { context, time, invalidated };
    }
    return latest;
  }

  /**
   * A page whose leaf stands in several entries is about to be entered for the first time, or after memory has changed.
   * @param since when it was held last; a tick after now: it was not
   * @returns whether one of these entries says another thing than it did then
   */
  enteringRepeated(pair: TranslationContext, request: WalkRequest, since: number): boolean {
    const { access } = request;
    request.access = 0;
    const leaves = this.#repeated.of(() =>
      this.#past.translate(request, pair.device.context, pair.process.context),
    );
    request.access = access;
    let changed = false;
    for (const leaf of leaves) {
      const entry = this.#repeated.unlike(leaf);
      if (entry !== null) this.flaw = { kind: "repeated", entry };
      if (this.#repeated.changedSince(leaf, since)) changed = true;
    }
    return changed;
  }

  /** A group is about to be entered for the first time, or after one of its pages has changed. */
  enteringGroup(pair: TranslationContext, request: WalkRequest, walk: WalkResult): void {
    const { groupShift, pageShift } = walk;
    const { addrHi, addrLo, access } = request;
    const own = frameOf(addrHi, addrLo);
    const size = 2 ** (groupShift - FRAME_SHIFT);
    const first = own - (own % size);
    const step = 2 ** (pageShift - FRAME_SHIFT);
    const pages = 2 ** (groupShift - pageShift);
    const asked: Member = {
      page: Math.floor((own - first) / step),
      ...member(walk, own - first),
      leaves: [],
    };
    request.access = 0;
    this.#translate(pair, request);
    asked.leaves.push(...this.#leaves);
    // As long as they are like the one that was asked for, none is kept; of those that are not, two decide which is the odd one.
    const odd: Member[] = [];
    for (let page = 0; page < pages && odd.length < 2; page++) {
      const at = first + page * step;
      request.addrHi = frameHi(at);
      request.addrLo = frameLo(at);
      const other = this.#translate(pair, request);
      // A page that is not mapped is no contradiction (DDI 0487 D8.7.1.1).
      if (other.status !== OK) continue;
      const found = { page, ...member(other, at - first), leaves: [...this.#leaves] };
      if (this.#unlike(found, asked) !== null) odd.push(found);
    }
    request.addrHi = addrHi;
    request.addrLo = addrLo;
    request.access = access;
    const [one, two] = odd;
    const of = `${pages} entries are marked as one contiguous group, and`;
    if (one === undefined) {
      if (asked.base % size === 0) return;
      const text = `${of} lead to addresses that are not aligned to its size`;
      this.flaw = { kind: "group", shift: groupShift, first, text };
      return;
    }
    const [unlike, others] =
      two !== undefined && this.#unlike(one, two) === null ? [asked, one] : [one, asked];
    const text = `${of} entry ${unlike.page} of them ${this.#unlike(unlike, others)}`;
    this.flaw = { kind: "group", shift: groupShift, first, text };
  }

  /** What the first of two entries of a group has that the other has not. */
  #unlike(one: Member, other: Member): string | null {
    if (one.groupShift !== other.groupShift) return "is not marked as one of them";
    if (one.base !== other.base) return "leads to an address that does not follow theirs";
    if (one.perm !== other.perm) return "has other permissions";
    return this.#haveOtherAttributes(one.leaves, other.leaves) ? "has other attributes" : null;
  }

  /** Translates through contexts, and notes the leaf of each stage. */
  #translate(pair: TranslationContext, request: WalkRequest): WalkResult {
    const { tables } = this.#unit.walker;
    const leaves = this.#leaves;
    leaves.fill(0);
    tables.observer = {
      entry(layout, _frame, _offset, view, at, stage, _level, littleEndian) {
        if (view === null) return;
        leaves[2 * stage] = highHalf(layout, view, at, littleEndian);
        leaves[2 * stage + 1] = lowHalf(layout, view, at, littleEndian);
      },
    };
    const walk = this.#past.translate(request, pair.device.context, pair.process.context);
    tables.observer = null;
    return walk;
  }

  #haveOtherAttributes(one: readonly number[], other: readonly number[]): boolean {
    const { groupAttributes = [] } = this.#unit.vendor.caching;
    return groupAttributes.some(
      ([hi, lo], stage) =>
        ((one[2 * stage]! ^ other[2 * stage]!) & hi) !== 0 ||
        ((one[2 * stage + 1]! ^ other[2 * stage + 1]!) & lo) !== 0,
    );
  }
}

/** An entry of a group: where it lets the group begin, and what it says of its own. */
interface Member {
  readonly page: number;
  readonly base: number;
  readonly groupShift: number;
  readonly perm: number;
  readonly leaves: number[];
}

function member({ frame, groupShift, perm }: WalkResult, offset: number): Omit<Member, "page" | "leaves"> {
  return { base: frame - offset, groupShift, perm };
}
