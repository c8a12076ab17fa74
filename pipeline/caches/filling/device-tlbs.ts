import type { Caching } from "../../../walkers/caching.ts";
import { ANY, DEVICE_TLB, type Invalidation, REGIME_EL1 } from "../../../walkers/invalidation.ts";
import type { WalkRequest } from "../../../walkers/request.ts";
import { OK, WalkResult } from "../../../walkers/result.ts";
import type { CachedTranslation } from "../held/cached-translation.ts";
import type { CacheBudgets } from "../held/memory-budget.ts";
import { type Extent, extentOf } from "../held/page-ranges.ts";
import type { TagSet } from "../held/tag-sets.ts";
import type { TranslationContext } from "../held/translation-context.ts";
import { Translations } from "../held/translations.ts";
import { type PastWalks, sameTranslation } from "../history/past-walks.ts";
import { type StaleAnswer, type StaleSource, staleAnswer } from "../history/stale-source.ts";
import type { VersionedMemory } from "../history/versioned-memory.ts";
import { DEVICE_TRANSLATIONS } from "../invalidations/coverage.ts";
import type { PendingInvalidations } from "../invalidations/pending.ts";
import { GivenTranslations } from "./given-translations.ts";

/** A translation that a device has used after it was changed. */
export interface DeviceUse {
  readonly source: StaleSource;
  /** The request is one that has been translated: the device has used it, where it otherwise may. */
  readonly used: boolean;
  /** An invalidation of the device's TLB has dropped it, and is complete. */
  readonly invalidated: boolean;
}

/**
 * What devices with ATS may keep by themselves, by what they have used. It has no part in verdicts: a request
 * of the trace is answered by the IOMMU, whatever the device keeps. It tells where an invalidation of the device's TLB is
 * owed, and of requests that have been translated, whether what the device was told has been taken back.
 */
export class DeviceTlbs {
  readonly entries: Translations;
  readonly #caching: Caching;
  readonly #memory: VersionedMemory;
  readonly #past: PastWalks;
  readonly #pending: PendingInvalidations;
  readonly #now = new WalkResult();
  readonly #given = new GivenTranslations();
  /** An entry says the same to this request, and another thing to requests of the other privilege: it is not to be entered anew. */
  #keepsOld = false;

  constructor(
    caching: Caching,
    memory: VersionedMemory,
    past: PastWalks,
    pending: PendingInvalidations,
    budgets: CacheBudgets,
  ) {
    this.entries = new Translations(budgets, DEVICE_TRANSLATIONS);
    this.#caching = caching;
    this.#memory = memory;
    this.#past = past;
    this.#pending = pending;
  }

  /**
   * Notes a walk of one page.
   * @returns an earlier translation that the device may still keep and that is another; null where there is none
   */
  use(pair: TranslationContext, request: WalkRequest, walk: WalkResult, time: number): DeviceUse | null {
    if (!this.#caching.hasDeviceTlb(pair.device.context)) return null;
    const { entries } = this;
    const set = this.#setOf(pair, request);
    // The past is walked with the same scratch result.
    const now = this.#now;
    now.copyFrom(walk);
    this.#keepsOld = false;
    const source = set.filled === 0 ? null : this.#earlier(set, pair, request, now);
    this.#given.note(request, now, set);
    if (now.status === OK && now.pageShift !== 0 && !this.#keepsOld)
      entries.enter(set, now.pageShift, now.firstShift, request.addrHi, request.addrLo, pair.id, time);
    return source === null ? null : { source, used: false, invalidated: false };
  }

  /**
   * A request that has been translated, and passes: where its address comes from.
   * @returns a translation that has been changed since; null where one that has not leads there, or none is known
   */
  translated(request: WalkRequest, frame: number): DeviceUse | null {
    let right = false;
    let found: DeviceUse | null = null;
    this.#given.forEach(request.device, frame, (asked, set) => {
      if (right) return;
      const now = this.#past.walkAll(asked);
      right = now.status === OK && now.frame === frame;
      if (!right && (found === null || found.invalidated)) found = this.#usedOf(asked, set, frame) ?? found;
    });
    return right ? null : found;
  }

