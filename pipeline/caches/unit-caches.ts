import {
  CONTEXT_CACHE,
  coversDevice,
  coversDomain,
  type Invalidation,
  IOTLB,
  NONE,
  PASID_CACHE,
} from "../../parsers/commands/invalidation.ts";
import type { DeviceSlot, ProcessSlot } from "../../walkers/engine.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import { OK, WalkResult } from "../../walkers/result.ts";
import type { IommuUnit } from "../iommu-unit.ts";
import { ContextHistory, type ContextVersion, isLive } from "./context-history.ts";
import type { TagSet } from "./tag-sets.ts";
import { tagOf } from "./tags.ts";
import { type CachedTranslation, Translations } from "./translations.ts";
import type { Change, VersionedMemory } from "./versioned-memory.ts";

/** What explains an answer: memory as it is, what nothing has invalidated, or what an invalidation had covered. */
export const UNEXPLAINED = 0;
export const LIVE = 1;
export const DEAD = 2;

/** A device context and a PASID entry that translate together, and how their translations are tagged. */
interface TranslationContext {
  readonly id: number;
  readonly device: ContextVersion;
  readonly process: ContextVersion;
  readonly tags: TagSet;
  readonly globalTags: TagSet;
}

/** All that a cache may hold of one device. */
interface DeviceCaches {
  readonly contexts: ContextHistory;
  readonly processes: Map<number, ContextHistory>;
  readonly pairs: TranslationContext[];
}

/** What a stale answer came from, for the finding about it. */
export interface Culprit {
  /** "context", "pasid" or "iotlb": which cache would hold it. */
  readonly cache: "context" | "pasid" | "iotlb";
  /** Tick since when it is out of date. */
  readonly filled: number;
  /** The change of memory that the cache does not know of; null where it is not known any more. */
  readonly change: Change | null;
  /** Tags of the entry, as in `TranslationTag`. */
  readonly domain: number;
  readonly space: number;
  /** Frame of the intermediate address that a stale second stage is about; -1 where both stages are not in use. */
  readonly ipaFrame: number;
  /** Whether nothing has invalidated it yet. */
  readonly live: () => boolean;
}

/** A table entry's kind, and where it stands in a walk. */
export interface Structure {
  readonly name: string;
  /** Document and section. */
  readonly source: string;
  /** 1 or 2 for a page table of that stage, else 0. */
  readonly stage: number;
  readonly level: number;
}

/**
 * What the caches of one IOMMU may hold. It lets every walk enter, keeps what memory no longer says, and answers
 * which of it could explain what the recorded system did.
 */
export class UnitCaches {
  readonly translations: Translations;
  readonly #unit: IommuUnit;
  readonly #memory: VersionedMemory;
  readonly #devices = new Map<unknown, DeviceCaches>();
  readonly #contexts: TranslationContext[] = [];
  readonly #scratch = new WalkResult();
  readonly #pending: { readonly inv: Invalidation; readonly issued: number; readonly line: number }[] = [];
  /** The recorded system waits for its invalidations: until then, one has not taken effect. */
  completions = 0;
  culprit: Culprit | null = null;
  /** Tick of the latest invalidation or completion. */
  #lastEvent = 0;

  constructor(unit: IommuUnit, memory: VersionedMemory, maxBytes: number) {
    this.#unit = unit;
    this.#memory = memory;
    this.translations = new Translations(maxBytes);
  }

  /** Invalidations that have been issued and not completed. */
  get pending(): number {
    return this.#pending.length;
  }

  /** Line of the first of them. */
  get pendingLine(): number {
    return this.#pending[0]?.line ?? 0;
  }

  /** Memory as a whole was replaced: what was cached before has nothing to do with what comes. */
  clear(): void {
    this.#lastEvent = this.#memory.time;
    this.#devices.clear();
    this.translations.clear();
    this.#pending.length = 0;
  }

  // ── walks ──

