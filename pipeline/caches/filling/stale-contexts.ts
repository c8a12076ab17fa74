import type { WalkRequest } from "../../../walkers/request.ts";
import { OK, WalkResult } from "../../../walkers/result.ts";
import type { IommuWalker } from "../../../walkers/walker.ts";
import type { DeviceCaches } from "../held/cached-devices.ts";
import type { CachedTranslation } from "../held/cached-translation.ts";
import { CachedFailure, type ContextVersion, isValid } from "../held/context-history.ts";
import type { Contexts } from "../held/contexts.ts";
import type { TagSet } from "../held/tag-sets.ts";
import type { TranslationContext } from "../held/translation-context.ts";
import type { Translations } from "../held/translations.ts";
import { type PastWalks, sameTranslation } from "../history/past-walks.ts";
import type { PastRead, VersionedMemory } from "../history/versioned-memory.ts";
import type { PendingInvalidations } from "../invalidations/pending.ts";

/** Enters what an IOMMU may cache by way of a device context or a PASID entry that it has cached and that is old. */
export class StaleContexts {
  readonly #walker: IommuWalker;
  readonly #memory: VersionedMemory;
  readonly #contexts: Contexts;
  readonly #translations: Translations;
  readonly #past: PastWalks;
  readonly #pending: PendingInvalidations;
  readonly #now = new WalkResult();

  constructor(
    walker: IommuWalker,
    memory: VersionedMemory,
    contexts: Contexts,
    translations: Translations,
    past: PastWalks,
    pending: PendingInvalidations,
  ) {
    this.#walker = walker;
    this.#memory = memory;
    this.#contexts = contexts;
    this.#translations = translations;
    this.#past = past;
    this.#pending = pending;
  }

  /** What was invalidated may be in use: an invalidation stands behind a command at which the queue has stopped. */
  get anyBehindStop(): boolean {
    return (this.#pending.behindStop?.list.length ?? 0) > 0;
  }

  /**
   * What a stale context or PASID entry translates may be cached as well, and then outlives it. Not where an
   * invalidation of the stale entry has been issued: those of what it made come after that one.
   *
   * @param device that memory gives now; null: it refuses the request before
   * @param process likewise
   */
  enter(
    caches: DeviceCaches,
    request: WalkRequest,
    device: ContextVersion | null,
    process: ContextVersion | null,
    time: number,
  ): void {
    const { pasid } = request;
    for (const other of [...caches.contexts.versions, ...this.#contexts.neighbours(caches)]) {
      let own = process;
      if (other !== device) {
        if (!this.#isUsable(other, false)) continue;
        own = this.#loadPasidContext(caches, request, other, time);
        if (own !== null) this.#enterPair(this.#contexts.pairOf(caches, pasid, other, own), request, time);
      }
      // A context that has no use for PASID entries has none for cached ones.
      if (own !== null && !own.own) continue;
      for (const stale of this.#processesOf(caches, (device ?? other).context, pasid, process))
        this.#enterPair(this.#contexts.pairOf(caches, pasid, other, stale), request, time);
    }
  }

  /** PASID entries that the caches may hold beside the one that memory gives. */
  #processesOf(
    caches: DeviceCaches,
    device: object,
    pasid: number,
    process: ContextVersion | null,
  ): ContextVersion[] {
    return [
      ...(caches.processes.get(pasid)?.history.versions ?? []),
      ...this.#contexts.sharedPasidEntries(caches, device, pasid),
    ].filter((version) => version.own && version !== process && this.#isUsable(version, true));
  }

  /** The PASID entry that a stale device context leads to; null: it refuses the request. */
  #loadPasidContext(
    caches: DeviceCaches,
    request: WalkRequest,
    device: ContextVersion,
    time: number,
  ): ContextVersion | null {
    const walker = this.#walker;
    const { context } = device;
    if (!walker.checkRequest(request, context, this.#past.reset())) return null;
    const process = walker.newPasidContext();
    if (!walker.loadPasidContext(request, context, process, this.#past.reset())) return null;
    const version = this.#contexts.usePasidContext(caches, request.pasid, device, process, time);
    version.through = device;
    return version;
  }

  #enterPair(pair: TranslationContext, request: WalkRequest, time: number): void {
    const translations = this.#translations;
    const { addrHi: hi, addrLo: lo } = request;
    const walk = this.#past.translate(request, pair.device.context, pair.process.context);
    if (walk.status !== OK || walk.pageShift === 0) return;
    const set = walk.global ? pair.globalTags : pair.tags;
    const { pageShift: shift } = walk;
    pair.staleUse = time;
    translations.usedBy(set, pair.kind);
    if (!translations.find(set, shift, hi, lo)) {
      translations.enter(set, shift, walk.firstShift, hi, lo, pair.id, time);
      return;
    }
    if (translations.context === pair.id) {
      // What is taken to be gone makes nothing younger: it would hide that software was late with the rest.
      const gone = !isValid(pair.device) || !isValid(pair.process);
      if (!gone || translations.invalidated) this.#enterAgain(set, pair, request, walk, time);
      return;
    }
    const known = translations
      .earlier(set, shift, hi, lo)
      .find((old) => old.context === pair.id && !old.invalidated);
    if (known !== undefined && known.time > set.epoch && known.time >= this.#memory.lastChange)
      translations.fill(set, shift, hi, lo, known, time);
    else translations.supersede(set, shift, hi, lo, { context: pair.id, time, invalidated: false });
  }

  /** The page was entered through the same contexts before: it may have been invalidated since, or be another now. */
  #enterAgain(
    set: TagSet,
    pair: TranslationContext,
    request: WalkRequest,
    walk: WalkResult,
    time: number,
  ): void {
    const translations = this.#translations;
    const { addrHi: hi, addrLo: lo } = request;
    const old: CachedTranslation = {
      context: pair.id,
      time: translations.time,
      invalidated: translations.invalidated,
    };
    const now = this.#now;
    now.copyFrom(walk);
    const then = old.time >= this.#memory.lastChange ? null : this.#past.walkAsOf(old, request);
    if (then !== null && !this.#isSame(old, then, pair, request)) {
      const { value } = this.#past.walkAsOf(old, request)!;
      old.invalidated ||= translations.ranges.cover(set, hi, lo, old.time, value, pair.deviceId);
      translations.supersede(set, now.pageShift, hi, lo, old);
    }
    translations.enter(set, now.pageShift, now.firstShift, hi, lo, pair.id, time);
  }

  /** Whether memory says the same as it did, as `#now` has it. */
  #isSame(
    old: CachedTranslation,
    then: PastRead<WalkResult>,
    pair: TranslationContext,
    request: WalkRequest,
  ): boolean {
    return sameTranslation(then.value, this.#now) && this.#past.sameToOthers(old, then, pair, request);
  }

  /** Valid, and no invalidation of it is on its way; one behind a command at which the queue has stopped is not. */
  #isUsable(version: ContextVersion, ofPasid: boolean): boolean {
    const { context, tag, filled } = version;
    if (context instanceof CachedFailure) return false;
    if (this.#pending.contextIsBehindStop(tag, ofPasid, filled, { time: filled })) return true;
    return isValid(version) && !this.#pending.coverContext(tag, ofPasid, filled);
  }
}
