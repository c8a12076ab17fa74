import type { Devices } from "../../parsers/trace/devices.ts";
import { FRAME_SHIFT } from "../../walkers/memory.ts";
import type { AddressSpace } from "../../walkers/page-tables/address-space.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { type Binding, NO_PASID, WalkRequest } from "../../walkers/request.ts";
import { OK, WalkResult } from "../../walkers/result.ts";
import type { Enumeration } from "../../walkers/tables/enumeration.ts";
import { type RootTable, steps, type TableSpec, type TableTree } from "../../walkers/tables/tree.ts";
import { byteAddress, hex } from "../../walkers/word64.ts";
import type { RecordFilter } from "../filter/record-filter.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Budget } from "./budget.ts";
import { ContextScan } from "./context-scan.ts";
import { DeviceNames } from "./devices.ts";
import { END, FAULTY, PAGES, PAUSE, RangeWalk, SPENT } from "./range-walk.ts";
import { ReadTrail, type TableReads } from "./read-trail.ts";
import type { InspectedPasid } from "./records.ts";
import { refusalOf, type SpaceName, tablesOf } from "./report.ts";
import { Reporter } from "./reporter.ts";
import type { InspectionSink } from "./sink.ts";
import { Tally } from "./tally.ts";

/** What to enumerate. */
export interface InspectionOptions {
  /** Only this device. */
  readonly device: number | undefined;
  /** Only this PASID; NO_PASID: only requests without one. */
  readonly pasid: number | undefined;
  /** Give `map` records. */
  readonly maps: boolean;
  /** Give `note` records of entries that are there, and fault. */
  readonly faulty: boolean;
  /** First 4 KiB frame of each address space to look at. */
  readonly from: number;
  /** At most this many ranges of each address space. */
  readonly limit: number;
  /** Which devices, PASIDs, input addresses and faults there are; null: all. */
  readonly filter: RecordFilter | null;
  /** Told which frames are read as tables; null: nobody. */
  readonly tableReads: TableReads | null;
}

/** Ids looked at between two pauses. */
const IDS_AT_ONCE = 1 << 16;

/** Enumerates the devices, PASIDs and mapped ranges of one IOMMU, in the order of their numbers. */
export class UnitInspector {
  readonly tally = new Tally();
  readonly #unit: IommuUnit;
  readonly #tree: TableTree;
  readonly #vendor: Enumeration;
  readonly #names: DeviceNames;
  readonly #options: InspectionOptions;
  readonly #sink: InspectionSink;
  readonly #budget: Budget;
  readonly #trail = new ReadTrail();
  readonly #out = new WalkResult();
  readonly #request = new WalkRequest();
  readonly #device: object;
  readonly #process: object;
  readonly #reporter: Reporter;

  constructor(
    unit: IommuUnit,
    devices: Devices,
    options: InspectionOptions,
    sink: InspectionSink,
    budget: Budget,
  ) {
    this.#unit = unit;
    const vendor = VENDORS[unit.model];
    this.#tree = vendor.tables(unit.walker.tables.memory);
    this.#tree.configure(unit.state);
    this.#vendor = vendor.enumeration(unit.walker);
    this.#names = new DeviceNames(unit.model, devices);
    this.#options = options;
    this.#sink = sink;
    this.#budget = budget;
    this.#device = unit.walker.newDevice();
    this.#process = unit.walker.newPasidContext();
    const { faulty, device, pasid } = options;
    const contexts = faulty || device !== undefined || pasid !== undefined;
    this.#trail.listener = options.tableReads;
    this.#reporter = new Reporter(unit.id, this.#names, sink, this.tally, budget, contexts, faulty);
  }

