import type { Caching, ContextTag } from "../../../walkers/caching.ts";
import type { DeviceSlot, PasidSlot } from "../../../walkers/engine.ts";
import {
  CONTEXT_CACHE,
  coversDevice,
  type Invalidation,
  PASID_CACHE,
} from "../../../walkers/invalidation.ts";
import { NO_PASID, type WalkRequest } from "../../../walkers/request.ts";
import type { WalkResult } from "../../../walkers/result.ts";
import { coversContext, coversPasidEntry } from "../invalidations/coverage.ts";
import { CachedDevices, type DeviceCaches, type PasidCaches } from "./cached-devices.ts";
import { CachedFailure, ContextHistory, type ContextVersion, isValid } from "./context-history.ts";
import { ContextKinds } from "./context-kinds.ts";
import { deviceTag, processTag } from "./context-tags.ts";
import { DeviceSpans } from "./device-spans.ts";
import { HeldHistories } from "./held-histories.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import type { TranslationContext } from "./translation-context.ts";
import type { Translations } from "./translations.ts";

/** What one PASID of one device costs, all in all: an estimate from the objects that are kept of it. */
const CONTEXT_BYTES = 1280;

/** Pairs of contexts that are kept of one PASID of a device. */
const MAX_PAIRS = 64;

/** As many devices, and PASIDs, are always kept. */
const FEW = 1024;

/** In the place of a PASID: requests that have been translated, whatever PASID that was with. */
const TRANSLATED_REQUESTS = NO_PASID - 1;

const NO_VERSIONS: readonly ContextVersion[] = [];

/**
 * Whether a table above an entry has changed since a version of it was held.
 * @param pasid of the request that uses it; NO_PASID: none
 * @param ofPasid it is of a PASID's entry, and not of the device's context
 */
export type Spares = (
  caches: DeviceCaches,
  pasid: number,
  version: ContextVersion,
  ofPasid: boolean,
) => boolean;

/** The device contexts and PASID entries that the caches of one IOMMU may hold. */
export class Contexts {
  readonly #caching: Caching;
  readonly #translations: Translations;
  readonly #devices: CachedDevices;
  readonly #spans: DeviceSpans;
  readonly #pairs = new Map<number, TranslationContext>();
  readonly #heldContexts = new HeldHistories(false);
  readonly #heldEntries = new HeldHistories(true);
  readonly #kinds: ContextKinds<TranslationContext>;
  #nextId = 1;
  readonly #budget: MemoryBudget;
  /** Valid contexts that were dropped for want of memory. */
  forgotten = 0;
  /** How often it has changed which contexts are valid, other than by invalidations. */
  changes = 0;

  constructor(caching: Caching, translations: Translations, budget: MemoryBudget) {
    this.#caching = caching;
    this.#devices = new CachedDevices(budget);
    this.#spans = new DeviceSpans(caching);
    this.#kinds = new ContextKinds(caching.placeFields);
    this.#translations = translations;
    this.#budget = budget;
  }

  get isEmpty(): boolean {
    return this.#devices.size === 0;
  }

  of(request: WalkRequest): DeviceCaches {
    const known = this.#devices.find(request);
    if (known !== null) return known;
    const caches = this.#devices.enter(request);
    this.#evictFor(caches, request.pasid);
    return caches;
  }

  /** The pair of a number; where it is gone, one that decodes alike. */
  pair(id: number): TranslationContext | undefined {
    return this.#pairs.get(id) ?? this.#kinds.heirOf(id);
  }

  /** Whether what a pair translated, or another one that decodes alike, is what this pair translates. */
  sameKind(id: number, pair: TranslationContext): boolean {
    return id === pair.id || this.pair(id)?.kind === pair.kind;
  }

