import type { Layout } from "../../walkers/layout.ts";
import { FRAME_BYTES, FRAME_SHIFT, frameHi, frameLo } from "../../walkers/memory.ts";
import type { AddressSpace, Region, StageTables } from "../../walkers/page-tables/address-space.ts";
import { entryShift } from "../../walkers/page-tables/geometry.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { EXECUTE, NO_PASID, READ, WalkRequest, WRITE } from "../../walkers/request.ts";
import { FAULT, NO_LEVEL, OK, WalkResult } from "../../walkers/result.ts";
import type { Enumeration } from "../../walkers/tables/enumeration.ts";
import { steps, type TableSpec, type TableTree } from "../../walkers/tables/tree.ts";
import { Budget } from "../inspect/budget.ts";
import { ContextScan } from "../inspect/context-scan.ts";
import { ReadTrail } from "../inspect/read-trail.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";

/** Where a page of page tables was found: walks of these addresses come by it. */
export interface TablePlace {
  readonly device: number;
  readonly pasid: number;
  /** First 4 KiB frame of the input addresses that its table translates, and log2 of the bytes that an entry stands for. */
  readonly from: number;
  readonly shift: number;
  /** Frames that all of its entries stand for. */
  readonly span: number;
  /** log2 of the bytes of its table. */
  readonly table: number;
}

/** A 4 KiB frame that holds tables. */
export interface TablePage {
  readonly frame: number;
  /** Its entries may lead to further tables: not the last level of page tables. */
  readonly leads: boolean;
  /** null: a context or PASID structure, or a table of a second stage below a first. */
  readonly place: TablePlace | null;
  /** The device whose context was looked up. */
  readonly device: number;
}

/** Ids looked at in one go, and walks in all: tables that lead back into themselves are endless. */
const IDS_AT_ONCE = 1 << 20;
const MAX_WALKS = 1 << 24;
const ACCESSES = [READ, WRITE, EXECUTE];

/**
 * Finds every page that the tables of an IOMMU lie in, by walking: there is no second reader of tables here. It visits
 * each entry that may lead to a table, and of the last level one for each table.
 */
export class TableCrawl {
  /** The budget was spent before all was visited. */
  spent = false;
  readonly #unit: IommuUnit;
  readonly #found: (page: TablePage) => void;
  readonly #tree: TableTree;
  readonly #vendor: Enumeration;
  readonly #trail: TableTrail;
  readonly #budget = new Budget(MAX_WALKS);
  readonly #out = new WalkResult();
  readonly #request = new WalkRequest();
  readonly #device: object;
  readonly #process: object;
  /** Page tables that have been visited. */
  readonly #visited = new Set<string>();

  constructor(unit: IommuUnit, found: (page: TablePage) => void) {
    this.#unit = unit;
    this.#found = found;
    const vendor = VENDORS[unit.model];
    this.#tree = vendor.tables(unit.walker.tables.memory);
    this.#tree.configure(unit.state);
    this.#vendor = vendor.enumeration(unit.walker);
    this.#device = unit.walker.newDevice();
    this.#process = unit.walker.newPasidContext();
    this.#request.binding = null;
    this.#trail = new TableTrail((frame, offset, bytes) => this.#structure(frame, offset, bytes));
  }