  /**
   * Notes what the caches may hold after a walk of one page (the engine's last one).
   * @returns whether something that they may still hold could give another answer
   */
  use(request: WalkRequest, walk: WalkResult, time: number): boolean {
    // The engine's own cache gave a result that was entered before, and neither memory nor the caches have changed.
    if (walk.seen > this.#lastEvent && walk.seen > this.#memory.lastChange) return false;
    const doubt = this.#note(request, walk, time);
    if (!doubt) walk.seen = time;
    return doubt;
  }

  #note(request: WalkRequest, walk: WalkResult, time: number): boolean {
    const { device, process } = this.#unit.engine;
    const caches = this.#cachesOf(request);
    let doubt = false;
    const deviceVersion = device === null ? null : this.#versionOf(caches.contexts, device, time);
    for (const version of caches.contexts.versions)
      if (version !== deviceVersion && isLive(version)) doubt = true;
    const history = caches.processes.get(request.pasid);
    if (process === null || deviceVersion === null) {
      if (history?.versions.some(isLive)) doubt = true;
      return doubt;
    }
    const pair = this.#pairOf(caches, request, deviceVersion, process, time);
    const versions = caches.processes.get(request.pasid)!.versions;
    if (versions.length > 1)
      for (const version of versions) if (version !== pair.process && isLive(version)) doubt = true;
    if (walk.status === OK && walk.pageShift !== 0) {
      if (this.#enter(walk.global ? pair.globalTags : pair.tags, pair, request, walk, time)) doubt = true;
    } else if (this.#anyLive(pair.tags, request) || this.#anyLive(pair.globalTags, request)) doubt = true;
    return doubt;
  }

  /** Enters a translation; true where an earlier one of the page may still be cached and is another. */
  #enter(
    set: TagSet,
    pair: TranslationContext,
    request: WalkRequest,
    walk: WalkResult,
    time: number,
  ): boolean {
    const { translations } = this;
    const { addrHi: hi, addrLo: lo } = request;
    const shift = walk.pageShift;
    let doubt = false;
    if (translations.find(set, shift, hi, lo)) {
      const same = translations.context === pair.id && translations.time >= this.#memory.lastChange;
      if (!same) {
        const old: CachedTranslation = {
          context: translations.context,
          time: translations.time,
          dead: translations.dead,
        };
        const then = this.#then(old, request);
        if (then !== null && !sameTranslation(then, walk)) {
          if (!old.dead && translations.coveredByRange(set, hi, lo, old.time, then)) old.dead = true;
          doubt = !old.dead && !sameAnswer(then, walk);
          translations.setAside(set, shift, hi, lo, old);
        }
      }
    }
    translations.enter(set, walk, hi, lo, pair.id, time);
    return doubt || this.#otherLive(set, shift, request, time);
  }

  /** Whether translations set aside, or of other page sizes, are live. */
  #otherLive(set: TagSet, shift: number, request: WalkRequest, time: number): boolean {
    const { translations } = this;
    for (let other = set.nextShift(0); other !== 0; other = set.nextShift(other)) {
      for (const old of translations.earlier(set, other, request.addrHi, request.addrLo))
        if (!old.dead && old.time > set.epoch) return true;
      if (other === shift || !translations.find(set, other, request.addrHi, request.addrLo)) continue;
      if (!translations.dead && translations.time < time) return true;
    }
    return false;
  }