  #usedOf(asked: WalkRequest, set: TagSet, frame: number): DeviceUse | null {
    const { entries } = this;
    const { addrHi: hi, addrLo: lo } = asked;
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      if (!entries.find(set, shift, hi, lo)) continue;
      const { context, time, invalidated } = entries;
      const old: CachedTranslation = { context, time, invalidated };
      const read = this.#past.walkAsOf(old, asked);
      if (read === null || read.value.status !== OK || read.value.frame !== frame) continue;
      const extent = extentOf(read.value);
      const source = this.#sourceOf(set, asked, old, extent, staleAnswer(read.value), read.missedChange());
      const dropped = invalidated || entries.ranges.cover(set, hi, lo, time, extent, set.domain);
      return { source, used: true, invalidated: dropped };
    }
    return null;
  }

  clear(): void {
    this.entries.clear();
    this.#given.clear();
  }

  forget(): void {
    this.entries.forget();
    this.#given.clear();
  }

  #earlier(set: TagSet, pair: TranslationContext, request: WalkRequest, now: WalkResult): StaleSource | null {
    const { entries } = this;
    const memory = this.#memory;
    const { addrHi: hi, addrLo: lo } = request;
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      if (!entries.find(set, shift, hi, lo) || entries.invalidated || entries.time >= memory.lastChange)
        continue;
      const old: CachedTranslation = { context: entries.context, time: entries.time, invalidated: false };
      const read = this.#past.walkAsOf(old, request);
      if (read === null) continue;
      if (sameTranslation(read.value, now)) {
        this.#keepsOld ||= !this.#past.sameToOthers(old, read, pair, request);
        continue;
      }
      const extent = extentOf(read.value);
      // It is said once of an entry.
      entries.remove(set, shift, hi, lo);
      if (entries.ranges.cover(set, hi, lo, old.time, extent, set.domain)) continue;
      return this.#sourceOf(set, request, old, extent, staleAnswer(read.value), read.missedChange());
    }
    return null;
  }

  #sourceOf(
    set: TagSet,
    { addrHi: hi, addrLo: lo }: WalkRequest,
    { time }: CachedTranslation,
    extent: Extent,
    answer: StaleAnswer,
    change: StaleSource["change"],
  ): StaleSource {
    const { entries } = this;
    return {
      cache: "devtlb",
      answer,
      filled: time,
      change,
      root: null,
      left: false,
      domain: -1,
      space: set.space,
      regime: REGIME_EL1,
      stages: set.stages,
      addrHi: set.high(hi),
      addrLo: lo,
      ipaFrame: -1,
      invalidationPending: this.#pending.coverDeviceTlb(set.space, set.domain, time, (inv) =>
        entries.ranges.place(byDevice(inv), set, hi, lo, extent, set.domain),
      ),
      behindStop: false,
      coveredSince: () => true,
      valid: () => false,
    };
  }

  #setOf({ tags }: TranslationContext, request: WalkRequest): TagSet {
    return this.entries.tagSet({
      domain: request.device,
      space: request.pasid,
      stages: tags.stages,
      regime: REGIME_EL1,
      withoutTopByte: tags.withoutTopByte,
    });
  }

  invalidate(inv: Invalidation, issued: number): void {
    if ((inv.caches & DEVICE_TLB) !== 0) this.entries.invalidate(byDevice(inv), issued);
  }
}

/** The same, with the device in the place of the domain, which devices do not know. */
function byDevice(inv: Invalidation): Invalidation {
  const copy = inv.clone();
  copy.domain = inv.anyDevice ? ANY : inv.device;
  copy.domainMask = inv.deviceMask;
  copy.anyDevice = true;
  return copy;
}
