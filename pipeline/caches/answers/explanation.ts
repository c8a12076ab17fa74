import type { CacheName } from "../../../walkers/advice.ts";
import { type Invalidation, REGIME_EL1 } from "../../../walkers/invalidation.ts";
import { TRANSLATED, type WalkRequest } from "../../../walkers/request.ts";
import { OK, type WalkResult } from "../../../walkers/result.ts";
import { noteAts } from "../../../walkers/translation-request.ts";
import type { PagingStructures } from "../filling/paging-structures.ts";
import type { CachedTranslation } from "../held/cached-translation.ts";
import { CachedFailure, type ContextVersion, isValid } from "../held/context-history.ts";
import { sameValues } from "../held/context-kinds.ts";
import type { Contexts, DeviceCaches, TranslationContext } from "../held/contexts.ts";
import { isAnothers, isWhole, leftPairs } from "../held/left-behind.ts";
import { type AskedRanges, type Extent, extentOf } from "../held/page-ranges.ts";
import type { TagSet } from "../held/tag-sets.ts";
import type { Translations } from "../held/translations.ts";
import type { CachedIommu } from "../history/cached-iommu.ts";
import type { PastWalks } from "../history/past-walks.ts";
import type { RootChanges } from "../history/root-changes.ts";
import { type StaleAnswer, type StaleSource, staleAnswer } from "../history/stale-source.ts";
import { type Change, NOW, type VersionedMemory } from "../history/versioned-memory.ts";
import type { PendingInvalidations } from "../invalidations/pending.ts";

/** What explains an answer: nothing, what nothing has invalidated, or what an invalidation had covered. */
export const UNEXPLAINED = 0;
export const VALID = 1;
export const INVALIDATED = 2;

/** Which entries may explain an answer. */
export type Scope =
  /** Those that nothing has invalidated, nor is about to: whoever changed what is behind them owes an invalidation. */
  | "uninvalidated"
  /** Those that nothing has invalidated: an invalidation may have been issued, and not completed. */
  | "valid"
  /** Those too that an invalidation has covered. */
  | "invalidated";

type Accept = (walk: WalkResult) => boolean;

const NOTHING: readonly StaleSource[] = [];
const NO_PROCESS = { tracked: null };

/** Looks in the caches of one IOMMU for what could have given an answer. */
export class Explanation {
  readonly #unit: CachedIommu;
  readonly #memory: VersionedMemory;
  readonly #contexts: Contexts;
  readonly #translations: Translations;
  readonly #structures: PagingStructures;
  readonly #past: PastWalks;
  readonly #pending: PendingInvalidations;
  readonly #roots: RootChanges;
  staleSource: StaleSource | null = null;
  /** Of the invalidations that are pending, later ones do not count. */
  #asOf = Number.POSITIVE_INFINITY;
  /** All that are found, where all are asked for. */
  #all: StaleSource[] | null = null;

  constructor(
    unit: CachedIommu,
    memory: VersionedMemory,
    contexts: Contexts,
    translations: Translations,
    structures: PagingStructures,
    past: PastWalks,
    pending: PendingInvalidations,
    roots: RootChanges,
  ) {
    this.#unit = unit;
    this.#memory = memory;
    this.#contexts = contexts;
    this.#translations = translations;
    this.#structures = structures;
    this.#past = past;
    this.#pending = pending;
    this.#roots = roots;
  }