  /** Notes that a walk at `time` went through the device context of a slot. */
  useDevice(
    caches: DeviceCaches,
    slot: DeviceSlot<ContextVersion, TranslationContext>,
    time: number,
  ): ContextVersion {
    const known = slot.tracked;
    // It may have been forgotten for want of memory.
    if (known !== null && caches.contexts.versions.includes(known)) {
      if (!isValid(known)) this.#revives(this.#heldContexts, caches.contexts, known);
      known.filled = time;
      return known;
    }
    const context = slot.context;
    const tag = deviceTag(this.#caching, caches.id, context);
    const version = this.#use(this.#heldContexts, caches.contexts, context, tag, true, time);
    slot.tracked = version;
    this.#spans.enter(caches, context);
    return version;
  }

  /** Contexts of other devices that may stand for that of a device: entries that say so. */
  neighbours(caches: DeviceCaches): readonly ContextVersion[] {
    return this.#spans.neighbours(caches);
  }

  /** Notes that a walk at `time` translated with a device context and the PASID entry of a slot. */
  usePair(
    caches: DeviceCaches,
    request: WalkRequest,
    device: ContextVersion,
    slot: PasidSlot<TranslationContext>,
    time: number,
  ): TranslationContext {
    const known = slot.tracked;
    // It may have been made through another version, or its own may have been forgotten.
    if (known !== null && !known.gone && known.device === device && isKept(caches, request.pasid, known)) {
      if (!isValid(known.process))
        this.#revives(this.#heldEntries, this.#processes(caches, request.pasid).history, known.process);
      known.process.filled = time;
      return known;
    }
    const process = this.usePasidContext(caches, request.pasid, device, slot.context, time);
    const pair = this.pairOf(caches, request.pasid, device, process);
    slot.tracked = pair;
    return pair;
  }

  /**
   * As `usePair`, where a request's PASID has had no other pair than that of a slot, valid all along, and shares its entry
   * with no other requests: then nothing else may answer by way of contexts. Null: there may be more.
   */
  useOnlyPair(
    caches: DeviceCaches,
    { pasid }: WalkRequest,
    device: ContextVersion,
    { tracked: pair }: PasidSlot<TranslationContext>,
    time: number,
  ): TranslationContext | null {
    if (pair === null || pair.gone || pair.device !== device || !isValid(pair.process)) return null;
    const { processes } = caches;
    const known = processes.get(pasid);
    if (known === undefined || known.pairs.length !== 1 || known.history.versions.length !== 1) return null;
    if (known.history.versions[0] !== pair.process) return null;
    if (processes.size !== 1 && this.sharedPasidEntries(caches, device.context, pasid).length > 0)
      return null;
    pair.process.filled = time;
    return pair;
  }

  /** The pair of requests that have been translated, which a second stage translates; null where nothing does. */
  useTranslated(
    caches: DeviceCaches,
    device: ContextVersion,
    context: object,
    time: number,
  ): TranslationContext | null {
    if (this.#caching.loadTranslated?.(device.context, context) !== true) return null;
    const process = this.usePasidContext(caches, TRANSLATED_REQUESTS, device, context, time);
    return this.pairOf(caches, TRANSLATED_REQUESTS, device, process);
  }

  /** Notes that a walk at `time` was refused by a device context that a cache may remember. */
  refusedDevice(caches: DeviceCaches, tag: ContextTag, walk: WalkResult, time: number): void {
    this.#use(this.#heldContexts, caches.contexts, new CachedFailure(walk), tag, true, time);
  }

  /** The same for a PASID entry. */
  refusedPasidContext(
    caches: DeviceCaches,
    pasid: number,
    device: ContextVersion,
    walk: WalkResult,
    time: number,
  ): void {
    const index = this.#caching.pasidIndex(device.context, pasid);
    const tag: ContextTag = { device: caches.id, domain: -1, pasid: index, asid: -1 };
    const { history } = this.#processes(caches, pasid);
    this.#use(this.#heldEntries, history, new CachedFailure(walk), tag, true, time);
  }

  /** The pair of two versions, made where there is none yet. */
  pairOf(
    caches: DeviceCaches,
    pasid: number,
    device: ContextVersion,
    process: ContextVersion,
  ): TranslationContext {
    const { pairs } = this.#processes(caches, pasid);
    let pair = pairs.find((p) => p.device === device && p.process === process);
    if (pair === undefined) {
      const tag = this.#caching.translationTag(device.context, process.context, pasid);
      pair = {
        id: this.#nextId++,
        kind: this.#kinds.of({ device, process }),
        deviceId: caches.id,
        device,
        process,
        tags: this.#translations.tagSet(tag),
        globalTags: this.#translations.globalSet(tag),
        staleUse: 0,
        gone: false,
      };
      this.#kinds.enter(pair.kind, pair);
      this.#pairs.set(pair.id, pair);
      if (pairs.length >= MAX_PAIRS) this.#forgetOldest(pairs);
      pairs.push(pair);
      this.#budget.take(CONTEXT_BYTES);
      this.#evictFor(caches, pasid);
    }
    return pair;
  }

  /** Of very many pairs, those go first of which an invalidation has dropped a part: what they translated is long ago. */
  #forgetOldest(pairs: TranslationContext[]): void {
    const dropped = pairs.findIndex(({ device, process }) => !isValid(device) || !isValid(process));
    const [oldest] = pairs.splice(Math.max(dropped, 0), 1);
    this.#forgetPair(oldest!);
  }

  /** Notes that a PASID entry was used through a device context. */
  usePasidContext(
    caches: DeviceCaches,
    pasid: number,
    { context: device }: ContextVersion,
    context: object,
    time: number,
  ): ContextVersion {
    const caching = this.#caching;
    const { history } = this.#processes(caches, pasid);
    const tag = processTag(caching, caches.id, device, context, pasid);
    const own = caching.hasOwnEntry(device, context, pasid);
    return this.#use(this.#heldEntries, history, context, tag, own, time);
  }

  /** A version that an invalidation has dropped is used again. */
  #revives(held: HeldHistories, history: ContextHistory, { tag }: ContextVersion): void {
    this.changes++;
    held.hold(history, tag);
  }

