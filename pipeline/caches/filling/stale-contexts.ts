import type { WalkRequest } from "../../../walkers/request.ts";
import { OK } from "../../../walkers/result.ts";
import type { IommuWalker } from "../../../walkers/walker.ts";
import { CachedFailure, type ContextVersion, isValid } from "../held/context-history.ts";
import type { Contexts, DeviceCaches, TranslationContext } from "../held/contexts.ts";
import type { Translations } from "../held/translations.ts";
import type { PastWalks } from "../history/past-walks.ts";
import type { VersionedMemory } from "../history/versioned-memory.ts";
import { coversContext, coversPasidEntry } from "../invalidations/coverage.ts";
import type { PendingInvalidations } from "../invalidations/pending.ts";

/** Enters what an IOMMU may cache by way of a device context or a PASID entry that it has cached and that is old. */
export class StaleContexts {
  readonly #walker: IommuWalker;
  readonly #memory: VersionedMemory;
  readonly #contexts: Contexts;
  readonly #translations: Translations;
  readonly #past: PastWalks;
  readonly #pending: PendingInvalidations;

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

  /**
   * What a stale context or PASID entry translates may be cached as well, and then outlives it. Not where an
   * invalidation of the stale entry has been issued: those of what it made come after that one.
   */
  enter(caches: DeviceCaches, request: WalkRequest, fresh: TranslationContext, time: number): void {
    const { pasid } = request;
    const processes = [
      ...caches.processes.get(pasid)!.history.versions,
      ...this.#contexts.sharedPasidEntries(caches, fresh.device.context, pasid),
    ].filter(
      (version) => version.own && version !== fresh.process && this.#isUsable(version, coversPasidEntry),
    );
    const enter = (device: ContextVersion, process: ContextVersion) =>
      this.#enterPair(this.#contexts.pairOf(caches, pasid, device, process), request, time);
    for (const device of [...caches.contexts.versions, ...this.#contexts.neighbours(caches)]) {
      let own: ContextVersion | null = fresh.process;
      if (device !== fresh.device) {
        if (!this.#isUsable(device, coversContext)) continue;
        own = this.#loadPasidContext(caches, request, device, time);
        if (own !== null) enter(device, own);
      }
      // A context that has no use for PASID entries has none for cached ones.
      if (own !== null && !own.own) continue;
      for (const process of processes) enter(device, process);
    }
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
    translations.usedBy(set, pair.kind);
    if (!translations.find(set, shift, hi, lo)) {
      translations.enter(set, shift, walk.firstShift, hi, lo, pair.id, time);
      return;
    }
    if (translations.context === pair.id) return;
    const known = translations
      .earlier(set, shift, hi, lo)
      .find((old) => old.context === pair.id && !old.invalidated);
    if (known !== undefined && known.time > set.epoch && known.time >= this.#memory.lastChange)
      set.fills(known, time);
    else translations.supersede(set, shift, hi, lo, { context: pair.id, time, invalidated: false });
  }

  /** Valid, and no invalidation of it is on its way. */
  #isUsable(version: ContextVersion, covers: typeof coversContext | typeof coversPasidEntry): boolean {
    if (!isValid(version) || version.context instanceof CachedFailure) return false;
    return !this.#pending.some(version.filled, (inv) => covers(inv, version.tag));
  }
}
