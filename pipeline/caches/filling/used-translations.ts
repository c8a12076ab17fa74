import type { CachedFailures } from "../../../walkers/caching.ts";
import { FRAME_SHIFT, frameHi, frameLo, frameOf } from "../../../walkers/memory.ts";
import { NO_PASID, type WalkRequest } from "../../../walkers/request.ts";
import { FAULT, OK, WalkResult } from "../../../walkers/result.ts";
import { answerNumber, areComparable, grantsTheSame } from "../held/answer-numbers.ts";
import type { CachedTranslation } from "../held/cached-translation.ts";
import type { Contexts } from "../held/contexts.ts";
import type { Extent } from "../held/page-ranges.ts";
import type { TagSet } from "../held/tag-sets.ts";
import type { TranslationContext } from "../held/translation-context.ts";
import type { Translations } from "../held/translations.ts";
import { type PastWalks, sameAnswer, sameTranslation } from "../history/past-walks.ts";
import { NOW, type VersionedMemory } from "../history/versioned-memory.ts";
import type { LiveChanges } from "./live-changes.ts";

/** What every walk leaves in the cache of translations, and what of the same page may be there from before. */
export class UsedTranslations {
  readonly #memory: VersionedMemory;
  readonly #contexts: Contexts;
  readonly #translations: Translations;
  readonly #past: PastWalks;
  readonly #denying = new WalkResult();
  readonly #now = new WalkResult();
  readonly #then = new WalkResult();
  /** Tick of the latest invalidation, completion or change of what is used: see `use`. */
  #since = 0;
  /** The pair that the translation being entered goes by. */
  #holder = 0;

  readonly #live: LiveChanges;

  constructor(
    memory: VersionedMemory,
    contexts: Contexts,
    translations: Translations,
    past: PastWalks,
    live: LiveChanges,
  ) {
    this.#live = live;
    this.#memory = memory;
    this.#contexts = contexts;
    this.#translations = translations;
    this.#past = past;
  }

