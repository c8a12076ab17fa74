import { FaultCache } from "./fault-cache.ts";
import { FrameTrail } from "./frame-trail.ts";
import { FRAME_MASK } from "./memory.ts";
import type { Binding, WalkRequest } from "./request.ts";
import { OK, WalkResult } from "./result.ts";
import { TranslationCache } from "./translation-cache.ts";
import { noteAts, translateAs } from "./translation-request.ts";
import type { IommuWalker } from "./walker.ts";

/** Bits of the number of contexts that are found without a map. */
const RECENT_BITS = 8;
/** Devices and PASIDs kept before all are dropped: bounds memory on traces with very many. */
const MAX_CONTEXTS = 1 << 16;
/** Past it numbers of contexts begin anew. */
const MAX_ID = 0x3fff_ffff;

/** Beside an access, in the low bits of a page's number: its privilege, and its address type. */
const PRIVILEGED = 8;
const AT_SHIFT = 4;

/** What a context was read from. */
interface Kept {
  /** Frames of memory; null: more than are looked at one by one. */
  readonly frames: readonly number[] | null;
  /** Generation of memory under which it is known to be as it was read. */
  validIn: number;
}

/** A device context in use. */
export interface DeviceSlot<D, P> extends Kept {
  readonly context: object;
  /** What whoever follows the walks knows of this context; null at first. The engine does not look at it. */
  tracked: D | null;
  readonly reads: number;
  readonly processes: Map<number, PasidSlot<P>>;
}

/** A PASID entry in use. */
export interface PasidSlot<P> extends Kept {
  readonly context: object;
  tracked: P | null;
  /** Reads of this and of the device context. */
  readonly reads: number;
  /** Distinguishes this context in the translation cache, and what was translated through it under other generations. */
  id: number;
}

/** The contexts of a request that was walked, to find them again without a look into maps. */
interface RecentContexts<D, P> {
  readonly deviceId: number;
  readonly pasid: number;
  readonly binding: Binding | null;
  readonly device: DeviceSlot<D, P>;
  readonly process: PasidSlot<P>;
}

/**
 * Drives one walker through its steps and remembers what they gave: translations for as long as no byte that any walk has
 * read changes, contexts for as long as none does in the frames that they were read from. These caches only save time: the
 * outcome, `reads` included, is that of an uncached walk.
 *
 * @typeParam D what whoever follows the walks keeps with a device context
 * @typeParam P the same with a PASID entry
 */
export class WalkEngine<D = unknown, P = unknown> {
  readonly walker: IommuWalker;
  readonly #fresh = new WalkResult();
  /** Contexts that the last walk went through; null where it ended before. */
  device: DeviceSlot<D, P> | null = null;
  process: PasidSlot<P> | null = null;
  /** By device id, or by binding: a bound device's context comes from nowhere else. */
  readonly #devices = new Map<number | Binding, DeviceSlot<D, P>>();
  #contexts = 0;
  #nextId = 1;
  readonly #trail = new FrameTrail();
  /** By a hash of device and PASID; empty until there is one. */
  #recent: (RecentContexts<D, P> | null)[] = [];
  readonly #translations = new TranslationCache();
  readonly #faults = new FaultCache();

  constructor(walker: IommuWalker) {
    this.walker = walker;
  }

  /** Forgets everything: registers, properties or a binding changed. */
  drop(): void {
    this.#forgetContexts();
  }

