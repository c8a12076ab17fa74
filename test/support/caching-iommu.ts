/**
 * An IOMMU that caches everything it uses, for ever, and drops what an invalidation covers: plain maps and lists, no
 * bounds, no past. What it answers is lawful; where it is told to keep an entry that an invalidation covers, it is not.
 */

import { TraceMemory } from "../../parsers/memory/guest-memory.ts";
import { Devices } from "../../parsers/trace/devices.ts";
import { deviceTag, processTag } from "../../pipeline/caches/held/context-tags.ts";
import { TagSet } from "../../pipeline/caches/held/tag-sets.ts";
import {
  coversContext,
  coversPage,
  coversPasidEntry,
  coversTags,
} from "../../pipeline/caches/invalidations/coverage.ts";
import { type Caching, GLOBAL_SPACE } from "../../walkers/caching.ts";
import { CommandDecoder } from "../../walkers/commands/command.ts";
import { ACCEPTED, CONTEXT_CACHE, type Invalidation, PASID_CACHE } from "../../walkers/invalidation.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { IommuState } from "../../walkers/registers.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { EXECUTE, NO_PASID, READ, WalkRequest, WRITE } from "../../walkers/request.ts";
import { FAULT, MSI, OK, WalkResult } from "../../walkers/result.ts";
import type { IommuWalker } from "../../walkers/walker.ts";

type Json = Record<string, unknown>;

const ACCESS: Record<string, number> = { r: READ, w: WRITE, rw: READ | WRITE, x: EXECUTE };

const word = (text: string) => {
  const value = BigInt(text);
  return { hi: Number(BigInt.asIntN(32, value >> 32n)), lo: Number(BigInt.asIntN(32, value)) };
};

interface CachedContext {
  readonly context: object;
  readonly tag: ReturnType<typeof deviceTag>;
}

interface CachedPage {
  readonly hi: number;
  readonly lo: number;
  readonly kind: number;
  readonly walk: WalkResult;
  /** Entries of each stage that it was made from; of the second, those that have translated the page that the first led to. */
  readonly entries: readonly StageEntry[];
  /** The stage of an invalidation of one stage alone that covers it, and has not dropped it; 0: none. */
  keptFrom: number;
}

interface StageEntry {
  readonly stage: number;
  readonly frame: number;
  readonly offset: number;
  readonly bytes: number;
  readonly littleEndian: boolean;
  /** What it said, as hex. */
  readonly was: string;
}

/** A and D of a page-table entry, which hardware sets (Privileged specification, Sv39). */
const ACCESSED_AND_DIRTY = 0xc0;

/** Line of an invalidation, and which of the pages that it covers is kept all the same. */
export interface Mistake {
  readonly line: number;
  readonly page: number;
}

class Unit {
  readonly #memory: TraceMemory;
  readonly #model: IommuModel;
  /** The last walk was answered from a page kept by mistake, as an IOMMU with a cache of each stage may answer. */
  byOneStage = false;
  readonly caching: Caching;
  readonly walker: IommuWalker;
  readonly state = new IommuState();
  readonly decoder: CommandDecoder;
  readonly devices = new Map<number, CachedContext>();
  readonly processes = new Map<string, CachedContext>();
  readonly pages = new Map<TagSet, CachedPage[]>();
  readonly #sets = new Map<string, TagSet>();

  constructor(model: IommuModel, memory: TraceMemory) {
    this.#memory = memory;
    this.#model = model;
    this.caching = VENDORS[model].caching;
    this.walker = VENDORS[model].walker(memory);
    this.decoder = new CommandDecoder(model);
  }

  configure(regs: Json, props: Json): void {
    for (const [name, value] of Object.entries(regs)) this.state.registers.set(name, word(value as string));
    for (const [name, value] of Object.entries(props)) this.state.props.set(name, value as number);
    this.walker.configure(this.state);
    this.decoder.configure(this.state);
  }