  /** All tables, from the registers on. */
  run(): void {
    this.#observed(() => {
      const root = this.#enabled() ? this.#tree.roots()[0] : undefined;
      if (root !== undefined) this.#allDevices(root.table);
      this.spent = this.#budget.left <= 0;
    });
  }

  /** The tables of some devices: ids from `first` to `last`. */
  devices(first: number, last: number): void {
    this.#observed(() => {
      for (let id = first; id <= last && this.#budget.left > 0; id++)
        if (this.#loadDevice(id) && !this.#vendor.unused(this.#device)) this.#contexts(id);
    });
  }

  /** The tables below one entry of a page of page tables. @param index of the entry in its table */
  below({ device, pasid, from, shift, span }: TablePlace, index: number): void {
    this.#observed(() => {
      if (!this.#loadDevice(device) || !this.#loadPasidContext(pasid)) return;
      const space = this.#vendor.space(this.#device, this.#process, pasid !== NO_PASID);
      for (const region of space.regions) {
        // A root may be that of several regions: the halves of a signed address space.
        const start = span >= region.to - region.from ? region.from - (region.from % span) : from;
        const first = start + index * 2 ** (shift - FRAME_SHIFT);
        const last = first + 2 ** Math.max(0, shift - FRAME_SHIFT);
        if (first < region.to && last > region.from)
          this.#addresses(space, region, Math.max(first, region.from), Math.min(last, region.to));
      }
    });
  }

  #observed(look: () => void): void {
    const { tables } = this.#unit.walker;
    tables.observer = this.#trail;
    try {
      look();
    } finally {
      tables.observer = null;
    }
  }

  #enabled(): boolean {
    this.#request.device = 0;
    this.#request.pasid = NO_PASID;
    this.#begin();
    return this.#unit.walker.admit(this.#request, this.#out);
  }

  #allDevices({ kind, limit }: TableSpec): void {
    const load = (id: number) => this.#loadDevice(id);
    const absent = (out: WalkResult) => this.#vendor.absent(out);
    const scan = new ContextScan(limit, steps(kind), load, this.#out, this.#trail, this.#budget);
    while (!scan.done)
      if (scan.next(IDS_AT_ONCE, absent) === true && !this.#vendor.unused(this.#device))
        this.#contexts(scan.id);
  }

  /** The device whose context is loaded. */
  #contexts(id: number): void {
    const table = this.#tree.pasids(this.#device, id);
    if (this.#loadPasidContext(NO_PASID)) this.#space(NO_PASID);
    if (table?.table.kind.ids !== "pasid" || !this.#vendor.takesPasids(this.#device)) return;
    const { kind, limit } = table.table;
    const load = (pasid: number) => this.#loadPasidContext(pasid);
    const absent = (out: WalkResult) => this.#trail.reads === 0 || this.#vendor.absent(out);
    const scan = new ContextScan(limit, steps(kind), load, this.#out, this.#trail, this.#budget);
    while (!scan.done) if (scan.next(IDS_AT_ONCE, absent) === true) this.#space(scan.id);
  }

  #loadDevice(id: number): boolean {
    this.#request.device = id;
    this.#request.pasid = NO_PASID;
    this.#begin();
    const { walker } = this.#unit;
    return (
      walker.admit(this.#request, this.#out) && walker.loadDevice(this.#request, this.#device, this.#out)
    );
  }

  #loadPasidContext(pasid: number): boolean {
    this.#request.pasid = pasid;
    this.#begin();
    const { walker } = this.#unit;
    if (!walker.checkRequest(this.#request, this.#device, this.#out) && this.#out.status !== OK) return false;
    this.#out.reset();
    return walker.loadPasidContext(this.#request, this.#device, this.#process, this.#out);
  }

  #begin(): void {
    this.#trail.clear();
    this.#out.reset();
    this.#request.addrHi = 0;
    this.#request.addrLo = 0;
  }

  #space(pasid: number): void {
    const space = this.#vendor.space(this.#device, this.#process, pasid !== NO_PASID);
    if (space.translation === "passthrough") return;
    for (const region of space.regions) {
      const key = [region.first, region.second].map(keyOf).join() + region.from;
      if (this.#visited.has(key)) continue;
      this.#visited.add(key);
      this.#addresses(space, region, region.from, region.to);
    }
  }

  /** Visits the tables of a stretch of input addresses. */
  #addresses(space: AddressSpace, region: Region, from: number, to: number): void {
    for (let cursor = from; cursor < to && this.#budget.left > 0; ) {
      const step = this.#look(cursor, region);
      if (step > 0) cursor += rest(cursor, step);
      // No table was read: an address that is special, whatever the tables say.
      else cursor = Math.min(to, space.boundaries.find((boundary) => boundary > cursor) ?? to);
    }
  }

  /** Walks an address with every kind of request until one is not denied. @returns log2 of the bytes seen, 0: no table */
  #look(frame: number, region: Region): number {
    const request = this.#request;
    request.addrHi = frameHi(frame);
    request.addrLo = frameLo(frame);
    let step = 0;
    for (const priv of [false, true])
      for (const access of ACCESSES) {
        request.priv = priv;
        request.access = access;
        const shift = this.#walk(frame, region);
        if (shift > 0) step = step === 0 ? shift : Math.min(step, shift);
        const out = this.#out;
        if (out.status !== FAULT || out.reason !== "PERMISSION") return step;
      }
    return step;
  }

  #walk(frame: number, region: Region): number {
    const { walker } = this.#unit;
    const out = this.#out;
    const trail = this.#trail;
    this.#budget.left--;
    trail.clear();
    out.reset();
    if (walker.admit(this.#request, out) && walker.checkRequest(this.#request, this.#device, out))
      walker.translate(this.#request, this.#device, this.#process, out);
    const { first, second } = region;
    const nested = first !== null && second !== null;
    for (const entry of trail.entries) {
      const tables = entry.stage === 1 ? first : second;
      if (tables !== null) this.#table(entry, tables, nested ? -1 : frame);
    }
    if (nested) return nestedStep(trail, first, second, out.status === OK);
    const tables = first ?? second;
    const level = first === null ? trail.secondLevel : trail.firstLevel;
    if (tables === null || level === NO_LEVEL) return 0;
    const { geometry } = tables;
    // All entries of a table of the last level stand for pages.
    return entryShift(geometry, level) + (level === geometry.last ? geometry.bits : 0);
  }

  /** A table of page tables has been read. @param frame the input address; -1: several may come by */
  #table(entry: TrailEntry, { geometry }: StageTables, frame: number): void {
    const { device, pasid } = this.#request;
    const bytes = 2 ** geometry.pageShift;
    const shift = entryShift(geometry, entry.level);
    const span = 2 ** (shift + geometry.bits - FRAME_SHIFT);
    // Tables smaller than a page (of which roots may be) have no page of their own.
    const count = Math.max(1, bytes / FRAME_BYTES);
    const start = entry.frame - (entry.frame % count);
    const from = frame < 0 ? 0 : frame - (frame % span);
    const place =
      frame < 0
        ? null
        : {
            device,
            pasid,
            from,
            shift,
            span,
            table: geometry.pageShift,
          };
    for (let i = 0; i < count; i++)
      this.#found({ frame: start + i, leads: entry.level !== geometry.last, place, device });
  }

  #structure(frame: number, offset: number, bytes: number): void {
    for (let f = frame; f <= frame + Math.floor((offset + bytes - 1) / FRAME_BYTES); f++)
      this.#found({ frame: f, leads: true, place: null, device: this.#request.device });
  }
}

interface TrailEntry {
  readonly frame: number;
  readonly stage: number;
  readonly level: number;
}

/** Also which page-table entries a walk has read, and in which structures it has looked. */
class TableTrail extends ReadTrail {
  entries: TrailEntry[] = [];
  readonly #structure: (frame: number, offset: number, bytes: number) => void;

  constructor(structure: (frame: number, offset: number, bytes: number) => void) {
    super();
    this.#structure = structure;
  }

  override clear(): void {
    super.clear();
    this.entries = [];
  }

  override entry(
    layout: Layout,
    frame: number,
    offset: number,
    view: DataView | null,
    at: number,
    stage: number,
    level: number,
  ): void {
    super.entry(layout, frame, offset, view, at, stage, level);
    if (stage === 0) this.#structure(frame, offset, layout.bytes);
    else this.entries.push({ frame, stage, level });
  }
}

/** Every page of a first stage is looked at, since each goes through a second. */
function nestedStep(trail: ReadTrail, first: StageTables, second: StageTables, ok: boolean): number {
  if (trail.firstLevel === NO_LEVEL) return trail.reads === 0 ? 0 : FRAME_SHIFT;
  const shift = entryShift(first.geometry, trail.firstLevel);
  return ok && trail.secondLevel !== NO_LEVEL
    ? Math.min(shift, entryShift(second.geometry, trail.secondLevel))
    : shift;
}

function keyOf(tables: StageTables | null): string {
  return tables === null ? "-" : `${tables.format}/${tables.frame}/${tables.offset}/${tables.levels}`;
}

/** Frames from this one to the end of the aligned block of 2^shift bytes around it. */
function rest(frame: number, shift: number): number {
  if (shift <= FRAME_SHIFT) return 1;
  const size = 2 ** (shift - FRAME_SHIFT);
  return size - (frame % size);
}