  /**
   * Enters what a walk of one page found.
   * @param failures which refusals are cached as well
   * @param since tick of the latest invalidation, completion or change of what is used: of contexts that decode alike
   *   the first to use a page since then stands for all
   * @returns whether an earlier translation of the page may still be cached and is another
   */
  use(
    pair: TranslationContext,
    request: WalkRequest,
    walk: WalkResult,
    time: number,
    failures: CachedFailures,
    since: number,
  ): boolean {
    this.#since = since;
    this.#translations.usedBy(pair.tags, pair.kind);
    const set = walk.global ? pair.globalTags : pair.tags;
    const other = walk.global ? pair.tags : pair.globalTags;
    let mayDiffer = this.#enter(set, other, pair, request, walk, time, failures);
    if (this.#anyValid(other, 0, request, time)) mayDiffer = true;
    for (const groups of set.groups) if (this.#anyValid(groups, 0, request, time)) mayDiffer = true;
    for (const groups of other.groups) if (this.#anyValid(groups, 0, request, time)) mayDiffer = true;
    return mayDiffer;
  }

  #enter(
    set: TagSet,
    other: TagSet,
    pair: TranslationContext,
    request: WalkRequest,
    walk: WalkResult,
    time: number,
    failures: CachedFailures,
  ): boolean {
    let shift = 0;
    if (walk.status === OK) shift = walk.pageShift;
    else if (walk.status === FAULT && walk.stage !== 0) {
      if (walk.reason === "PERMISSION") return this.#enterDenial(pair, request, time);
      const kept = walk.stage === 1 ? failures.firstStage : failures.secondStage;
      if (kept && walk.entryKnown) shift = FRAME_SHIFT;
    }
    if (shift === 0) return this.#anyValid(set, 0, request, time);
    if (walk.status === OK) this.#live.entering(set, other, request, walk);
    const answer = answerNumber(request, walk);
    const mayDiffer = this.#replace(set, pair, shift, request, walk, answer);
    const { addrHi, addrLo } = request;
    this.#translations.usedBy(set, pair.kind);
    this.#translations.enter(set, shift, walk.firstShift, addrHi, addrLo, this.#holder, time, answer);
    if (walk.groupShift !== 0) this.#enterGroup(set, pair, request, walk, time);
    return mayDiffer || this.#anyValid(set, shift, request, time);
  }

  /** A cache may hold more than the page: the group of leaves that its own belongs to, with what these say now. */
  #enterGroup(
    set: TagSet,
    pair: TranslationContext,
    request: WalkRequest,
    walk: WalkResult,
    time: number,
  ): void {
    const translations = this.#translations;
    const { addrHi: hi, addrLo: lo } = request;
    const { groupShift: shift, pageShift, firstShift } = walk;
    const groups = translations.tags.groupsOf(set, firstShift || pageShift);
    let holder = pair.id;
    if (translations.find(groups, shift, hi, lo)) {
      const old: CachedTranslation = {
        context: translations.context,
        time: translations.time,
        invalidated: translations.invalidated,
      };
      if (!this.#isWhole(old, pair, request, walk)) {
        translations.supersede(groups, shift, hi, lo, old);
        this.#live.enteringGroup(pair, request, walk);
      } else if (old.time > this.#since && this.#contexts.sameKind(old.context, pair)) holder = old.context;
    } else this.#live.enteringGroup(pair, request, walk);
    translations.enter(groups, shift, firstShift > shift ? firstShift : 0, hi, lo, holder, time);
  }

  /** Whether all pages of a group are what they were when it was held last. */
  #isWhole(
    old: CachedTranslation,
    pair: TranslationContext,
    request: WalkRequest,
    { groupShift, pageShift }: WalkResult,
  ): boolean {
    if (old.time >= this.#memory.lastChange && this.#contexts.sameKind(old.context, pair)) return true;
    const { addrHi, addrLo, access } = request;
    const now = this.#now;
    request.access = 0;
    const base = frameOf(addrHi, addrLo);
    const first = base - (base % 2 ** (groupShift - FRAME_SHIFT));
    let whole = true;
    for (let page = 0; whole && page < 2 ** (groupShift - pageShift); page++) {
      const frame = first + page * 2 ** (pageShift - FRAME_SHIFT);
      request.addrHi = frameHi(frame);
      request.addrLo = frameLo(frame);
      now.copyFrom(this.#past.translate(request, pair.device.context, pair.process.context));
      const then = this.#past.walkAsOf(old, request);
      whole =
        then !== null &&
        sameTranslation(then.value, now) &&
        this.#past.sameToOthers(old, then, pair, request);
    }
    request.addrHi = addrHi;
    request.addrLo = addrLo;
    request.access = access;
    return whole;
  }

  /**
   * log2 of the smallest pages with the tags of a walk, of which the page that memory has now may have been made: a first
   * stage's tables tell by themselves (`PagingStructures.anyUnder`) where there is a table in the place of a leaf.
   */
  pieceShift(
    { tags, globalTags }: TranslationContext,
    { pageShift, ipaFrame, repeated }: WalkResult,
  ): number {
    const told = ipaFrame < 0 && !repeated;
    if (told || (tags.first > this.#memory.lastChange && globalTags.isEmpty)) return pageShift;
    let least = pageShift;
    for (const set of [tags, globalTags]) least = Math.min(least, set.nextShift(FRAME_SHIFT - 1) || least);
    return least;
  }

  /** A translation that denies a request is one all the same: it may be cached. */
  #enterDenial(pair: TranslationContext, request: WalkRequest, time: number): boolean {
    // What an entry maps that denies this request is found, now and in the past, by asking for no right.
    const { access } = request;
    request.access = 0;
    const mayDiffer = this.#enterMapping(pair, request, time);
    request.access = access;
    return mayDiffer;
  }

  #enterMapping(pair: TranslationContext, request: WalkRequest, time: number): boolean {
    const walk = this.#past.translate(request, pair.device.context, pair.process.context);
    const set = walk.global ? pair.globalTags : pair.tags;
    let mayDiffer = false;
    if (walk.status === OK && walk.pageShift !== 0) {
      const { addrHi, addrLo } = request;
      const denying = this.#denying;
      denying.copyFrom(walk);
      const answer = answerNumber(request, denying);
      mayDiffer = this.#replace(set, pair, denying.pageShift, request, denying, answer);
      this.#translations.usedBy(set, pair.kind);
      const { pageShift, firstShift } = denying;
      this.#translations.enter(set, pageShift, firstShift, addrHi, addrLo, this.#holder, time, answer);
      if (denying.groupShift !== 0) this.#enterGroup(set, pair, request, denying, time);
    }
    return this.#anyValid(set, 0, request, time) || mayDiffer;
  }

  /**
   * Supersedes what is known of a page where it is another translation; true where that may change the answer. Sets
   * `#holder`.
   * @param answer its number
   */
  #replace(
    set: TagSet,
    pair: TranslationContext,
    shift: number,
    request: WalkRequest,
    walk: WalkResult,
    answer: number,
  ): boolean {
    const translations = this.#translations;
    const { addrHi: hi, addrLo: lo } = request;
    this.#holder = pair.id;
    if (!translations.find(set, shift, hi, lo)) {
      if (walk.repeated) this.#live.enteringRepeated(pair, request, NOW);
      return false;
    }
    // Memory says to this context what it said to one that decodes alike, as long as it has not changed.
    if (translations.time >= this.#memory.lastChange && this.#contexts.sameKind(translations.context, pair)) {
      if (translations.time > this.#since) this.#holder = translations.context;
      return false;
    }
    const old: CachedTranslation = {
      context: translations.context,
      time: translations.time,
      invalidated: translations.invalidated,
    };
    const { answer: before } = translations;
    // Where they are the same, others may yet be another to requests with another privilege.
    if (areComparable(before, answer) && (before !== answer || request.pasid === NO_PASID))
      return this.#replaceByNumber(set, shift, request, old, before, answer);
    const others = walk.repeated && this.#live.enteringRepeated(pair, request, old.time);
    const read = this.#past.walkAsOf(old, request);
    if (read === null) return false;
    const then = this.#then;
    then.copyFrom(read.value);
    const same = sameTranslation(then, walk) && this.#past.sameToOthers(old, read, pair, request);
    if (same && !others) return false;
    const device = this.#contexts.pair(old.context)?.deviceId ?? 0;
    const covered = old.invalidated || translations.ranges.cover(set, hi, lo, old.time, then, device);
    // Where it may be held in pieces, the others of them are not covered for that.
    if (covered && !translations.ranges.inPieces(set, shift)) old.invalidated = true;
    translations.supersede(set, shift, hi, lo, old);
    return !covered && !sameAnswer(then, walk);
  }

  /** As above, where what both translations say is known without walking the past. */
  #replaceByNumber(
    set: TagSet,
    shift: number,
    { addrHi: hi, addrLo: lo, access }: WalkRequest,
    old: CachedTranslation,
    then: number,
    now: number,
  ): boolean {
    if (then === now) return false;
    const translations = this.#translations;
    const holder = this.#contexts.pair(old.context);
    if (holder === undefined) return false;
    const extent: Extent = { pageShift: shift, firstShift: 0, ipaFrame: -1 };
    const covered =
      old.invalidated || translations.ranges.cover(set, hi, lo, old.time, extent, holder.deviceId);
    if (covered && !translations.ranges.inPieces(set, shift)) old.invalidated = true;
    translations.supersede(set, shift, hi, lo, old);
    return !covered && !grantsTheSame(then, now, access);
  }

  /** Whether translations of a page are valid that were superseded, or are of another size than the one just entered. */
  #anyValid(set: TagSet, entered: number, request: WalkRequest, time: number): boolean {
    const translations = this.#translations;
    for (let other = set.nextShift(0); other !== 0; other = set.nextShift(other)) {
      if (set.anySuperseded)
        for (const old of translations.earlier(set, other, request.addrHi, request.addrLo))
          if (!old.invalidated && old.time > set.epoch) return true;
      if (other === entered || !translations.find(set, other, request.addrHi, request.addrLo)) continue;
      if (!translations.invalidated && translations.time < time) return true;
    }
    return false;
  }
}
