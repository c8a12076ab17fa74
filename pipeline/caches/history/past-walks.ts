import type { Caching } from "../../../walkers/caching.ts";
import { highHalf, lowHalf } from "../../../walkers/entry-halves.ts";
import {
  NO_PASID,
  TRANSLATED,
  TRANSLATION_REQUEST,
  UNTRANSLATED,
  type WalkRequest,
} from "../../../walkers/request.ts";
import { OK, WalkResult } from "../../../walkers/result.ts";
import { noteAts, translateAs } from "../../../walkers/translation-request.ts";
import type { CachedTranslation } from "../held/cached-translation.ts";
import type { Contexts } from "../held/contexts.ts";
import type { TranslationContext } from "../held/translation-context.ts";
import type { CachedIommu } from "./cached-iommu.ts";
import { type Change, NOW, type PastRead, type VersionedMemory, WORD_BYTES } from "./versioned-memory.ts";

/** A table entry's kind, and where it stands in a walk. */
export interface Structure {
  readonly name: string;
  /** Document and section. */
  readonly source: string;
  /** 1 or 2 for a page table of that stage, else 0. */
  readonly stage: number;
  readonly level: number;
  /** Where in its frame it begins, and its size. */
  readonly offset: number;
  readonly bytes: number;
  readonly littleEndian: boolean;
}

/** An entry above the last level, as a walk read it. */
export interface PathEntry {
  readonly frame: number;
  readonly offset: number;
  readonly hi: number;
  readonly lo: number;
}

/** Entries above the last level of one stage, by level. */
export type Path = ReadonlyMap<number, PathEntry>;

/** Walks that start from what a cache may hold, or that read memory as it once was. They enter nothing. */
export class PastWalks {
  readonly #unit: CachedIommu;
  readonly #memory: VersionedMemory;
  readonly #contexts: Contexts;
  readonly #scratch = new WalkResult();
  readonly #now = new WalkResult();
  /** After `path`: where it ended, which is not part of it. */
  pathEnd: PathEntry | null = null;
  /** Translations whose past is forgotten. */
  lost = 0;

  constructor(unit: CachedIommu, memory: VersionedMemory, contexts: Contexts) {
    this.#unit = unit;
    this.#memory = memory;
    this.#contexts = contexts;
  }

  /** Whether the address alone decides what becomes of a request: no cache has a part in it. */
  decidedByAddress(request: WalkRequest): boolean {
    return !this.#unit.walker.admit(request, this.reset());
  }

