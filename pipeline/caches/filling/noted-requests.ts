import { type CachedFailures, FIRST, SECOND } from "../../../walkers/caching.ts";
import { FRAME_SHIFT } from "../../../walkers/memory.ts";
import { TRANSLATED, type WalkRequest } from "../../../walkers/request.ts";
import { OK, type WalkResult } from "../../../walkers/result.ts";
import type { DeviceCaches } from "../held/cached-devices.ts";
import { areAlike, type ContextVersion, comesFromEntry, isValid } from "../held/context-history.ts";
import { sameValues } from "../held/context-kinds.ts";
import { contextTag } from "../held/context-tags.ts";
import type { Contexts } from "../held/contexts.ts";
import { lastUse, leftPairs } from "../held/left-behind.ts";
import type { TagSet } from "../held/tag-sets.ts";
import type { TranslationContext } from "../held/translation-context.ts";
import type { Translations } from "../held/translations.ts";
import type { CachedIommu } from "../history/cached-iommu.ts";
import type { PastWalks } from "../history/past-walks.ts";
import type { VersionedMemory } from "../history/versioned-memory.ts";
import type { IotlbSimulation } from "../iotlb-simulation.ts";
import type { DeviceTlbs, DeviceUse } from "./device-tlbs.ts";
import type { PagingStructures } from "./paging-structures.ts";
import type { StaleContexts } from "./stale-contexts.ts";
import type { UsedTranslations } from "./used-translations.ts";

/** What the walks of requests leave in the caches of one IOMMU. */
interface Filled {
  readonly contexts: Contexts;
  readonly translations: Translations;
  readonly used: UsedTranslations;
  readonly structures: PagingStructures;
  readonly stale: StaleContexts;
  readonly deviceTlbs: DeviceTlbs;
  readonly iotlbs: readonly IotlbSimulation[];
}

/** Notes every walk in all caches of an IOMMU that it leaves something in, and sees whether another answer may be held. */
export class NotedRequests {
  readonly #unit: CachedIommu;
  readonly #memory: VersionedMemory;
  readonly #past: PastWalks;
  readonly #contexts: Contexts;
  readonly #translations: Translations;
  readonly #used: UsedTranslations;
  readonly #structures: PagingStructures;
  readonly #stale: StaleContexts;
  readonly #deviceTlbs: DeviceTlbs;
  readonly #iotlbs: readonly IotlbSimulation[];
  /** Which refusals a cache may remember. */
  failures: CachedFailures;
  /** What devices may keep by themselves although the last request has shown that it is another now; null mostly. */
  staleInDevice: DeviceUse | null = null;
  /**
   * Tick of the latest invalidation or completion, of when entries in use had to be entered again, or of a change of which
   * contexts there are and what tags they share: what was noted before is to be noted again.
   */
  lastEvent = 0;
  /** Some request had both stages before it, whether or not it came to the second one with its own address. */
  nested = false;
  /** Tick at which a walk has last been entered. */
  lastNoted = 0;
  #rotations = 0;
  #contextChanges = 0;

  constructor(unit: CachedIommu, memory: VersionedMemory, past: PastWalks, filled: Filled) {
    this.#unit = unit;
    this.#memory = memory;
    this.#past = past;
    this.#contexts = filled.contexts;
    this.#translations = filled.translations;
    this.#used = filled.used;
    this.#structures = filled.structures;
    this.#stale = filled.stale;
    this.#deviceTlbs = filled.deviceTlbs;
    this.#iotlbs = filled.iotlbs;
    this.failures = unit.vendor.caching.cachedFailures(unit.state);
  }

