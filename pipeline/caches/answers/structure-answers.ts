import type { Invalidation } from "../../../walkers/invalidation.ts";
import type { CachedTranslation } from "../held/cached-translation.ts";
import type { Extent } from "../held/page-ranges.ts";
import type { TagSet } from "../held/tag-sets.ts";
import type { Translations } from "../held/translations.ts";
import { type StaleSource, staleAnswer } from "../history/stale-source.ts";
import { type CacheQuestion, type HeldState, looksBehind } from "./cache-question.ts";

/** Answers of walks that go on from a table entry above the last level, as it was. */
export class StructureAnswers {
  readonly #question: CacheQuestion;
  readonly #held: HeldState;

  constructor(question: CacheQuestion, held: HeldState) {
    this.#question = question;
    this.#held = held;
  }

  /** Table entries above the last level that have changed since they were used: a walk may go on from an old one. */
  search(set: TagSet): boolean {
    if (set.superseded.size === 0) return false;
    const { request, scope, accept } = this.#question;
    const { entries } = this.#held.structures;
    const { addrHi: hi, addrLo: lo } = request;
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      for (const entry of entries.earlier(set, shift, hi, lo)) {
        const pair = this.#held.contexts.pair(entry.context);
        if (pair === undefined) continue;
        const region: Extent = { pageShift: shift, firstShift: 0, ipaFrame: -1 };
        const device = pair.deviceId;
        const { time } = entry;
        const invalidated =
          entry.invalidated || time <= set.epoch || entries.ranges.cover(set, hi, lo, time, region, device);
        if (invalidated && !looksBehind(scope)) continue;
        const place = (inv: Invalidation) => entries.ranges.place(inv, set, hi, lo, region, device);
        const invalidationPending =
          time <= set.unknownBefore ||
          this.#held.pending.coverTranslation(set, device, time, place, this.#question.asOf);
        if (invalidationPending && scope === "uninvalidated") continue;
        const sizes = this.#held.structures.sizes(pair, hi);
        const level = sizes.level(sizes.firstAbove(shift - 1));
        const read = this.#held.past.through(
          request,
          pair.device.context,
          pair.process.context,
          sizes.stage,
          level,
          time,
        );
        if (read.forgotten || !accept(read.value)) continue;
        const answer = staleAnswer(read.value);
        const change = read.missedChange();
        const staleSource: StaleSource = {
          cache: "paging-structures",
          answer,
          filled: time,
          change,
          root: change === null ? this.#held.roots.since(time) : null,
          left: false,
          domain: set.domain,
          space: set.space,
          regime: set.regime,
          stages: set.stages,
          addrHi: set.high(hi),
          addrLo: lo,
          ipaFrame: -1,
          invalidationPending,
          behindStop: this.#held.pending.translationIsBehindStop(set, device, time, place, change),
          coveredSince: this.#held.pending.coveredSince(place),
          valid: () =>
            !isInvalidated(entries, set, shift, hi, lo, entry) &&
            time > set.epoch &&
            !entries.ranges.cover(set, hi, lo, time, region, device),
        };
        if (this.#question.found(staleSource)) return true;
      }
    }
    return false;
  }
}

/** Whether an earlier translation has been invalidated by now. */
function isInvalidated(
  entries: Translations,
  set: TagSet,
  shift: number,
  hi: number,
  lo: number,
  { context, time }: CachedTranslation,
): boolean {
  const now = entries.earlier(set, shift, hi, lo).find((old) => old.time === time && old.context === context);
  return now?.invalidated === true;
}