  #use(
    held: HeldHistories,
    history: ContextHistory,
    context: object,
    tag: ContextTag,
    own: boolean,
    time: number,
  ): ContextVersion {
    if (history.use(context, tag, own, time)) this.#revives(held, history, history.used);
    this.forgotten += history.trim();
    return history.used;
  }

  /**
   * What a cache may hold for a request that other requests of the device have used: one without PASID uses an entry
   * of the table of PASIDs, and shares it with the requests that name its PASID.
   */
  sharedPasidEntries(caches: DeviceCaches, device: object, pasid: number): readonly ContextVersion[] {
    const withoutPasid = caches.processes.get(NO_PASID);
    if (withoutPasid === undefined) return NO_VERSIONS;
    const index = this.#caching.pasidIndex(device, pasid);
    const others = pasid === NO_PASID ? caches.processes.get(index) : withoutPasid;
    if (others === undefined) return NO_VERSIONS;
    const { versions } = others.history;
    const [only] = versions;
    if (versions.length === 1) return only!.own && only!.tag.pasid === index ? versions : NO_VERSIONS;
    return versions.filter((version) => version.own && version.tag.pasid === index);
  }

  #processes(caches: DeviceCaches, pasid: number): PasidCaches {
    let processes = caches.processes.get(pasid);
    if (processes === undefined) {
      processes = { pasid, history: new ContextHistory(), pairs: [] };
      caches.processes.set(pasid, processes);
    }
    return processes;
  }

  /**
   * @param issued when the invalidation was issued: what was filled later stays
   * @param spares of one that covers last-level entries alone: what stays held, since it was found by way of a table that has
   *   changed. Such a one names a device
   * @returns how many contexts it dropped
   */
  invalidate(inv: Invalidation, issued: number, spares: Spares): number {
    const named = this.#devices.fewNamed(inv);
    if (named === null) return this.#invalidateAny(inv, issued);
    let dropped = 0;
    const ofContexts = (inv.caches & CONTEXT_CACHE) !== 0;
    for (const caches of named) {
      if (ofContexts) {
        const spared = inv.leafOnly ? (of: ContextVersion) => spares(caches, NO_PASID, of, false) : null;
        dropped += caches.contexts.invalidate(inv, issued, coversContext, spared);
      }
      if ((inv.caches & PASID_CACHE) === 0) continue;
      // By PASID: its own requests, and those without, which use one PASID's entry.
      const processes =
        inv.pasid >= 0
          ? [caches.processes.get(inv.pasid), caches.processes.get(NO_PASID)]
          : caches.processes.values();
      for (const process of processes) {
        if (process === undefined) continue;
        const { history, pasid } = process;
        // With its context, all tables of a device's PASID entries go.
        const spared =
          inv.leafOnly && !ofContexts ? (of: ContextVersion) => spares(caches, pasid, of, true) : null;
        dropped += history.invalidate(inv, issued, coversPasidEntry, spared);
      }
    }
    return dropped;
  }

  #invalidateAny(inv: Invalidation, issued: number): number {
    const ofContexts = (inv.caches & CONTEXT_CACHE) !== 0;
    const ofEntries = (inv.caches & PASID_CACHE) !== 0;
    return (
      (ofContexts ? this.#heldContexts.invalidate(inv, issued, coversContext) : 0) +
      (ofEntries ? this.#heldEntries.invalidate(inv, issued, coversPasidEntry) : 0)
    );
  }

  /** The address spaces that translations through the PASID entries which an invalidation names are tagged with. */
  spacesOf(inv: Invalidation): Set<number> {
    const spaces = new Set<number>();
    for (const caches of this.#devices.coveredBy(inv)) {
      if (!coversDevice(inv, caches.id)) continue;
      // By PASID: its own requests, and those without, which use one PASID's entry.
      for (const requests of [caches.processes.get(inv.pasid), caches.processes.get(NO_PASID)])
        for (const { process, tags } of requests?.pairs ?? [])
          if (process.tag.pasid === inv.pasid && tags.space >= 0) spaces.add(tags.space);
    }
    return spaces;
  }

  /** A binding of a device came or went: nothing that was cached for it before is used again. */
  drop(device: number): void {
    for (const caches of this.#devices.named(device)) this.#forget(caches);
  }

  clear(): void {
    for (const caches of this.#devices.all()) this.#forget(caches);
  }

  /** Where there is too much, drops the PASIDs and devices that were seen first: half of all, but not these. */
  #evictFor(user: DeviceCaches, used: number): void {
    if (this.#budget.free >= 0 || Math.max(this.#pairs.size, this.#devices.size) <= FEW) return;
    this.changes++;
    const pairs = this.#pairs.size / 2;
    const devices = this.#devices.size / 2;
    for (const caches of this.#devices.all()) {
      for (const [pasid, processes] of caches.processes) {
        if (this.#pairs.size <= pairs) break;
        if (caches === user && pasid === used) continue;
        this.#forgetPairs(processes);
        caches.processes.delete(pasid);
        this.forgotten++;
      }
      if (this.#devices.size > devices && caches !== user && caches.processes.size === 0) {
        if (caches.contexts.versions.some(isValid)) this.forgotten++;
        this.#forget(caches);
      }
      if (this.#pairs.size <= pairs && this.#devices.size <= devices) return;
    }
  }

  #forget(caches: DeviceCaches): void {
    for (const processes of caches.processes.values()) this.#forgetPairs(processes);
    this.#heldContexts.forget(caches.contexts);
    this.#devices.leave(caches);
    this.#spans.leave(caches);
  }

  #forgetPairs({ pairs, history }: PasidCaches): void {
    this.#heldEntries.forget(history);
    for (const pair of pairs) this.#forgetPair(pair);
  }

  #forgetPair(pair: TranslationContext): void {
    pair.gone = true;
    if (!this.#pairs.delete(pair.id)) return;
    this.#kinds.leave(pair.kind, pair, pair.id);
    this.#budget.give(CONTEXT_BYTES);
  }
}

function isKept(caches: DeviceCaches, pasid: number, { process }: TranslationContext): boolean {
  return caches.processes.get(pasid)?.history.versions.includes(process) ?? false;
}
