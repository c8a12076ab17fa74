import type { CacheName } from "../../../walkers/advice.ts";
import { TRANSLATED, type WalkRequest } from "../../../walkers/request.ts";
import type { WalkResult } from "../../../walkers/result.ts";
import { noteAts } from "../../../walkers/translation-request.ts";
import type { DeviceCaches } from "../held/cached-devices.ts";
import { CachedFailure, type ContextVersion } from "../held/context-history.ts";
import { leftPairs } from "../held/left-behind.ts";
import type { TagSet } from "../held/tag-sets.ts";
import type { StaleSource } from "../history/stale-source.ts";
import { type Accept, CacheQuestion, type HeldState, type Scope } from "./cache-question.ts";
import { ContextAnswers } from "./context-answers.ts";
import { NeedToAsk } from "./need-to-ask.ts";
import { StructureAnswers } from "./structure-answers.ts";
import { TranslationAnswers } from "./translation-answers.ts";

/** What explains an answer: nothing, what nothing has invalidated, or what an invalidation had covered. */
export const UNEXPLAINED = 0;
export const VALID = 1;
export const INVALIDATED = 2;

const NOTHING: readonly StaleSource[] = [];
const NO_PROCESS = { tracked: null };

/** Looks in the caches of one IOMMU for what could have given an answer: by way of contexts, then of their translations. */
export class Explanation {
  readonly need: NeedToAsk;
  readonly #held: HeldState;
  readonly #question = new CacheQuestion();
  readonly #ofContexts: ContextAnswers;
  readonly #ofTranslations: TranslationAnswers;
  readonly #ofStructures: StructureAnswers;

  constructor(held: HeldState) {
    this.#held = held;
    this.need = new NeedToAsk(held);
    this.#ofContexts = new ContextAnswers(this.#question, held);
    this.#ofTranslations = new TranslationAnswers(this.#question, held, this.#ofContexts);
    this.#ofStructures = new StructureAnswers(this.#question, held);
  }

  /** What the last question has found. */
  get staleSource(): StaleSource | null {
    return this.#question.staleSource;
  }

  set staleSource(source: StaleSource | null) {
    this.#question.staleSource = source;
  }

  /**
   * All cached contexts, PASID entries and translations in `scope` that give an answer.
   * @param accept whether a walk's result is that answer
   * @param asOf a tick: of the invalidations that are pending, those count that were issued by then
   */
  findAll(
    request: WalkRequest,
    scope: Scope,
    accept: Accept,
    asOf = Number.POSITIVE_INFINITY,
  ): readonly StaleSource[] {
    const { device, process } = this.#held.unit.engine;
    const pair = scope === "uninvalidated" ? this.need.onlyPair(request, device, process) : null;
    if (
      pair !== null &&
      !this.need.anyValid(pair.tags, request) &&
      !this.need.anyValid(pair.globalTags, request)
    )
      return NOTHING;
    const all = this.#question.beginAll(asOf);
    if (pair === null) this.find(request, scope, accept);
    else {
      this.#question.begin(request, scope, accept);
      this.#ofTranslations.search(pair.tags);
      this.#ofTranslations.search(pair.globalTags);
    }
    this.#question.endAll();
    return all;
  }