  /** What a cached translation answers to a request: the walk of memory as it was then. Null: no longer known. */
  walkAsOf(entry: CachedTranslation, request: WalkRequest): PastRead<WalkResult> | null {
    const memory = this.#memory;
    const context = this.#contexts.pair(entry.context);
    if (context === undefined) return null;
    const device = context.device.context;
    const process = context.process.context;
    const read = memory.readAsOf(entry.time, () => this.#translateOnly(request, device, process));
    if (!read.forgotten) return read;
    this.lost++;
    return null;
  }

  /**
   * Whether a held translation says to requests of the other privilege, too, what memory says to them now: one entry serves
   * both, and the rights of one tell nothing of the other's.
   * @param read what it answers to a request, and memory answers the same
   * @param pair contexts that memory is walked through now
   */
  sameToOthers(
    old: CachedTranslation,
    read: PastRead<WalkResult>,
    pair: TranslationContext,
    request: WalkRequest,
  ): boolean {
    if (request.pasid === NO_PASID) return true;
    if (!read.isOld && this.#contexts.sameKind(old.context, pair)) return true;
    const { access, priv } = request;
    request.access = 0;
    request.priv = !priv;
    const now = this.#now;
    now.copyFrom(this.translate(request, pair.device.context, pair.process.context));
    const then = this.walkAsOf(old, request);
    request.access = access;
    request.priv = priv;
    return then === null || sameTranslation(then.value, now);
  }

  /** Translates with contexts from wherever, through memory as `VersionedMemory` has it now. */
  translate(request: WalkRequest, device: object, process: object): WalkResult {
    const { walker } = this.#unit;
    const out = this.reset();
    const { at } = request;
    // Whether a device may use ATS is for its own context to say, not for that of whoever has filled a cache.
    if (at === TRANSLATION_REQUEST) request.at = UNTRANSLATED;
    const admitted = walker.checkRequest(request, device, out);
    request.at = at;
    if (admitted) translateAs(walker, request, device, process, out);
    else noteAts(walker, request, out);
    return out;
  }

  /**
   * As `translate`, but what a context refuses is for the request's own to say, not for that of whoever has filled a cache:
   * substreams that the one does not have, the other may.
   */
  #translateOnly(request: WalkRequest, device: object, process: object): WalkResult {
    if (request.at === TRANSLATED) return this.translate(request, device, process);
    const out = this.reset();
    translateAs(this.#unit.walker, request, device, process, out);
    return out;
  }

  /**
   * The entries above the last level that a walk goes through.
   * @param stage whose: 1 or 2
   * @param time memory as it was at this tick, or NOW
   * @returns null where that past is forgotten
   */
  path(request: WalkRequest, device: object, process: object, stage: number, time: number): Path | null {
    const { tables } = this.#unit.walker;
    const memory = this.#memory;
    const path = new Map<number, PathEntry>();
    let last = 0;
    tables.observer = {
      entry(layout, frame, offset, view, at, entryStage, level, littleEndian) {
        if (entryStage !== stage || view === null) return;
        const lo = lowHalf(layout, view, at, littleEndian);
        const hi = highHalf(layout, view, at, littleEndian);
        path.set(level, { frame, offset, hi, lo });
        last = level;
      },
    };
    let forgotten = false;
    if (time === NOW) this.translate(request, device, process);
    else ({ forgotten } = memory.readAsOf(time, () => this.translate(request, device, process)));
    tables.observer = null;
    if (forgotten) return null;
    // The last entry is the leaf, or where the walk ended.
    this.pathEnd = path.get(last) ?? null;
    path.delete(last);
    return path;
  }

  /**
   * Translates as an IOMMU that still holds the table entry of a level and a stage: with memory as it was at a tick
   * up to that entry, and as it is below it.
   */
  through(
    request: WalkRequest,
    device: object,
    process: object,
    stage: number,
    level: number,
    time: number,
  ): PastRead<WalkResult> {
    const { tables } = this.#unit.walker;
    const memory = this.#memory;
    tables.observer = {
      entry(_layout, _frame, _offset, _view, _at, entryStage, entryLevel) {
        if (entryStage === stage && entryLevel === level) memory.asNow();
      },
    };
    const walk = memory.readAsOf(time, () => this.translate(request, device, process));
    tables.observer = null;
    return walk;
  }

  /**
   * What has changed of a device's context since a tick, or of the PASID entry that it led to.
   * @returns the write that whoever holds it does not know of; null where there is none
   */
  changeOfContext(request: WalkRequest, time: number, ofPasidContext: boolean): Change | null {
    const { walker } = this.#unit;
    const memory = this.#memory;
    const out = this.reset();
    const device = walker.newDevice();
    const read = memory.readAsOf(time, () => walker.loadDevice(request, device, out));
    if (!read.value || !ofPasidContext) return read.missedChange();
    const process = walker.newPasidContext();
    return memory.readAsOf(time, () => walker.loadPasidContext(request, device, process, out)).missedChange();
  }

  /**
   * Whether what has changed of a device's context since a tick, or of the PASID entry that it led to, is a table above
   * the entry itself.
   */
  changedAbove(request: WalkRequest, time: number, ofPasidContext: boolean): boolean {
    const { walker } = this.#unit;
    const change = this.changeOfContext(request, time, ofPasidContext);
    if (change === null) return false;
    let above = false;
    let own = false;
    walker.tables.observer = {
      entry({ bytes }, frame, start, _view, _at, stage) {
        if (stage !== 0) return;
        // The last one is the entry.
        above ||= own;
        own = frame === change.frame && change.offset + WORD_BYTES > start && change.offset < start + bytes;
      },
    };
    this.changeOfContext(request, time, ofPasidContext);
    walker.tables.observer = null;
    return above;
  }

  /** Which structure a walk of memory as it is finds in a word at an address: what a change of it is a change of. */
  structureAt(request: WalkRequest, frame: number, offset: number): Structure | null {
    const { engine, walker } = this.#unit;
    let found: Structure | null = null;
    walker.tables.observer = {
      entry(layout, at, start, _view, _viewAt, stage, level, littleEndian) {
        const { name, source, bytes } = layout;
        if (at === frame && offset + WORD_BYTES > start && offset < start + bytes)
          found = { name, source, stage, level, offset: start, bytes, littleEndian };
      },
    };
    engine.walkUncached(request, walker.newDevice(), walker.newPasidContext());
    walker.tables.observer = null;
    return found;
  }

  /** The whole walk of a request, through memory as `VersionedMemory` has it now; nothing is remembered or used from before. */
  walkAll(request: WalkRequest): WalkResult {
    const { walker } = this.#unit;
    const out = this.reset();
    const device = walker.newDevice();
    const process = walker.newPasidContext();
    if (
      walker.admit(request, out) &&
      walker.loadDevice(request, device, out) &&
      walker.checkRequest(request, device, out) &&
      walker.loadPasidContext(request, device, process, out)
    )
      translateAs(walker, request, device, process, out);
    else noteAts(walker, request, out);
    return out;
  }

  /** The scratch result, as walkers want it. */
  reset(): WalkResult {
    this.#scratch.reset();
    return this.#scratch;
  }
}

/** Whether an entry still says the same; that hardware has set its accessed flag does not matter. */
export function sameEntry(caching: Caching, stage: number, a: PathEntry, b: PathEntry): boolean {
  return a.hi === b.hi && ((a.lo ^ b.lo) & ~caching.accessedFlags(stage)) === 0;
}

/** Two walks that a device cannot tell apart: the contract's equality of outcomes, for walks of the same vendor. */
export function sameAnswer(a: WalkResult, b: WalkResult): boolean {
  if (a.status !== b.status) return false;
  if (a.status === OK) return a.frame === b.frame && a.offset === b.offset;
  return a.fault === b.fault || a.fault?.code === b.fault?.code;
}

/**
 * Two walks that a cache cannot tell apart, for requests of one privilege: the same for every kind of access, and dropped by
 * the same invalidations.
 */
export function sameTranslation(a: WalkResult, b: WalkResult): boolean {
  // A page that is denied to a request serves others; one that is not there serves none, though the code may be the same.
  if (a.status !== OK || b.status !== OK) return sameAnswer(a, b) && a.reason === b.reason;
  return (
    a.frame === b.frame &&
    a.perm === b.perm &&
    a.pageShift === b.pageShift &&
    a.ipaFrame === b.ipaFrame &&
    a.firstShift === b.firstShift
  );
}
