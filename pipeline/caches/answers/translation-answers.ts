import type { Invalidation } from "../../../walkers/invalidation.ts";
import { OK, type WalkResult } from "../../../walkers/result.ts";
import type { CachedTranslation } from "../held/cached-translation.ts";
import { isAnothers } from "../held/left-behind.ts";
import { type AskedRanges, type Extent, extentOf } from "../held/page-ranges.ts";
import type { TagSet } from "../held/tag-sets.ts";
import type { TranslationContext } from "../held/translation-context.ts";
import { staleAnswer } from "../history/stale-source.ts";
import { type CacheQuestion, type HeldState, looksBehind } from "./cache-question.ts";
import type { ContextAnswers } from "./context-answers.ts";

/** Answers that come from translations of pages. */
export class TranslationAnswers {
  readonly #question: CacheQuestion;
  readonly #held: HeldState;
  readonly #ofContexts: ContextAnswers;

  constructor(question: CacheQuestion, held: HeldState, ofContexts: ContextAnswers) {
    this.#question = question;
    this.#held = held;
    this.#ofContexts = ofContexts;
  }

  /** With some tags, and with those of their groups of leaves. */
  search(set: TagSet): boolean {
    return this.searchOnly(set) || set.groups.some((groups) => this.searchOnly(groups));
  }

  /** @param left where nothing leads to the tags any more: the contexts that did, until they were used last */
  searchOnly(set: TagSet, left: TranslationContext | null = null): boolean {
    const translations = this.#held.translations;
    const { request, scope } = this.#question;
    const { addrHi: hi, addrLo: lo } = request;
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      if (set.anySuperseded || looksBehind(scope))
        for (const entry of translations.earlier(set, shift, hi, lo))
          if (this.#tell(set, shift, entry, left)) return true;
      if (!translations.find(set, shift, hi, lo)) continue;
      const { context, time, invalidated } = translations;
      if (invalidated && !looksBehind(scope)) continue;
      const latest = { context, time, invalidated };
      if (this.#tell(set, shift, latest, left)) return true;
    }
    return false;
  }

  #tell(set: TagSet, shift: number, entry: CachedTranslation, left: TranslationContext | null): boolean {
    const translations = this.#held.translations;
    const { request, scope, accept } = this.#question;
    const { addrHi: hi, addrLo: lo } = request;
    const { time } = entry;
    // Entered on the way of this very request, by way of a context that is old: that one is what answers.
    if (time === this.#held.memory.time || (left !== null && isAnothers(entry, left))) return false;
    let invalidated = entry.invalidated || time <= set.epoch;
    if (invalidated && !looksBehind(scope)) return false;
    const read = this.#held.past.walkAsOf(entry, request);
    if (read === null || !accept(read.value)) return false;
    const then = set.leafShift !== 0 ? groupOf(read.value, shift) : read.value;
    if (then === null) return false;
    const device = this.#held.contexts.pair(entry.context)?.deviceId ?? 0;
    invalidated ||= translations.ranges.cover(set, hi, lo, time, then, device);
    if (invalidated && !looksBehind(scope)) return false;
    const extent = extentOf(then);
    const place = (inv: Invalidation) => translations.ranges.place(inv, set, hi, lo, extent, device);
    const invalidationPending =
      time <= set.unknownBefore ||
      this.#held.pending.coverTranslation(set, device, time, place, this.#question.asOf);
    if (invalidationPending && scope === "uninvalidated") return false;
    const answer = staleAnswer(read.value);
    const missed = read.missedChange();
    const behind = missed === null ? this.#ofContexts.changeBehind(entry.context) : null;
    const change = missed ?? behind?.change ?? null;
    // Where it is the request's own device that has come to tags which another one still uses, nothing outlives anything.
    const outlives = behind?.device === device && this.#ofContexts.isInvalidated(entry.context);
    return this.#question.found({
      cache: "iotlb",
      answer,
      filled: time,
      change,
      root: change === null ? this.#held.roots.since(time) : null,
      left: left !== null || outlives,
      from: behind?.device,
      domain: set.domain,
      space: set.space,
      regime: set.regime,
      stages: set.stages,
      addrHi: set.high(hi),
      addrLo: lo,
      ipaFrame: extent.ipaFrame,
      invalidationPending,
      behindStop: this.#held.pending.translationIsBehindStop(set, device, time, place, change),
      coveredSince: this.#held.pending.coveredSince(place),
      valid: this.#validity(set, shift, hi, lo, time, extent, device),
    });
  }

  /** Tells later whether a translation of that time may still be cached. */
  #validity(
    set: TagSet,
    shift: number,
    hi: number,
    lo: number,
    time: number,
    extent: Extent,
    device: number,
  ): () => boolean {
    const translations = this.#held.translations;
    // It is asked at every invalidation: of what has not covered it before, nothing does now.
    const asked: AskedRanges = { own: 0, all: 0 };
    return () => {
      if (time <= set.epoch || translations.ranges.cover(set, hi, lo, time, extent, device, asked))
        return false;
      const superseded = translations.earlier(set, shift, hi, lo).find((entry) => entry.time === time);
      if (superseded !== undefined) return !superseded.invalidated;
      // Memory may say the same again: then the entry was entered anew. It may be forgotten, too.
      return !translations.find(set, shift, hi, lo) || !translations.invalidated;
    };
  }
}

/** A group of leaves that a page belonged to, as a translation that maps all of it; null: it did not. */
function groupOf(
  { status, reason, groupShift, firstShift, ipaFrame }: WalkResult,
  shift: number,
): Extent | null {
  const belongs = status === OK ? groupShift === shift : reason === "PERMISSION";
  return belongs ? { pageShift: shift, firstShift, ipaFrame } : null;
}