  /**
   * Looks for cached contexts, PASID entries or translations in `scope` that give an answer.
   * @param accept whether a walk's result is that answer
   * @returns whether there is one: `staleSource` says what it was
   */
  find(request: WalkRequest, scope: Scope, accept: Accept): boolean {
    this.#question.begin(request, scope, accept);
    if (this.#held.past.decidedByAddress(request)) return false;
    const caches = this.#held.contexts.of(request);
    const now = this.#held.unit.engine.device?.context;
    if (now !== undefined && this.#throughDevice(now, null, caches)) return true;
    for (const version of [...caches.contexts.versions, ...this.#held.contexts.neighbours(caches)])
      if (version.context !== now && this.#throughVersion(version, caches)) return true;
    // Where they are harmless, they are asked for only to explain an answer.
    if (request.at === TRANSLATED) return false;
    const left =
      scope === "valid" || (scope === "uninvalidated" && this.#held.unit.vendor.caching.owesTranslations);
    return left && this.#throughLeft(caches);
  }

  #throughVersion(version: ContextVersion, caches: DeviceCaches): boolean {
    if (!this.#ofContexts.inScope(version, false)) return false;
    if (version.context instanceof CachedFailure)
      return this.#throughRefusal(version.context, version, "context");
    return this.#throughDevice(version.context, version, caches);
  }

  #throughRefusal(failure: CachedFailure, version: ContextVersion, cache: CacheName): boolean {
    const result = this.#ofContexts.refusal(failure);
    return this.#question.accept(result) && this.#ofContexts.comesFrom(version, cache, result);
  }

  /** Translations that outlived the context they were made through: an invalidation has covered that one alone. */
  #throughLeft(caches: DeviceCaches): boolean {
    const { asked, request } = this.#question;
    for (const pair of leftPairs(caches, request.pasid))
      for (const set of [pair.tags, pair.globalTags])
        if (!asked.has(set) && this.#ofTranslations.searchOnly(set, pair)) return true;
    return false;
  }

  /** @param stale the version that the device context is; null for the one in memory */
  #throughDevice(device: object, stale: ContextVersion | null, caches: DeviceCaches): boolean {
    const { walker, engine, vendor } = this.#held.unit;
    const { request } = this.#question;
    if (stale === null && engine.process?.tracked)
      return this.#throughEntries(device, engine.process.context, stale, caches);
    const past = this.#held.past;
    let out = past.reset();
    const process = walker.newPasidContext();
    if (!walker.checkRequest(request, device, out)) {
      const translated =
        request.at === TRANSLATED && vendor.caching.loadTranslated?.(device, process) === true;
      if (translated) return this.#throughPair(device, process, stale, "context");
      return this.#refuses(stale, out);
    }
    out = past.reset();
    if (walker.loadPasidContext(request, device, process, out))
      return this.#throughEntries(device, process, stale, caches);
    return this.#refuses(stale, out) || this.#throughCachedEntries(device, stale, caches);
  }

  /** Whether a stale device context refuses the request as it was answered. */
  #refuses(stale: ContextVersion | null, out: WalkResult): boolean {
    noteAts(this.#held.unit.walker, this.#question.request, out);
    return stale !== null && this.#question.accept(out) && this.#ofContexts.comesFrom(stale, "context", out);
  }

  /** @param process the PASID entry that memory has for the device context */
  #throughEntries(
    device: object,
    process: object,
    stale: ContextVersion | null,
    caches: DeviceCaches,
  ): boolean {
    if (this.#throughPair(device, process, stale, "context")) return true;
    // A context that has no use for PASID entries has none for cached ones.
    const { caching } = this.#held.unit.vendor;
    if (!caching.hasOwnEntry(device, process, this.#question.request.pasid)) return false;
    return this.#throughCachedEntries(device, stale, caches);
  }

  #throughCachedEntries(device: object, stale: ContextVersion | null, caches: DeviceCaches): boolean {
    const { pasid } = this.#question.request;
    const entries = [
      ...(caches.processes.get(pasid)?.history.versions ?? []),
      ...this.#held.contexts.sharedPasidEntries(caches, device, pasid),
    ];
    for (const entry of entries) {
      if (!entry.own || !this.#ofContexts.inScope(entry, true)) continue;
      if (stale === null && entry.context === this.#held.unit.engine.process?.context) continue;
      if (entry.context instanceof CachedFailure) {
        if (this.#throughRefusal(entry.context, entry, "pasid")) return true;
      } else if (this.#throughPair(device, entry.context, entry, "pasid")) return true;
    }
    return false;
  }

  /** @param stale the version that one of the two is; null where both are as in memory */
  #throughPair(device: object, process: object, stale: ContextVersion | null, cache: CacheName): boolean {
    const { request, accept } = this.#question;
    if (stale !== null) {
      const walk = this.#held.past.translate(request, device, process);
      if (accept(walk) && this.#ofContexts.comesFrom(stale, cache, walk)) return true;
    }
    const { tracked } = this.#held.unit.engine.process ?? NO_PROCESS;
    let tags: TagSet;
    let globalTags: TagSet;
    if (stale === null && tracked !== null && !tracked.gone) ({ tags, globalTags } = tracked);
    else {
      const tag = this.#held.unit.vendor.caching.translationTag(device, process, request.pasid);
      tags = this.#held.translations.tagSet(tag);
      globalTags = this.#held.translations.globalSet(tag);
    }
    if (this.#throughTags(tags) || this.#throughTags(globalTags)) return true;
    const set = this.#held.structures.setOf(tags);
    return this.#question.isNew(set) && this.#ofStructures.search(set);
  }

  #throughTags(set: TagSet): boolean {
    return this.#question.isNew(set) && this.#ofTranslations.search(set);
  }
}
