import type { CacheName } from "../../../walkers/advice.ts";
import { REGIME_EL1 } from "../../../walkers/invalidation.ts";
import type { WalkRequest } from "../../../walkers/request.ts";
import type { WalkResult } from "../../../walkers/result.ts";
import { noteAts } from "../../../walkers/translation-request.ts";
import { type CachedFailure, type ContextVersion, isValid } from "../held/context-history.ts";
import { isWhole } from "../held/left-behind.ts";
import { type StaleAnswer, staleAnswer } from "../history/stale-source.ts";
import type { Change } from "../history/versioned-memory.ts";
import { placeOfContext } from "../invalidations/pending.ts";
import { type CacheQuestion, type HeldState, looksBehind } from "./cache-question.ts";

/** Answers that come from cached device contexts and PASID entries. */
export class ContextAnswers {
  readonly #question: CacheQuestion;
  readonly #held: HeldState;

  constructor(question: CacheQuestion, held: HeldState) {
    this.#question = question;
    this.#held = held;
  }

  /** Whether a version may explain the answer. */
  inScope(version: ContextVersion, ofPasid: boolean): boolean {
    const { scope, asOf } = this.#question;
    if (looksBehind(scope)) return true;
    if (!isValid(version)) return false;
    return scope === "valid" || !this.#held.pending.coverContext(version.tag, ofPasid, version.filled, asOf);
  }

  /** What a cached refusal says to a request: of one of ATS, there may be no record. */
  refusal({ result }: CachedFailure): WalkResult {
    const out = this.#held.past.reset();
    out.copyFrom(result);
    noteAts(this.#held.unit.walker, this.#question.request, out);
    return out;
  }

  /** Whether an invalidation has dropped a context of a translation, which lives on. */
  isInvalidated(context: number): boolean {
    const pair = this.#held.contexts.pair(context);
    return pair !== undefined && !isWhole(pair);
  }

  /**
   * The write that contexts of a translation do not know of, where memory still says the same through them: to entries of
   * the device that it was made for, or else to those of the request's.
   */
  changeBehind(context: number): { readonly device: number; readonly change: Change } | null {
    const { request } = this.#question;
    const pair = this.#held.contexts.pair(context);
    if (pair === undefined) return null;
    const asked = request.device;
    const made = request.binding === null ? pair.deviceId : asked;
    for (const device of made === asked ? [asked] : [made, asked]) {
      request.device = device;
      const change =
        this.#changeOf(request, pair.device, false) ?? this.#changeOf(request, pair.process, true);
      request.device = asked;
      if (change !== null) return { device, change };
    }
    return null;
  }

  /** The write that a stale context does not know of: found by reading the context as it was then. */
  #changeOf(request: WalkRequest, version: ContextVersion, ofPasid: boolean): Change | null {
    const { filled, through } = version;
    const change = this.#held.past.changeOfContext(request, filled, ofPasid);
    if (change !== null || !ofPasid) return change;
    // The entry is as it was, but the device context leads to another: it may have been stale even then.
    const time = through === null ? filled : Math.min(filled, through.filled);
    return this.#held.past.changeOfContext(request, time, false);
  }

  /** Names a stale context as what gave the answer. @returns whether that is enough */
  comesFrom(version: ContextVersion, cache: CacheName, walk: WalkResult): boolean {
    return this.#fromContext(version, cache, staleAnswer(walk));
  }

  #fromContext(version: ContextVersion, cache: CacheName, answer: StaleAnswer): boolean {
    const { request } = this.#question;
    const { filled, through, tag } = version;
    const ofPasid = cache === "pasid";
    let change = this.#held.past.changeOfContext(request, filled, ofPasid);
    // It is what memory says through a stale device context: that one is to go first.
    if (change === null && through !== null && isValid(through))
      return this.#fromContext(through, "context", answer);
    change ??= this.#changeOf(request, version, ofPasid);
    return this.#question.found({
      cache,
      answer,
      filled,
      change,
      root: change === null ? this.#held.roots.since(filled) : null,
      left: false,
      domain: tag.domain,
      space: tag.pasid,
      regime: REGIME_EL1,
      stages: 0,
      addrHi: request.addrHi,
      addrLo: request.addrLo,
      ipaFrame: -1,
      invalidationPending: this.#held.pending.coverContext(tag, ofPasid, filled, this.#question.asOf),
      behindStop: this.#held.pending.contextIsBehindStop(tag, ofPasid, filled, change),
      coveredSince: this.#held.pending.coveredSince((inv) => placeOfContext(inv, tag, ofPasid)),
      valid: () => isValid(version),
    });
  }
}