  /**
   * Whether all that is cached of the page that the engine has walked last, invalidated or not, says what memory says:
   * no question needs to be asked then, of however many pages.
   */
  isAsMemory(request: WalkRequest): boolean {
    const { device, process } = this.#unit.engine;
    const pair = process?.tracked;
    if (device === null || !pair) return false;
    const caches = this.#contexts.of(request);
    for (const other of this.#contexts.neighbours(caches))
      if (!sameValues(other.context, device.context)) return false;
    return (
      isOnly(caches.contexts.versions, device.tracked) &&
      isOnly(caches.processes.get(request.pasid)?.history.versions ?? [], pair.process) &&
      this.#contexts
        .sharedPasidEntries(caches, device.context, request.pasid)
        .every(({ context }) => sameValues(context, pair.process.context)) &&
      this.#areAsMemory(pair.tags, pair, request) &&
      this.#areAsMemory(pair.globalTags, pair, request) &&
      !this.#structures.anySuperseded(pair, request)
    );
  }

  /** Whether the translations of a page with some tags are those that memory has through a pair of contexts. */
  #areAsMemory(set: TagSet, pair: TranslationContext, request: WalkRequest): boolean {
    const translations = this.#translations;
    const { addrHi: hi, addrLo: lo } = request;
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      if (translations.earlier(set, shift, hi, lo).length > 0) return false;
      if (!translations.find(set, shift, hi, lo)) continue;
      if (translations.time < this.#memory.lastChange) return false;
      if (!this.#contexts.sameKind(translations.context, pair)) return false;
    }
    return set.groups.every((groups) => this.#areAsMemory(groups, pair, request));
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
    const { device, process } = this.#unit.engine;
    const pair = scope === "uninvalidated" ? this.#onlyPair(request, device, process) : null;
    if (pair !== null && !this.#anyValid(pair.tags, request) && !this.#anyValid(pair.globalTags, request))
      return NOTHING;
    const all: StaleSource[] = [];
    this.#all = all;
    this.#asOf = asOf;
    if (pair === null) this.find(request, scope, accept);
    else {
      this.#throughSet(pair.tags, request, scope, accept);
      this.#throughSet(pair.globalTags, request, scope, accept);
    }
    this.#all = null;
    this.#asOf = Number.POSITIVE_INFINITY;
    return all;
  }

  /** Whether it can be told without a walk that nothing is held of a page that an invalidation is owed for. */
  holdsNothing(request: WalkRequest): boolean {
    const recent = this.#unit.engine.recent(request);
    const pair = recent === null ? null : this.#onlyPair(request, recent.device, recent.process);
    return pair !== null && !this.#anyValid(pair.tags, request) && !this.#anyValid(pair.globalTags, request);
  }

  /**
   * The contexts of a request, where only what they have translated can be held that an invalidation is owed for: there is
   * no other context, and no table entry that another has taken the place of. Null: there may be.
   * @param device where memory has them
   */
  #onlyPair(
    request: WalkRequest,
    device: CachedIommu["engine"]["device"],
    process: CachedIommu["engine"]["process"],
  ): TranslationContext | null {
    const pair = process?.tracked;
    if (device === null || !pair || pair.gone) return null;
    const caches = this.#contexts.of(request);
    const processes = caches.processes.get(request.pasid);
    const only =
      this.#contexts.neighbours(caches).length === 0 &&
      isOnly(caches.contexts.versions, device.tracked) &&
      isOnly(processes?.history.versions ?? [], pair.process) &&
      processes!.pairs.length === 1 &&
      this.#contexts.sharedPasidEntries(caches, device.context, request.pasid).length === 0 &&
      !this.#structures.anySuperseded(pair, request);
    return only ? pair : null;
  }

  #anyValid(set: TagSet, request: WalkRequest): boolean {
    if (this.#translations.anyValid(set, request.addrHi, request.addrLo, NOW)) return true;
    for (const groups of set.groups) if (this.#anyValid(groups, request)) return true;
    return false;
  }

  /** Something gives the answer. @returns whether that is enough */
  #found(staleSource: StaleSource): boolean {
    this.staleSource = staleSource;
    this.#all?.push(staleSource);
    return this.#all === null;
  }

  /**
   * Looks for cached contexts, PASID entries or translations in `scope` that give an answer.
   * @param accept whether a walk's result is that answer
   * @returns whether there is one: `staleSource` says what it was
   */
  find(request: WalkRequest, scope: Scope, accept: Accept): boolean {
    this.staleSource = null;
    if (this.#past.decidedByAddress(request)) return false;
    const { engine } = this.#unit;
    const caches = this.#contexts.of(request);
    const asked = new Set<TagSet>();
    const now = engine.device?.context;
    if (now !== undefined && this.#throughDevice(now, null, caches, request, scope, accept, asked))
      return true;
    for (const version of [...caches.contexts.versions, ...this.#contexts.neighbours(caches)]) {
      if (version.context === now || !this.#inScope(version, scope, false)) continue;
      if (version.context instanceof CachedFailure) {
        const result = this.#refusal(version.context, request);
        if (accept(result) && this.#comesFrom(request, version, "context", result)) return true;
      } else if (this.#throughDevice(version.context, version, caches, request, scope, accept, asked))
        return true;
    }
    // Where they are harmless, they are asked for only to explain an answer.
    if (request.at === TRANSLATED) return false;
    const left =
      scope === "valid" || (scope === "uninvalidated" && this.#unit.vendor.caching.owesTranslations);
    return left && this.#throughLeft(caches, request, scope, accept, asked);
  }

  /** What a cached refusal says to a request: of one of ATS, there may be no record. */
  #refusal({ result }: CachedFailure, request: WalkRequest): WalkResult {
    const out = this.#past.reset();
    out.copyFrom(result);
    noteAts(this.#unit.walker, request, out);
    return out;
  }

  /** Translations that outlived the context they were made through: an invalidation has covered that one alone. */
  #throughLeft(
    caches: DeviceCaches,
    request: WalkRequest,
    scope: Scope,
    accept: Accept,
    asked: Set<TagSet>,
  ): boolean {
    for (const pair of leftPairs(caches, request.pasid))
      for (const set of [pair.tags, pair.globalTags])
        if (!asked.has(set) && this.#throughTranslation(set, request, scope, accept, pair)) return true;
    return false;
  }

  /** @param stale the version that the device context is; null for the one in memory */
  #throughDevice(
    device: object,
    stale: ContextVersion | null,
    caches: DeviceCaches,
    request: WalkRequest,
    scope: Scope,
    accept: Accept,
    asked: Set<TagSet>,
  ): boolean {
    const { walker, engine } = this.#unit;
    const { caching } = this.#unit.vendor;
    if (stale === null && engine.process?.tracked)
      return this.#throughEntries(
        device,
        engine.process.context,
        stale,
        caches,
        request,
        scope,
        accept,
        asked,
      );
    const past = this.#past;
    let out = past.reset();
    const process = walker.newPasidContext();
    if (!walker.checkRequest(request, device, out)) {
      const translated = request.at === TRANSLATED && caching.loadTranslated?.(device, process) === true;
      if (translated)
        return this.#throughPair(device, process, stale, "context", request, scope, accept, asked);
      noteAts(walker, request, out);
      return stale !== null && accept(out) && this.#comesFrom(request, stale, "context", out);
    }
    out = past.reset();
    if (walker.loadPasidContext(request, device, process, out))
      return this.#throughEntries(device, process, stale, caches, request, scope, accept, asked);
    noteAts(walker, request, out);
    if (stale !== null && accept(out) && this.#comesFrom(request, stale, "context", out)) return true;
    return this.#throughCachedEntries(device, stale, caches, request, scope, accept, asked);
  }

  /** @param process the PASID entry that memory has for the device context */
  #throughEntries(
    device: object,
    process: object,
    stale: ContextVersion | null,
    caches: DeviceCaches,
    request: WalkRequest,
    scope: Scope,
    accept: Accept,
    asked: Set<TagSet>,
  ): boolean {
    if (this.#throughPair(device, process, stale, "context", request, scope, accept, asked)) return true;
    // A context that has no use for PASID entries has none for cached ones.
    if (!this.#unit.vendor.caching.hasOwnEntry(device, process, request.pasid)) return false;
    return this.#throughCachedEntries(device, stale, caches, request, scope, accept, asked);
  }

  #throughCachedEntries(
    device: object,
    stale: ContextVersion | null,
    caches: DeviceCaches,
    request: WalkRequest,
    scope: Scope,
    accept: Accept,
    asked: Set<TagSet>,
  ): boolean {
    const { engine } = this.#unit;
    const entries = [
      ...(caches.processes.get(request.pasid)?.history.versions ?? []),
      ...this.#contexts.sharedPasidEntries(caches, device, request.pasid),
    ];
    for (const entry of entries) {
      if (!entry.own || !this.#inScope(entry, scope, true)) continue;
      if (stale === null && entry.context === engine.process?.context) continue;
      if (entry.context instanceof CachedFailure) {
        const result = this.#refusal(entry.context, request);
        if (accept(result) && this.#comesFrom(request, entry, "pasid", result)) return true;
      } else if (this.#throughPair(device, entry.context, entry, "pasid", request, scope, accept, asked))
        return true;
    }
    return false;
  }

  /** @param stale the version that one of the two is; null where both are as in memory */
  #throughPair(
    device: object,
    process: object,
    stale: ContextVersion | null,
    cache: CacheName,
    request: WalkRequest,
    scope: Scope,
    accept: Accept,
    asked: Set<TagSet>,
  ): boolean {
    if (stale !== null) {
      const walk = this.#past.translate(request, device, process);
      if (accept(walk) && this.#comesFrom(request, stale, cache, walk)) return true;
    }
    const { tracked } = this.#unit.engine.process ?? NO_PROCESS;
    let tags: TagSet;
    let globalTags: TagSet;
    if (stale === null && tracked !== null && !tracked.gone) ({ tags, globalTags } = tracked);
    else {
      const tag = this.#unit.vendor.caching.translationTag(device, process, request.pasid);
      tags = this.#translations.tagSet(tag);
      globalTags = this.#translations.globalSet(tag);
    }
    if (this.#throughTags(tags, request, scope, accept, asked)) return true;
    if (this.#throughTags(globalTags, request, scope, accept, asked)) return true;
    const set = this.#structures.setOf(tags);
    if (asked.has(set)) return false;
    asked.add(set);
    return this.#throughStructure(set, request, scope, accept);
  }

  #throughTags(set: TagSet, request: WalkRequest, scope: Scope, accept: Accept, asked: Set<TagSet>): boolean {
    if (asked.has(set)) return false;
    asked.add(set);
    return this.#throughSet(set, request, scope, accept);
  }

  #throughSet(set: TagSet, request: WalkRequest, scope: Scope, accept: Accept): boolean {
    if (this.#throughTranslation(set, request, scope, accept)) return true;
    return set.groups.some((groups) => this.#throughTranslation(groups, request, scope, accept));
  }

  /** Table entries above the last level that have changed since they were used: a walk may go on from an old one. */
  #throughStructure(set: TagSet, request: WalkRequest, scope: Scope, accept: Accept): boolean {
    if (set.superseded.size === 0) return false;
    const { entries } = this.#structures;
    const { addrHi: hi, addrLo: lo } = request;
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      for (const entry of entries.earlier(set, shift, hi, lo)) {
        const pair = this.#contexts.pair(entry.context);
        if (pair === undefined) continue;
        const region: Extent = { pageShift: shift, firstShift: 0, ipaFrame: -1 };
        const device = pair.deviceId;
        const { time } = entry;
        const invalidated =
          entry.invalidated || time <= set.epoch || entries.ranges.cover(set, hi, lo, time, region, device);
        if (invalidated && scope !== "invalidated") continue;
        const place = (inv: Invalidation) => entries.ranges.place(inv, set, hi, lo, region, device);
        const invalidationPending =
          time <= set.unknownBefore || this.#pending.coverTranslation(set, device, time, place, this.#asOf);
        if (invalidationPending && scope === "uninvalidated") continue;
        const sizes = this.#structures.sizes(pair, hi);
        const level = sizes.level(sizes.firstAbove(shift - 1));
        const read = this.#past.through(
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
          root: change === null ? this.#roots.since(time) : null,
          left: false,
          domain: set.domain,
          space: set.space,
          regime: set.regime,
          stages: set.stages,
          addrHi: set.high(hi),
          addrLo: lo,
          ipaFrame: -1,
          invalidationPending,
          behindStop: this.#pending.behindStop?.coverTranslation(set, device, time, place) ?? false,
          valid: () =>
            !isInvalidated(entries, set, shift, hi, lo, entry) &&
            time > set.epoch &&
            !entries.ranges.cover(set, hi, lo, time, region, device),
        };
        if (this.#found(staleSource)) return true;
      }
    }
    return false;
  }

  /** @param left where nothing leads to the tags any more: the contexts that did, until they were used last */
  #throughTranslation(
    set: TagSet,
    request: WalkRequest,
    scope: Scope,
    accept: Accept,
    left: TranslationContext | null = null,
  ): boolean {
    const translations = this.#translations;
    const { addrHi: hi, addrLo: lo } = request;
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      if (set.anySuperseded || scope === "invalidated")
        for (const entry of translations.earlier(set, shift, hi, lo))
          if (this.#throughEntry(set, shift, entry, request, scope, accept, left)) return true;
      if (!translations.find(set, shift, hi, lo)) continue;
      const { context, time, invalidated } = translations;
      if (invalidated && scope !== "invalidated") continue;
      const latest = { context, time, invalidated };
      if (this.#throughEntry(set, shift, latest, request, scope, accept, left)) return true;
    }
    return false;
  }

  #throughEntry(
    set: TagSet,
    shift: number,
    entry: CachedTranslation,
    request: WalkRequest,
    scope: Scope,
    accept: Accept,
    left: TranslationContext | null,
  ): boolean {
    const translations = this.#translations;
    const { addrHi: hi, addrLo: lo } = request;
    const { time } = entry;
    // Entered on the way of this very request, by way of a context that is old: that one is what answers.
    if (time === this.#memory.time || (left !== null && isAnothers(entry, left))) return false;
    let invalidated = entry.invalidated || time <= set.epoch;
    if (invalidated && scope !== "invalidated") return false;
    const read = this.#past.walkAsOf(entry, request);
    if (read === null || !accept(read.value)) return false;
    const then = set.leafShift !== 0 ? groupOf(read.value, shift) : read.value;
    if (then === null) return false;
    const device = this.#contexts.pair(entry.context)?.deviceId ?? 0;
    invalidated ||= translations.ranges.cover(set, hi, lo, time, then, device);
    if (invalidated && scope !== "invalidated") return false;
    const extent = extentOf(then);
    const place = (inv: Invalidation) => translations.ranges.place(inv, set, hi, lo, extent, device);
    const invalidationPending =
      time <= set.unknownBefore || this.#pending.coverTranslation(set, device, time, place, this.#asOf);
    if (invalidationPending && scope === "uninvalidated") return false;
    const answer = staleAnswer(read.value);
    const missed = read.missedChange();
    const behind = missed === null ? this.#changeBehind(request, entry.context) : null;
    const change = missed ?? behind?.change ?? null;
    // Where it is the request's own device that has come to tags which another one still uses, nothing outlives anything.
    const outlives = behind?.device === device && this.#isInvalidated(entry.context);
    return this.#found({
      cache: "iotlb",
      answer,
      filled: time,
      change,
      root: change === null ? this.#roots.since(time) : null,
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
      behindStop: this.#pending.behindStop?.coverTranslation(set, device, time, place) ?? false,
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
    const translations = this.#translations;
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

  #inScope(version: ContextVersion, scope: Scope, ofPasid: boolean): boolean {
    if (scope === "invalidated") return true;
    if (!isValid(version)) return false;
    return scope === "valid" || !this.#pending.coverContext(version.tag, ofPasid, version.filled, this.#asOf);
  }

  /** Whether an invalidation has dropped a context of a translation, which lives on. */
  #isInvalidated(context: number): boolean {
    const pair = this.#contexts.pair(context);
    return pair !== undefined && !isWhole(pair);
  }

  /**
   * The write that contexts of a translation do not know of, where memory still says the same through them: to entries of
   * the device that it was made for, or else to those of the request's.
   */
  #changeBehind(
    request: WalkRequest,
    context: number,
  ): { readonly device: number; readonly change: Change } | null {
    const pair = this.#contexts.pair(context);
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
    const change = this.#past.changeOfContext(request, filled, ofPasid);
    if (change !== null || !ofPasid) return change;
    // The entry is as it was, but the device context leads to another: it may have been stale even then.
    const time = through === null ? filled : Math.min(filled, through.filled);
    return this.#past.changeOfContext(request, time, false);
  }

  /** Names a stale context as what gave the answer. @returns whether that is enough */
  #comesFrom(request: WalkRequest, version: ContextVersion, cache: CacheName, walk: WalkResult): boolean {
    return this.#fromContext(request, version, cache, staleAnswer(walk));
  }

  #fromContext(
    request: WalkRequest,
    version: ContextVersion,
    cache: CacheName,
    answer: StaleAnswer,
  ): boolean {
    const { filled, through, tag } = version;
    const ofPasid = cache === "pasid";
    let change = this.#past.changeOfContext(request, filled, ofPasid);
    // It is what memory says through a stale device context: that one is to go first.
    if (change === null && through !== null && isValid(through))
      return this.#fromContext(request, through, "context", answer);
    change ??= this.#changeOf(request, version, ofPasid);
    return this.#found({
      cache,
      answer,
      filled,
      change,
      root: change === null ? this.#roots.since(filled) : null,
      left: false,
      domain: tag.domain,
      space: tag.pasid,
      regime: REGIME_EL1,
      stages: 0,
      addrHi: request.addrHi,
      addrLo: request.addrLo,
      ipaFrame: -1,
      invalidationPending: this.#pending.coverContext(tag, ofPasid, filled, this.#asOf),
      behindStop: this.#pending.behindStop?.coverContext(tag, ofPasid, filled) ?? false,
      valid: () => isValid(version),
    });
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

function isOnly(versions: readonly ContextVersion[], version: ContextVersion | null): boolean {
  return versions.length === 1 && versions[0] === version;
}