  set(device: object, process: object, pasid: number, global: boolean): TagSet {
    const tag = this.caching.translationTag(device, process, pasid);
    const space = global ? GLOBAL_SPACE : tag.space;
    const key = JSON.stringify([tag, space]);
    const known = this.#sets.get(key);
    if (known !== undefined) return known;
    const made = new TagSet(this.#sets.size + 1, tag, space);
    this.#sets.set(key, made);
    return made;
  }

  walk(request: WalkRequest): WalkResult {
    const { walker } = this;
    this.byOneStage = false;
    const out = new WalkResult();
    out.reset("intel");
    if (!walker.admit(request, out)) return out;
    const device = this.#device(request, out);
    if (device === null || !walker.checkRequest(request, device, out)) return out;
    const process = this.#process(request, device, out);
    if (process === null) return out;
    const kind = request.access | (request.priv ? 8 : 0);
    for (const set of [false, true].map((global) => this.set(device, process, request.pasid, global))) {
      const hi = set.high(request.addrHi);
      const page = this.pages
        .get(set)
        ?.find((p) => p.kind === kind && samePage(p, hi, request.addrLo, p.walk.pageShift));
      if (page === undefined) continue;
      this.byOneStage =
        page.keptFrom !== 0 &&
        page.entries.every((entry) => entry.stage !== page.keptFrom || this.#isAsRead(entry));
      const low = 2 ** Math.min(page.walk.pageShift - 12, 20) - 1;
      const high = page.walk.pageShift > 32 ? 2 ** (page.walk.pageShift - 32) - 1 : 0;
      out.copyFrom(page.walk);
      out.offset = request.addrLo & 0xfff;
      const base = page.walk.frame - (page.walk.frame % 2 ** (page.walk.pageShift - 12));
      out.frame = base + ((request.addrLo >>> 12) & low) + (hi & high) * 2 ** 20;
      return out;
    }
    const entries = this.#noteEntries(() => walker.translate(request, device, process, out));
    if (out.status === OK && out.pageShift !== 0) {
      const set = this.set(device, process, request.pasid, out.global);
      const walk = new WalkResult();
      walk.copyFrom(out);
      const pages = this.pages.get(set) ?? [];
      pages.push({
        hi: set.high(request.addrHi),
        lo: request.addrLo,
        kind,
        walk,
        entries,
        keptFrom: 0,
      });
      this.pages.set(set, pages);
    }
    return out;
  }

  #noteEntries(walk: () => void): StageEntry[] {
    const { tables } = this.walker;
    let entries: StageEntry[] = [];
    tables.observer = {
      entry: ({ bytes }, frame, offset, view, _at, stage, _level, littleEndian) => {
        if (stage === 0 || view === null) return;
        // What the second stage says of the first one's tables does not tell where the page is.
        if (stage === 1) entries = entries.filter((entry) => entry.stage === 1);
        const at = { stage, frame, offset, bytes, littleEndian };
        entries.push({ ...at, was: this.#read(at) });
      },
    };
    walk();
    tables.observer = null;
    return entries;
  }

  #read({ frame, offset, bytes, littleEndian }: Omit<StageEntry, "was">): string {
    const memory = this.#memory;
    if (!memory.fetch(frame, offset, bytes)) return "";
    const { view, at } = memory;
    const entry = Buffer.from(new Uint8Array(view.buffer, view.byteOffset + at, bytes));
    if (!littleEndian) entry.reverse();
    entry[0]! &= ~ACCESSED_AND_DIRTY;
    return entry.toString("hex");
  }

  #isAsRead(entry: StageEntry): boolean {
    return this.#read(entry) === entry.was;
  }

  #device(request: WalkRequest, out: WalkResult): object | null {
    const known = this.devices.get(request.device);
    if (known !== undefined) return known.context;
    const context = this.walker.newDevice();
    if (!this.walker.loadDevice(request, context, out)) return null;
    this.devices.set(request.device, { context, tag: deviceTag(this.caching, request.device, context) });
    return context;
  }