  /**
   * Notes what the caches may hold after a walk of one page (the engine's last one).
   * @returns whether something that they may still hold could give another answer
   */
  use(request: WalkRequest, walk: WalkResult, time: number): boolean {
    // The engine's own cache gave a result that was entered before, and neither memory nor the caches have changed.
    let mayDiffer = false;
    const { engine } = this.#unit;
    const noted = engine.noteOf(walk);
    if (noted <= this.lastEvent || noted <= this.#memory.lastChange) {
      this.lastNoted = time;
      mayDiffer = this.#note(request, walk, time);
      this.#rotate(time);
      if (!mayDiffer && this.isAlone(engine.process?.tracked)) engine.note(walk, time);
    }
    if (this.#iotlbs.length > 0) this.#simulate(request, walk);
    return mayDiffer;
  }

  /** Whether nothing is held of single pages of the contexts that the engine has walked a request through last. */
  holdNoPages(request: WalkRequest): boolean {
    const { device, process } = this.#unit.engine;
    // What the address alone decides, no cache has a part in.
    if (device === null || request.at === TRANSLATED) return true;
    const pair = process?.tracked;
    if (!pair || pair.gone) return false;
    const { tags, globalTags } = pair;
    if (!tags.isEmpty || !globalTags.isEmpty) return false;
    return leftPairs(this.#contexts.of(request), request.pasid).length === 0;
  }

  /**
   * log2 of the pieces in which a page that the engine has walked last may be held, or may be found by way of old entries.
   * @param walk that was translated by a page larger than a frame
   * @param invalidated entries count, too, that an invalidation has covered
   */
  pieceShift(request: WalkRequest, walk: WalkResult, invalidated = false): number {
    const { device, process } = this.#unit.engine;
    const pair = process?.tracked;
    if (device === null || !pair || pair.gone) return walk.pageShift;
    // What other contexts or table entries lead to may be in pages of any size.
    if (this.#otherWays(request, device.context, pair, invalidated)) return FRAME_SHIFT;
    if (this.#structures.anyUnder(pair, request, walk, invalidated)) return FRAME_SHIFT;
    return this.#used.pieceShift(pair, walk);
  }

  /** Whether other contexts than those of the engine's last walk, or what was translated through such, may answer a request. */
  #otherWays(
    request: WalkRequest,
    device: object,
    { device: own, process }: TranslationContext,
    invalidated: boolean,
  ): boolean {
    const contexts = this.#contexts;
    const caches = contexts.of(request);
    const counts = (version: ContextVersion) => invalidated || isValid(version);
    const isOther = (version: ContextVersion) => version !== own && version !== process && counts(version);
    return (
      caches.contexts.versions.some(isOther) ||
      (caches.processes.get(request.pasid)?.history.versions.some(isOther) ?? false) ||
      contexts.neighbours(caches).some((other) => counts(other) && !sameValues(other.context, device)) ||
      contexts
        .sharedPasidEntries(caches, device, request.pasid)
        .some((other) => counts(other) && !sameValues(other.context, process.context)) ||
      leftPairs(caches, request.pasid).some(({ tags, globalTags }) => mayHold(tags) || mayHold(globalTags))
    );
  }

  /** Where old entries are about to go, or others share their tags, those in use are to be entered again. */
  #rotate(time: number): void {
    const rotations =
      this.#translations.rotations + this.#structures.entries.rotations + this.#deviceTlbs.entries.rotations;
    const changes = this.#contexts.changes + this.#translations.users;
    if (rotations === this.#rotations && changes === this.#contextChanges) return;
    this.#rotations = rotations;
    this.#contextChanges = changes;
    this.lastEvent = time;
  }

  /** Whether all that is cached with the tags of a pair of contexts came by contexts that decode alike. */
  isAlone(pair: TranslationContext | null | undefined): boolean {
    if (pair === null || pair === undefined) return false;
    const { kind, tags, globalTags } = pair;
    return !tags.usedByOthers(kind) && !globalTags.usedByOthers(kind);
  }

  #simulate(request: WalkRequest, walk: WalkResult): void {
    const pair = this.#unit.engine.process?.tracked;
    if (walk.status !== OK || walk.pageShift === 0 || !pair) return;
    const set = walk.global ? pair.globalTags : pair.tags;
    for (const iotlb of this.#iotlbs) iotlb.access(set, request.addrHi, request.addrLo, walk);
  }

  #note(request: WalkRequest, walk: WalkResult, time: number): boolean {
    const contexts = this.#contexts;
    const { device, process } = this.#unit.engine;
    if (device === null) return this.#noteRefusal(request, walk, time);
    const caches = contexts.of(request);
    const deviceVersion = contexts.useDevice(caches, device, time);
    let mayDiffer = this.#stale.anyBehindStop || othersValid(caches.contexts.versions, deviceVersion);
    for (const other of contexts.neighbours(caches))
      if (isValid(other) && !areAlike(other, deviceVersion)) mayDiffer = true;
    // Nothing more has a part in requests that were translated, but for a second stage.
    if (request.at === TRANSLATED) {
      if (walk.status === OK && walk.passthrough)
        this.staleInDevice = this.#deviceTlbs.translated(request, walk.frame);
      else if (isOfTables(walk) && this.#noteTranslated(caches, request, deviceVersion, walk, time))
        mayDiffer = true;
      return mayDiffer;
    }
    let pair = process === null ? null : contexts.useOnlyPair(caches, request, deviceVersion, process, time);
    if (pair === null) {
      if (this.#anyLeft(caches, request)) mayDiffer = true;
      if (process === null)
        return this.#noteRefusedPasid(caches, request, deviceVersion, walk, time, mayDiffer);
      pair = contexts.usePair(caches, request, deviceVersion, process, time);
      if (othersValid(caches.processes.get(request.pasid)!.history.versions, pair.process)) mayDiffer = true;
      for (const shared of contexts.sharedPasidEntries(caches, device.context, request.pasid))
        if (isValid(shared) && !areAlike(shared, pair.process)) mayDiffer = true;
    }
    if (walk.ipaFrame >= 0 || pair.tags.stages === (FIRST | SECOND)) this.nested = true;
    if (this.#used.use(pair, request, walk, time, this.failures, this.lastEvent)) mayDiffer = true;
    if (isOfTables(walk) && this.#structures.use(pair, request, walk, time, this.lastEvent)) mayDiffer = true;
    const kept = this.#deviceTlbs.use(pair, request, walk, time);
    if (kept !== null) this.staleInDevice = kept;
    if (mayDiffer) this.#stale.enter(caches, request, pair.device, pair.process, time);
    return mayDiffer;
  }

  /** The walk ended between the device context and the end of the PASID entry. */
  #noteRefusedPasid(
    caches: DeviceCaches,
    request: WalkRequest,
    device: ContextVersion,
    walk: WalkResult,
    time: number,
    known: boolean,
  ): boolean {
    const contexts = this.#contexts;
    const history = caches.processes.get(request.pasid)?.history;
    let mayDiffer = known;
    if (comesFromEntry(walk) && this.failures.contexts(walk.fault!)) {
      const admitted = this.#unit.walker.checkRequest(request, device.context, this.#past.reset());
      if (admitted) contexts.refusedPasidContext(caches, request.pasid, device, walk, time);
    }
    const shared = contexts.sharedPasidEntries(caches, device.context, request.pasid);
    if ((history?.versions.some(isValid) ?? false) || shared.some(isValid)) mayDiffer = true;
    if (mayDiffer) this.#stale.enter(caches, request, device, null, time);
    return mayDiffer;
  }

  /** A second stage has translated what had been translated by the device. */
  #noteTranslated(
    caches: DeviceCaches,
    request: WalkRequest,
    device: ContextVersion,
    walk: WalkResult,
    time: number,
  ): boolean {
    const process = this.#unit.walker.newPasidContext();
    const pair = this.#contexts.useTranslated(caches, device, process, time);
    if (pair === null) return false;
    const differs = this.#used.use(pair, request, walk, time, this.failures, this.lastEvent);
    return this.#structures.use(pair, request, walk, time, this.lastEvent) || differs;
  }

  /** The walk ended before there was a device context, or in it. */
  #noteRefusal(request: WalkRequest, walk: WalkResult, time: number): boolean {
    if (this.#past.decidedByAddress(request)) return false;
    const caches = this.#contexts.of(request);
    if (comesFromEntry(walk) && this.failures.contexts(walk.fault!)) {
      const { vendor, state } = this.#unit;
      const tag = contextTag(caches.id, vendor.caching.refusedDomain(state));
      this.#contexts.refusedDevice(caches, tag, walk, time);
    }
    const stale =
      this.#stale.anyBehindStop ||
      caches.contexts.versions.some(isValid) ||
      this.#contexts.neighbours(caches).some(isValid);
    if (stale) this.#stale.enter(caches, request, null, null, time);
    return stale || (request.at !== TRANSLATED && this.#anyLeft(caches, request));
  }

  /** Whether translations of a page outlive the contexts that they were made through. */
  #anyLeft(caches: DeviceCaches, { pasid, addrHi, addrLo }: WalkRequest): boolean {
    if (!this.#unit.vendor.caching.owesTranslations) return false;
    return leftPairs(caches, pasid).some((pair) => {
      const until = lastUse(pair);
      return (
        this.#translations.anyValid(pair.tags, addrHi, addrLo, until, pair.id) ||
        this.#translations.anyValid(pair.globalTags, addrHi, addrLo, until, pair.id)
      );
    });
  }
}

/** Whether page tables had a part in a walk. */
function isOfTables(walk: WalkResult): boolean {
  return walk.status === OK ? walk.pageShift !== 0 : walk.stage !== 0;
}

/** Whether translations with some tags may be valid. */
function mayHold({ valid, anySuperseded }: TagSet): boolean {
  return valid !== 0 || anySuperseded;
}

function othersValid(versions: readonly ContextVersion[], current: ContextVersion): boolean {
  if (versions.length === 1) return false;
  return versions.some((version) => version !== current && isValid(version));
}