  #anyLive(set: TagSet, request: WalkRequest): boolean {
    return this.#otherLive(set, 0, request, Number.POSITIVE_INFINITY);
  }

  /** Which structure a walk of memory as it is finds at an address: what a change of it is a change of. */
  structureAt(request: WalkRequest, frame: number, offset: number): Structure | null {
    const { engine, walker } = this.#unit;
    let found: Structure | null = null;
    walker.tables.observer = {
      entry(layout, at, start, _view, _viewAt, stage, level) {
        if (at === frame && offset >= start && offset < start + layout.bytes)
          found = { name: layout.name, source: layout.source, stage, level };
      },
    };
    engine.walkUncached(request, walker.newDevice(), walker.newProcess());
    walker.tables.observer = null;
    return found;
  }

  /** The walk of memory as it is, once more: nothing is entered. */
  walkAgain(request: WalkRequest): WalkResult {
    return this.#unit.engine.walk(request);
  }

  // ── answers ──

  /**
   * Looks for a cached context, PASID entry or translation that gives an answer.
   *
   * @param accept whether a walk's result is that answer
   * @param dead also what invalidations have covered
   * @returns UNEXPLAINED, LIVE or DEAD; `culprit` says what it was
   */
  explain(request: WalkRequest, dead: boolean, accept: (walk: WalkResult) => boolean): number {
    const caches = this.#cachesOf(request);
    this.culprit = null;
    const live = this.#explainWith(caches, request, LIVE, accept);
    if (live || !dead) return live ? LIVE : UNEXPLAINED;
    return this.#explainWith(caches, request, DEAD, accept) ? DEAD : UNEXPLAINED;
  }

  #explainWith(
    caches: DeviceCaches,
    request: WalkRequest,
    depth: number,
    accept: (walk: WalkResult) => boolean,
  ): boolean {
    const { walker, engine } = this.#unit;
    const now = engine.device;
    const asked = new Set<TagSet>();
    const tryPair = (
      device: object,
      process: object,
      stale: ContextVersion | null,
      cache: Culprit["cache"],
    ) => {
      const tag = tagOf(this.#unit.model, device, process, request.pasid);
      const sets = [this.translations.tagSet(tag), this.translations.globalSet(tag)];
      if (stale !== null && accept(this.#translate(request, device, process))) {
        this.#blameContext(request, stale, cache, tag.domain, tag.space);
        return true;
      }
      for (const set of sets) {
        if (asked.has(set)) continue;
        asked.add(set);
        if (this.#explainByTranslation(set, request, depth, accept)) return true;
      }
      return false;
    };
    const devices: (ContextVersion | null)[] = [null];
    for (const version of caches.contexts.versions)
      if (version.context !== now?.context && (depth === DEAD || isLive(version))) devices.push(version);
    const processes = caches.processes.get(request.pasid)?.versions ?? [];
    for (const version of devices) {
      const device = version === null ? now?.context : version.context;
      if (device === undefined || device === null) continue;
      const out = this.#reset();
      if (!walker.checkRequest(request, device, out)) {
        if (version !== null && accept(out)) {
          this.#blameContext(request, version, "context", -1, -1);
          return true;
        }
        continue;
      }
      const process = walker.newProcess();
      if (walker.loadProcess(request, device, process, out)) {
        if (tryPair(device, process as object, version, "context")) return true;
      } else if (version !== null && accept(out)) {
        this.#blameContext(request, version, "context", -1, -1);
        return true;
      }
      for (const entry of processes) {
        if (depth !== DEAD && !isLive(entry)) continue;
        if (entry.context === engine.process?.context && version === null) continue;
        if (tryPair(device, entry.context, entry, "pasid")) return true;
      }
    }
    return false;
  }

  #explainByTranslation(
    set: TagSet,
    request: WalkRequest,
    depth: number,
    accept: (walk: WalkResult) => boolean,
  ): boolean {
    const { translations } = this;
    const { addrHi: hi, addrLo: lo } = request;
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      const found: CachedTranslation[] = [...translations.earlier(set, shift, hi, lo)];
      if (translations.find(set, shift, hi, lo))
        found.push({ context: translations.context, time: translations.time, dead: translations.dead });
      for (const entry of found) {
        let dead = entry.dead || entry.time <= set.epoch;
        if (dead && depth !== DEAD) continue;
        const then = this.#then(entry, request);
        if (then === null || !accept(then)) continue;
        dead ||= translations.coveredByRange(set, hi, lo, entry.time, then);
        if (dead && depth !== DEAD) continue;
        this.culprit = {
          cache: "iotlb",
          filled: entry.time,
          change: this.#memory.undone(),
          domain: set.domain,
          space: set.space,
          ipaFrame: then.ipaFrame,
          live: this.#liveness(set, shift, hi, lo, entry.time),
        };
        return true;
      }
    }
    return false;
  }

  /** Tells later whether a translation of that time may still be cached. */
  #liveness(set: TagSet, shift: number, hi: number, lo: number, time: number): () => boolean {
    const { translations } = this;
    return () => {
      if (time <= set.epoch) return false;
      if (translations.find(set, shift, hi, lo) && translations.time === time) return !translations.dead;
      const aside = translations.earlier(set, shift, hi, lo).find((entry) => entry.time === time);
      return aside !== undefined && !aside.dead;
    };
  }

  // ── invalidations ──

  /** An invalidation was issued; it takes effect at the next completion, or at once where there never is one. */
  invalidate(inv: Invalidation, time: number): void {
    this.#lastEvent = time;
    if (this.completions === 0) this.#apply(inv, time);
    else
      this.#pending.push({
        inv: Object.assign(Object.create(Object.getPrototypeOf(inv)), inv),
        issued: time,
        line: this.#memory.line,
      });
  }

  /** A completion: all invalidations before it have taken effect. */
  complete(): void {
    this.completions++;
    this.settle();
  }

  /** What has been issued takes effect. */
  settle(): void {
    this.#lastEvent = this.#memory.time;
    for (const { inv, issued } of this.#pending) this.#apply(inv, issued);
    this.#pending.length = 0;
  }

  #apply(inv: Invalidation, issued: number): void {
    if ((inv.caches & IOTLB) !== 0) this.translations.invalidate(inv, issued);
    if ((inv.caches & (CONTEXT_CACHE | PASID_CACHE)) === 0) return;
    for (const [key, caches] of this.#devices) {
      if (typeof key === "number" && !coversDevice(inv, key)) continue;
      if ((inv.caches & CONTEXT_CACHE) !== 0)
        caches.contexts.invalidate(issued, (version) => coversContext(inv, version.context));
      if ((inv.caches & PASID_CACHE) === 0) continue;
      for (const [pasid, history] of caches.processes) {
        if (!coversPasid(inv, pasid)) continue;
        history.invalidate(issued, (version) => coversContext(inv, version.context));
      }
    }
  }

  // ── parts ──

  #cachesOf(request: WalkRequest): DeviceCaches {
    const key = request.binding ?? request.device;
    let caches = this.#devices.get(key);
    if (caches === undefined) {
      caches = { contexts: new ContextHistory(), processes: new Map(), pairs: [] };
      this.#devices.set(key, caches);
    }
    return caches;
  }

  #versionOf(history: ContextHistory, slot: DeviceSlot, time: number): ContextVersion {
    const known = slot.tracked as ContextVersion | null;
    if (known !== null) {
      known.filled = time;
      return known;
    }
    const version = history.use(slot.context as object, time);
    slot.tracked = version;
    return version;
  }

  #pairOf(
    caches: DeviceCaches,
    request: WalkRequest,
    device: ContextVersion,
    slot: ProcessSlot,
    time: number,
  ): TranslationContext {
    const known = slot.tracked as TranslationContext | null;
    if (known !== null) {
      known.process.filled = time;
      return known;
    }
    let history = caches.processes.get(request.pasid);
    if (history === undefined) {
      history = new ContextHistory();
      caches.processes.set(request.pasid, history);
    }
    const process = history.use(slot.context as object, time);
    let pair = caches.pairs.find((p) => p.device === device && p.process === process);
    if (pair === undefined) {
      const tag = tagOf(this.#unit.model, device.context, process.context, request.pasid);
      pair = {
        id: this.#contexts.length,
        device,
        process,
        tags: this.translations.tagSet(tag),
        globalTags: this.translations.globalSet(tag),
      };
      this.#contexts.push(pair);
      caches.pairs.push(pair);
    }
    slot.tracked = pair;
    return pair;
  }

  /** What a cached translation answers to a request: the walk of memory as it was then. Null: no longer known. */
  #then(entry: CachedTranslation, request: WalkRequest): WalkResult | null {
    const memory = this.#memory;
    if (entry.time < memory.horizon) return null;
    const context = this.#contexts[entry.context]!;
    memory.look(entry.time);
    const walk = this.#translate(request, context.device.context, context.process.context);
    memory.endLook();
    return walk;
  }

  #translate(request: WalkRequest, device: object, process: object): WalkResult {
    const { walker } = this.#unit;
    const out = this.#reset();
    if (walker.checkRequest(request, device, out)) walker.translate(request, device, process, out);
    return out;
  }

  #reset(): WalkResult {
    this.#scratch.reset("intel");
    return this.#scratch;
  }

  /** Finds the write that a stale context does not know of, by reading the context as it was then. */
  #blameContext(
    request: WalkRequest,
    version: ContextVersion,
    cache: Culprit["cache"],
    domain: number,
    space: number,
  ): void {
    const { walker } = this.#unit;
    const memory = this.#memory;
    const out = this.#reset();
    memory.look(version.filled);
    const device = walker.newDevice();
    if (walker.loadDevice(request, device, out) && cache === "pasid") {
      memory.look(version.filled);
      walker.loadProcess(request, device, walker.newProcess(), out);
    }
    memory.endLook();
    const { filled } = version;
    this.culprit = {
      cache,
      filled,
      change: memory.undone(),
      domain,
      space,
      ipaFrame: -1,
      live: () => version.filled === filled && isLive(version),
    };
  }
}

/** Two walks that a device cannot tell apart: the contract's equality of outcomes, for walks of the same vendor. */
export function sameAnswer(a: WalkResult, b: WalkResult): boolean {
  if (a.status !== b.status) return false;
  if (a.status === OK) return a.frame === b.frame && a.offset === b.offset;
  return a.fault === b.fault || a.fault?.code === b.fault?.code;
}

/** Two walks that give the same to every kind of access, not only to this one. */
function sameTranslation(a: WalkResult, b: WalkResult): boolean {
  return a.status === b.status && a.frame === b.frame && a.perm === b.perm && a.pageShift === b.pageShift;
}

/** Whether an invalidation that selects by domain covers a context: by the domain that stands in it. */
function coversContext(inv: Invalidation, context: object): boolean {
  const fields = context as { domain?: number; vmid?: number; gscid?: number };
  const domain = fields.domain ?? fields.vmid ?? fields.gscid ?? -1;
  return coversDomain(inv, domain < 0 ? NONE : domain);
}

function coversPasid(inv: Invalidation, pasid: number): boolean {
  if (inv.pasid === NONE) return pasid < 0;
  return inv.pasid < 0 || inv.pasid === pasid || (inv.pasid === 0 && pasid < 0);
}