  #newId(): number {
    if (this.#nextId > MAX_ID) {
      this.#forgetContexts();
      this.#translations.clear();
      this.#faults.clear();
      this.#nextId = 1;
    }
    return this.#nextId++;
  }

  /**
   * Walks one request that does not cross a 4 KiB boundary.
   * @returns a result that stays valid until the next walk; not to be changed
   */
  walk(request: WalkRequest): WalkResult {
    const recent = this.recent(request);
    return recent === null
      ? this.#walkElsewhere(request, slotOf(request))
      : this.#walkWith(request, recent.device, recent.process);
  }

  /** The contexts of a request that others have gone through lately; null where there are none, or memory may have others now. */
  recent(request: WalkRequest): RecentContexts<D, P> | null {
    const recent = this.#recent[slotOf(request)];
    if (
      recent === undefined ||
      recent === null ||
      recent.deviceId !== request.device ||
      recent.pasid !== request.pasid ||
      recent.binding !== request.binding
    )
      return null;
    const { generation } = this.walker.tables.memory;
    if (recent.process.validIn !== generation && !this.#stillValid(recent.device, recent.process))
      return null;
    return recent;
  }

  /** Memory has changed: whether both contexts are as they were. What was translated through them may not be. */
  #stillValid(device: DeviceSlot<D, P>, process: PasidSlot<P>): boolean {
    if (!this.#isUnchanged(device) || !this.#isUnchanged(process)) return false;
    process.id = this.#newId();
    return true;
  }

  #isUnchanged(kept: Kept): boolean {
    const { memory } = this.walker.tables;
    const { generation } = memory;
    if (kept.validIn === generation) return true;
    if (kept.frames === null || memory.changedAt === undefined) return false;
    for (const frame of kept.frames) if (memory.changedAt(frame) > kept.validIn) return false;
    kept.validIn = generation;
    return true;
  }

  /** What was noted of the last walk's result; 0: nothing, or the engine has not remembered it. */
  noteOf(result: WalkResult): number {
    const translations = this.#translations;
    return result === translations.result ? translations.note : 0;
  }

  /** Notes a number, as long as the engine remembers the last walk's result. */
  note(result: WalkResult, note: number): void {
    const translations = this.#translations;
    if (result === translations.result) translations.note = note;
  }

  /** Walks with contexts that have to be looked for, and remembers them in a slot of the recent ones. */
  #walkElsewhere(request: WalkRequest, slot: number): WalkResult {
    const device = this.#knownDevice(request);
    const process = device === undefined ? undefined : this.#knownPasid(request, device);
    if (device === undefined || process === undefined) return this.#walkAfresh(request, device, undefined);
    if (this.#recent.length === 0) this.#recent = new Array(1 << RECENT_BITS).fill(null);
    this.#recent[slot] = {
      deviceId: request.device,
      pasid: request.pasid,
      binding: request.binding,
      device,
      process,
    };
    return this.#walkWith(request, device, process);
  }

  #knownDevice(request: WalkRequest): DeviceSlot<D, P> | undefined {
    const key = request.binding ?? request.device;
    const device = this.#devices.get(key);
    if (device === undefined || this.#isUnchanged(device)) return device;
    this.#devices.delete(key);
    this.#contexts -= 1 + device.processes.size;
    return undefined;
  }

  #knownPasid(request: WalkRequest, device: DeviceSlot<D, P>): PasidSlot<P> | undefined {
    const process = device.processes.get(request.pasid);
    if (process === undefined || process.validIn === this.walker.tables.memory.generation) return process;
    if (this.#stillValid(device, process)) return process;
    device.processes.delete(request.pasid);
    this.#contexts--;
    return undefined;
  }

  #walkWith(request: WalkRequest, device: DeviceSlot<D, P>, process: PasidSlot<P>): WalkResult {
    const translations = this.#translations;
    // The page number's low bits and the kind of access share a word.
    const pageLo =
      (request.addrLo & ~0xfff) | request.access | (request.priv ? PRIVILEGED : 0) | (request.at << AT_SHIFT);
    if (!translations.find(process.id, request.addrHi, pageLo)) {
      const fault = this.#faults.find(process.id, request.addrHi, pageLo);
      if (fault !== null) {
        this.device = device;
        this.process = process;
        return fault;
      }
      const out = this.#walkAfresh(request, device, process);
      if (out.status !== OK) {
        // What decides before the page tables are asked leaves other contexts behind.
        if (this.process === process) this.#faults.keep(process.id, request.addrHi, pageLo, out);
        return out;
      }
      translations.keep(process.id, request.addrHi, pageLo, out);
    }
    this.device = device;
    this.process = process;
    const result = translations.result;
    result.offset = request.addrLo & FRAME_MASK;
    return result;
  }

  /** Walks with the contexts that are known; what is not is read, and kept. */
  #walkAfresh(
    request: WalkRequest,
    knownDevice: DeviceSlot<D, P> | undefined,
    knownPasid: PasidSlot<P> | undefined,
  ): WalkResult {
    const walker = this.walker;
    const tables = walker.tables;
    const out = this.#fresh;
    const trail = this.#trail;
    out.reset();
    tables.reads = 0;
    this.device = null;
    this.process = null;
    if (!walker.admit(request, out)) return this.#refused(request);

    let device = knownDevice;
    if (device === undefined) {
      const context = walker.newDevice();
      const validIn = tables.memory.generation;
      trail.begin(tables);
      const loaded = walker.loadDevice(request, context, out);
      const frames = trail.end(tables);
      if (!loaded) return this.#refused(request);
      device = { context, tracked: null, reads: tables.reads, processes: new Map(), frames, validIn };
      this.#bound();
      this.#devices.set(request.binding ?? request.device, device);
    }
    this.device = device;
    tables.reads = device.reads;
    if (!walker.checkRequest(request, device.context, out)) return this.#refused(request);

    let process = knownPasid;
    if (process === undefined) {
      const context = walker.newPasidContext();
      const validIn = tables.memory.generation;
      trail.begin(tables);
      const loaded = walker.loadPasidContext(request, device.context, context, out);
      const frames = trail.end(tables);
      if (!loaded) return this.#refused(request);
      process = { context, tracked: null, reads: tables.reads, id: this.#newId(), frames, validIn };
      this.#bound();
      device.processes.set(request.pasid, process);
    }
    this.process = process;
    tables.reads = process.reads;
    translateAs(walker, request, device.context, process.context, out);
    return counted(out, tables.reads);
  }

  /** The last step was not reached. */
  #refused(request: WalkRequest): WalkResult {
    noteAts(this.walker, request, this.#fresh);
    return counted(this.#fresh, this.walker.tables.reads);
  }

  /** As `walk`, with nothing remembered or used from before: every entry is read. For printing and benchmarks. */
  walkUncached(request: WalkRequest, device: object, process: object): WalkResult {
    const walker = this.walker;
    const out = this.#fresh;
    out.reset();
    walker.tables.reads = 0;
    if (
      walker.admit(request, out) &&
      walker.loadDevice(request, device, out) &&
      walker.checkRequest(request, device, out) &&
      walker.loadPasidContext(request, device, process, out)
    )
      translateAs(walker, request, device, process, out);
    else noteAts(walker, request, out);
    return counted(out, walker.tables.reads);
  }

  #bound(): void {
    if (++this.#contexts > MAX_CONTEXTS) this.#forgetContexts();
  }

  #forgetContexts(): void {
    this.#devices.clear();
    this.#recent.fill(null);
    this.#contexts = 0;
  }
}

/** Where the contexts of a request are among the recent ones. */
function slotOf({ device, pasid }: WalkRequest): number {
  return (Math.imul(device, 0x9e37_79b1) + Math.imul(pasid, 0x85eb_ca6b)) >>> (32 - RECENT_BITS);
}

function counted(out: WalkResult, reads: number): WalkResult {
  out.reads = reads;
  return out;
}
