import type { Binding, WalkRequest } from "./request.ts";
import { OK, WalkResult } from "./result.ts";
import type { IommuWalker } from "./walker.ts";

/** Slots of the translation cache, powers of two: at first, and at most. A slot costs about 300 bytes once it is used. */
const FIRST_SLOTS = 1 << 6;
const MAX_SLOTS = 1 << 15;
/** Devices and PASIDs kept before all are dropped: bounds memory on traces with very many. */
const MAX_CONTEXTS = 1 << 16;

/** A device context in use. */
export interface DeviceSlot {
  readonly context: unknown;
  /** What a model of the recorded caches knows of this context; null at first. The engine does not look at it. */
  tracked: unknown;
  readonly reads: number;
  readonly processes: Map<number, ProcessSlot>;
}

/** A PASID entry in use. */
export interface ProcessSlot {
  readonly context: unknown;
  tracked: unknown;
  /** Reads of this and of the device context. */
  readonly reads: number;
  /** Distinguishes this context in the translation cache. */
  readonly id: number;
}

/**
 * Drives one walker through its steps and remembers what they gave, for as long as no byte that a walk read has
 * changed. These caches only save time: the outcome, `reads` included, is that of an uncached walk.
 */
export class WalkEngine {
  readonly walker: IommuWalker;
  readonly #fresh = new WalkResult();
  /** Contexts that the last walk went through; null where it ended before. */
  device: DeviceSlot | null = null;
  process: ProcessSlot | null = null;
  /** By device id, or by binding: a bound device's context comes from nowhere else. */
  readonly #devices = new Map<number | Binding, DeviceSlot>();
  #contexts = 0;
  #nextId = 1;
  #generation = Number.NaN;
  // Translation cache, direct-mapped: context id, page number and kind of access select a result.
  // Small until it is used: a trace may declare very many IOMMUs.
  #mask = FIRST_SLOTS - 1;
  #kept = 0;
  #ids = new Int32Array(FIRST_SLOTS);
  #pageHi = new Int32Array(FIRST_SLOTS);
  #pageLo = new Int32Array(FIRST_SLOTS);
  #results: (WalkResult | undefined)[] = new Array(FIRST_SLOTS).fill(undefined);

  constructor(walker: IommuWalker) {
    this.walker = walker;
  }

  /** Forgets everything: registers, properties or a binding changed. */
  drop(): void {
    this.#devices.clear();
    this.#contexts = 0;
    if (this.#nextId > 0x3fff_ffff) {
      this.#ids.fill(0);
      this.#nextId = 1;
    }
    this.#generation = this.walker.tables.memory.generation;
  }

  /**
   * Walks one request that does not cross a 4 KiB boundary.
   * @returns a result that stays valid until the next walk; not to be changed
   */
  walk(request: WalkRequest): WalkResult {
    const tables = this.walker.tables;
    if (tables.memory.generation !== this.#generation) this.drop();
    const device = this.#devices.get(request.binding ?? request.device);
    if (device === undefined) return this.#walkAfresh(request, undefined, undefined);
    const process = device.processes.get(request.pasid);
    if (process === undefined) return this.#walkAfresh(request, device, undefined);

    // The page number's low bits and the kind of access share a word.
    const kind = request.access | (request.priv ? 8 : 0);
    const pageLo = (request.addrLo & ~0xfff) | kind;
    const slot =
      (Math.imul(request.addrLo >>> 12, 0x9e37_79b1) ^
        Math.imul(request.addrHi, 31) ^
        (process.id * 7) ^
        kind) &
      this.#mask;
    if (
      this.#ids[slot] !== process.id ||
      this.#pageLo[slot] !== pageLo ||
      this.#pageHi[slot] !== request.addrHi
    ) {
      const out = this.#walkAfresh(request, device, process);
      if (out.status === OK) this.#keep(slot, process.id, pageLo, request.addrHi, out);
      return out;
    }
    this.device = device;
    this.process = process;
    const hit = this.#results[slot]!;
    hit.offset = request.addrLo & 0xfff;
    return hit;
  }

  /** Walks with the contexts that are known; what is not is read, and kept. */
  #walkAfresh(
    request: WalkRequest,
    knownDevice: DeviceSlot | undefined,
    knownProcess: ProcessSlot | undefined,
  ): WalkResult {
    const walker = this.walker;
    const tables = walker.tables;
    const out = this.#fresh;
    out.reset("intel");
    tables.reads = 0;
    this.device = null;
    this.process = null;
    if (!walker.admit(request, out)) return out;

    let device = knownDevice;
    if (device === undefined) {
      const context = walker.newDevice();
      if (!walker.loadDevice(request, context, out)) return counted(out, tables.reads);
      device = { context, tracked: null, reads: tables.reads, processes: new Map() };
      this.#bound();
      this.#devices.set(request.binding ?? request.device, device);
    }
    this.device = device;
    tables.reads = device.reads;
    if (!walker.checkRequest(request, device.context, out)) return counted(out, tables.reads);

    let process = knownProcess;
    if (process === undefined) {
      const context = walker.newProcess();
      if (!walker.loadProcess(request, device.context, context, out)) return counted(out, tables.reads);
      process = { context, tracked: null, reads: tables.reads, id: this.#nextId++ };
      this.#bound();
      device.processes.set(request.pasid, process);
    }
    this.process = process;
    tables.reads = process.reads;
    walker.translate(request, device.context, process.context, out);
    return counted(out, tables.reads);
  }

  #keep(slot: number, id: number, pageLo: number, pageHi: number, out: WalkResult): void {
    if (++this.#kept > this.#mask && this.#mask < MAX_SLOTS - 1) {
      this.#enlarge();
      return;
    }
    let kept = this.#results[slot];
    if (kept === undefined) {
      kept = new WalkResult();
      this.#results[slot] = kept;
    }
    kept.copyFrom(out);
    this.#ids[slot] = id;
    this.#pageLo[slot] = pageLo;
    this.#pageHi[slot] = pageHi;
  }

  /** What was kept is forgotten: its slots would be others. */
  #enlarge(): void {
    const slots = Math.min((this.#mask + 1) * 8, MAX_SLOTS);
    this.#mask = slots - 1;
    this.#kept = 0;
    this.#ids = new Int32Array(slots);
    this.#pageHi = new Int32Array(slots);
    this.#pageLo = new Int32Array(slots);
    this.#results = new Array(slots).fill(undefined);
  }

  /** As `walk`, with nothing remembered or used from before: every entry is read. For printing and benchmarks. */
  walkUncached(request: WalkRequest, device: unknown, process: unknown): WalkResult {
    const walker = this.walker;
    const out = this.#fresh;
    out.reset("intel");
    walker.tables.reads = 0;
    if (
      walker.admit(request, out) &&
      walker.loadDevice(request, device, out) &&
      walker.checkRequest(request, device, out) &&
      walker.loadProcess(request, device, process, out)
    )
      walker.translate(request, device, process, out);
    return counted(out, walker.tables.reads);
  }

  #bound(): void {
    if (++this.#contexts > MAX_CONTEXTS) {
      this.#devices.clear();
      this.#contexts = 0;
    }
  }
}

function counted(out: WalkResult, reads: number): WalkResult {
  out.reads = reads;
  return out;
}