  /** @param bound devices with a PASID table of their own, by id */
  async run(bound: ReadonlyMap<number, Binding>): Promise<void> {
    const { tables } = this.#unit.walker;
    tables.observer = this.#trail;
    try {
      const translation = this.#translation();
      const root = translation === "enabled" ? this.#tree.roots()[0] : undefined;
      const { id, model } = this.#unit;
      this.#sink.iommu({ type: "iommu", iommu: id, model, translation, table: root && whereIs(root) });
      for (const [device, binding] of bound)
        if (this.#selected(device)) await this.#oneDevice(device, binding);
      if (root !== undefined) await this.#allDevices(root, bound);
      this.#reporter.end();
    } finally {
      tables.observer = null;
    }
  }

  #selected(id: number): boolean {
    const { device, filter } = this.#options;
    if (device !== undefined && device !== id) return false;
    return filter === null || filter.device(this.#names.of(id));
  }

  /** What the registers alone say about a request. */
  #translation(): "enabled" | "passthrough" | "blocked" {
    const request = this.#request;
    request.binding = null;
    request.device = 0;
    request.pasid = NO_PASID;
    this.#out.reset();
    if (this.#unit.walker.admit(request, this.#out)) return "enabled";
    return this.#out.status === OK ? "passthrough" : "blocked";
  }

  async #allDevices({ table }: RootTable, bound: ReadonlyMap<number, Binding>): Promise<void> {
    const vendor = this.#vendor;
    const { kind, limit } = table;
    const reporter = this.#reporter;
    if (this.#options.device !== undefined) {
      if (!bound.has(this.#options.device)) await this.#oneDevice(this.#options.device, null);
      return;
    }
    const load = (id: number) => this.#loadDevice(id, null);
    const absent = (out: WalkResult) => vendor.absent(out);
    const scan = new ContextScan(limit, steps(kind), load, this.#out, this.#trail, this.#budget);
    while (!scan.done) {
      const found = scan.next(IDS_AT_ONCE, absent);
      if (found === null) await this.#sink.pause();
      else if (bound.has(scan.id) || !this.#selected(scan.id)) continue;
      else if (found) {
        if (!vendor.unused(this.#device)) await this.#contextOf(scan.id, null);
      } else if (vendor.blocks(this.#out)) reporter.plainDevice(scan.id, "blocked", -1);
      else if (this.#wantsFault(this.#out)) reporter.badDevice(scan.id, scan.last, this.#out);
    }
    if (scan.position < limit) reporter.effort(this.#names.of(scan.position), undefined);
  }

  /** A device that is asked for by name, or bound: also where it has no context. */
  async #oneDevice(id: number, binding: Binding | null): Promise<void> {
    if (this.#loadDevice(id, binding)) await this.#contextOf(id, binding);
    else this.#reporter.badDevice(id, id, this.#out);
  }

  #loadDevice(id: number, binding: Binding | null): boolean {
    const request = this.#request;
    request.device = id;
    request.binding = binding;
    request.pasid = NO_PASID;
    this.#begin();
    // A fault of `admit` is about the device here: one whose id no table can hold.
    return (
      this.#unit.walker.admit(request, this.#out) &&
      this.#unit.walker.loadDevice(request, this.#device, this.#out)
    );
  }

  /** Loads the PASID entry of the device at hand; where it fails, the result says why. */
  #loadPasidContext(pasid: number): boolean {
    const request = this.#request;
    request.pasid = pasid;
    request.addrHi = 0;
    request.addrLo = 0;
    this.#begin();
    const { walker } = this.#unit;
    // An address may be exempt from translation whatever the context says: that is no refusal.
    if (!walker.checkRequest(request, this.#device, this.#out) && this.#out.status !== OK) return false;
    this.#out.reset();
    return walker.loadPasidContext(request, this.#device, this.#process, this.#out);
  }

  #begin(): void {
    this.#trail.clear();
    this.#out.reset();
    this.#request.addrHi = 0;
    this.#request.addrLo = 0;
  }

  /** The device whose context is loaded. */
  async #contextOf(id: number, binding: Binding | null): Promise<void> {
    const vendor = this.#vendor;
    const table = this.#tree.pasids(this.#device, id);
    const taken = table?.table.kind.ids === "pasid" && vendor.takesPasids(this.#device);
    const pasids = taken ? table.table.limit : 0;
    const dev = this.#names.of(id);
    const name: SpaceName = { iommu: this.#unit.id, dev, pasid: undefined };
    const wanted = this.#options.pasid;
    const loaded = this.#loadPasidContext(NO_PASID);
    const fault = loaded ? undefined : refusalOf(this.#out);
    const space = loaded ? vendor.space(this.#device, this.#process, false) : null;
    // Refused by an entry that was read: not by what the context says of requests without PASID.
    if (!loaded && this.#trail.reads > 0 && !vendor.absent(this.#out))
      this.#reporter.badDevice(id, id, this.#out);
    const plain = pasids === 0 && binding === null && (space === null || space.translation === "passthrough");
    if (plain && this.#options.device === undefined && wanted === undefined) {
      this.#reporter.plainDevice(id, this.#passes(space) ? "passthrough" : "blocked", space?.domain ?? -1);
      return;
    }
    this.#reporter.end();
    this.tally.devices++;
    this.#sink.device({
      type: "device",
      iommu: this.#unit.id,
      dev,
      id,
      bound: binding === null ? undefined : true,
      pasid_table: table === null ? undefined : { ...whereIs(table), pasids },
      default_pasid: table === null ? undefined : vendor.defaultPasid(this.#device),
    });
    const none = wanted === undefined ? this.#wantsPasid(NO_PASID) : wanted === NO_PASID;
    if (none) await this.#space(name, space, fault);
    if (wanted === NO_PASID) return;
    if (wanted === undefined) {
      if (taken) await this.#allPasids(name, table.table);
    } else if (this.#loadPasidContext(wanted))
      await this.#space({ ...name, pasid: wanted }, vendor.space(this.#device, this.#process, true));
    else this.#reporter.badPasid(dev, wanted, wanted, this.#out);
    this.#reporter.end();
  }

  async #allPasids(name: SpaceName, { kind, limit }: TableSpec): Promise<void> {
    const vendor = this.#vendor;
    const scan = new ContextScan(
      limit,
      steps(kind),
      (pasid) => this.#loadPasidContext(pasid),
      this.#out,
      this.#trail,
      this.#budget,
    );
    // A PASID that the context refuses before anything is read has no entry to complain about.
    const absent = (out: WalkResult) => this.#trail.reads === 0 || vendor.absent(out);
    while (!scan.done) {
      const found = scan.next(IDS_AT_ONCE, absent);
      if (found === null) await this.#sink.pause();
      else if (!this.#wantsPasid(scan.id)) continue;
      else if (found)
        await this.#space({ ...name, pasid: scan.id }, vendor.space(this.#device, this.#process, true));
      else if (this.#wantsFault(this.#out)) this.#reporter.badPasid(name.dev, scan.id, scan.last, this.#out);
    }
    this.#reporter.end();
    if (scan.position < limit) this.#reporter.effort(name.dev, scan.position);
  }

  #wantsPasid(pasid: number): boolean {
    const { filter } = this.#options;
    return filter === null || filter.pasid(pasid);
  }

  /** Whether something is to be said of a fault. */
  #wantsFault({ fault, reason }: WalkResult): boolean {
    const { filter } = this.#options;
    if (filter === null || !filter.faultsOnly) return true;
    return filter.fault(fault!.code === 0 ? "" : hex(fault!.code), fault!.name, reason);
  }

  /** The requests of the PASID that is loaded; null: they are refused. */
  async #space(name: SpaceName, space: AddressSpace | null, fault?: InspectedPasid["fault"]): Promise<void> {
    const { tally } = this;
    const translation = space === null ? "blocked" : space.translation;
    const described = {
      type: "pasid" as const,
      ...name,
      translation: translation === "passthrough" && !this.#passes(space) ? ("blocked" as const) : translation,
      domain: space === null || space.domain < 0 ? undefined : space.domain,
      asid: space === null || space.asid < 0 ? undefined : space.asid,
      tables: space === null ? [] : tablesOf(space),
      fault,
    };
    tally.begin();
    this.#reporter.end();
    this.#sink.space(described);
    const complete =
      space === null || space.translation === "passthrough" || (await this.#ranges(name, space));
    const counts = tally.end(complete);
    if (name.pasid !== undefined) tally.pasids++;
    this.#sink.pasid({ ...described, ...counts });
    await this.#sink.pause(false);
  }

  /** @returns whether the enumeration came to the end of the address space */
  async #ranges(name: SpaceName, space: AddressSpace): Promise<boolean> {
    const { maps, limit, filter } = this.#options;
    const sink = this.#sink;
    if (this.#isSatisfied()) return true;
    const wanted = framesOf(filter);
    const walk = this.#walkOf(space, Math.max(this.#options.from, wanted.first));
    for (;;) {
      const kind = walk.next();
      if (kind === END) return true;
      if (kind === PAUSE) await sink.pause();
      else if (kind === SPENT) {
        this.#reporter.effort(name.dev, name.pasid, walk.position);
        return false;
      } else if (walk.frame > wanted.last) return true;
      else if (filter !== null && !filter.frames(walk.frame, walk.frames)) continue;
      else {
        if (this.tally.ranges + this.tally.faulty >= limit) {
          this.#reporter.limit(name, limit, walk.frame);
          return false;
        }
        if (kind === PAGES) {
          this.tally.addPages(walk);
          if (maps && sink.range(walk)) await sink.pause(false);
          if (this.#isSatisfied()) return true;
        } else if (kind === FAULTY && this.#wantsFault(walk.fault)) {
          this.tally.faulty++;
          this.#reporter.badRange(name, walk.fault, walk.frame, walk.frames);
          await sink.pause(false);
        }
      }
    }
  }

  #isSatisfied(): boolean {
    return this.#sink.satisfied === true;
  }

  /** Whether requests of a context without tables reach memory at all. */
  #passes(space: AddressSpace | null): boolean {
    return space !== null && this.#walkOf(space).next() === PAGES;
  }

  #walkOf(space: AddressSpace, from?: number): RangeWalk {
    const { walker } = this.#unit;
    return new RangeWalk(
      walker,
      this.#request,
      this.#device,
      this.#process,
      space,
      this.#trail,
      this.#budget,
      from,
    );
  }
}

/** First and last frame that a filter asks about. */
function framesOf(filter: RecordFilter | null): { readonly first: number; readonly last: number } {
  const ranges = filter?.addresses ?? null;
  if (ranges === null) return { first: 0, last: Number.POSITIVE_INFINITY };
  const frames = ranges.map((range) => range.map((address) => Number(address >> BigInt(FRAME_SHIFT))));
  return {
    first: Math.min(...frames.map(([first]) => first!)),
    last: Math.max(...frames.map(([, last]) => last!)),
  };
}

/** What a table is, and where. */
function whereIs({ table, title }: RootTable): { readonly kind: string; readonly addr: string } {
  return { kind: title, addr: hex(byteAddress(table.frame, table.offset)) };
}