  #process(request: WalkRequest, device: object, out: WalkResult): object | null {
    const key = `${request.device}:${request.pasid}`;
    const known = this.processes.get(key);
    if (known !== undefined) return known.context;
    const context = this.walker.newPasidContext();
    if (!this.walker.loadPasidContext(request, device, context, out)) return null;
    if (this.caching.hasOwnEntry(device, context, request.pasid))
      this.processes.set(key, {
        context,
        tag: processTag(this.caching, request.device, device, context, request.pasid),
      });
    return context;
  }

  /** @returns pages that it covers; `kept` is the number of one that stays, or -1 */
  invalidate(inv: Invalidation, kept: number): number {
    if ((inv.caches & CONTEXT_CACHE) !== 0)
      for (const [key, { tag }] of this.devices) if (coversContext(inv, tag)) this.devices.delete(key);
    if ((inv.caches & PASID_CACHE) !== 0)
      for (const [key, { tag }] of this.processes) if (coversPasidEntry(inv, tag)) this.processes.delete(key);
    let covered = 0;
    for (const [set, pages] of this.pages) {
      if (!coversTags(inv, set)) continue;
      const stay = pages.filter((page) => {
        const { hi, lo, walk } = page;
        if (!coversPage(inv, set, hi, lo, walk.pageShift, walk.firstShift, walk.ipaFrame)) return true;
        if (covered++ !== kept) return false;
        // RISC-V IOMMU 1.0: of a cache for each stage, IOTINVAL.GVMA need not reach the first's (3.1.1, its note). Of
        // IOTINVAL.VMA no such note speaks: but it is of first-stage tables, and what is cached of the second stage has
        // IOTINVAL.GVMA for its command (3.1.1; 2.8, "Identifiers used to tag IOATC entries").
        if (this.#model === "riscv" && walk.ipaFrame >= 0) page.keptFrom = inv.stage;
        return true;
      });
      this.pages.set(set, stay);
    }
    return covered;
  }
}

function samePage(page: CachedPage, hi: number, lo: number, shift: number): boolean {
  const high = shift > 32 ? -(2 ** (shift - 32)) | 0 : -1;
  const low = shift >= 32 ? 0 : (-1 << shift) | 0;
  return ((page.hi ^ hi) & high) === 0 && ((page.lo ^ lo) & low) === 0;
}

export interface Recorded {
  /** The trace with what this IOMMU answers. */
  readonly records: Json[];
  /** Pages that each invalidation, by its index, covers. */
  readonly covered: Map<number, number>;
  /** Requests, by their index, that the page kept by mistake answered as an IOMMU with a cache of each stage may. */
  readonly byOneStage: ReadonlySet<number>;
}

/** Replays a trace's records on IOMMUs that cache, and notes what they answer. */
export function record(trace: readonly Json[], mistake: Mistake = { line: -1, page: -1 }): Recorded {
  const memory = new TraceMemory();
  const devices = new Devices();
  const units = new Map<string, Unit>();
  const covered = new Map<number, number>();
  const byOneStage = new Set<number>();
  const records = trace.map((given, line) => {
    const r = given as Record<string, string> & Json;
    switch (r.type) {
      case "ram": {
        const [addr, size] = [word(r.addr!), word(r.size!)];
        memory.ram(addr.hi, addr.lo, size.hi, size.lo);
        return given;
      }
      case "mem": {
        const { hi, lo } = word(r.addr!);
        memory.write(hi, lo, Buffer.from(r.data!, "hex"));
        return given;
      }
      case "iommu": {
        const unit = units.get(r.id!) ?? new Unit(r.model as IommuModel, memory);
        units.set(r.id!, unit);
        unit.configure((r.regs ?? {}) as unknown as Json, (r.props ?? {}) as unknown as Json);
        return given;
      }
      case "reg":
        units.get(r.iommu!)!.configure({ [r.name!]: r.value! }, {});
        return given;
      case "cmd": {
        const unit = units.get(r.iommu!)!;
        const inv = unit.decoder.invalidation((r.data as unknown as string[]).map(word));
        if (inv !== null && inv.status === ACCEPTED)
          covered.set(line, unit.invalidate(inv, line === mistake.line ? mistake.page : -1));
        return given;
      }
      case "dma": {
        const device = devices.parse(r.dev!);
        if (typeof device === "string") throw new Error(device);
        const request = new WalkRequest();
        const { hi, lo } = word(r.addr!);
        request.device = device.id;
        request.pasid = (r.pasid as unknown as number | undefined) ?? NO_PASID;
        request.addrHi = hi;
        request.addrLo = lo;
        request.access = ACCESS[r.access ?? "r"]!;
        request.priv = (r.priv as unknown as boolean | undefined) ?? false;
        const unit = units.get(r.iommu!)!;
        const walk = unit.walk(request);
        if (unit.byOneStage) byOneStage.add(line);
        return { ...given, len: 1, observed: answerOf(walk) };
      }
      default:
        return given;
    }
  });
  return { records, covered, byOneStage };
}

function answerOf(walk: WalkResult): Json {
  if (walk.status === MSI) return { result: "msi" };
  if (walk.status === FAULT) return { result: "fault", code: `0x${walk.fault!.code.toString(16)}` };
  return { result: "ok", pa: `0x${((BigInt(walk.frame) << 12n) | BigInt(walk.offset)).toString(16)}` };
}
