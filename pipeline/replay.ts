import { GuestMemory } from "../parsers/memory/guest-memory.ts";
import { openSnapshot } from "../parsers/memory/open-snapshot.ts";
import type { ErrorCode, TraceHandler } from "../parsers/trace/reader.ts";
import type { DmaRecord, MemRecord, TraceNames } from "../parsers/trace/records.ts";
import type { PlainRecord, RecordOf } from "../parsers/trace/schema.ts";
import { HOST_MODEL, MODEL_OWNER } from "../walkers/registry.ts";
import { WalkRequest } from "../walkers/request.ts";
import { FAULT } from "../walkers/result.ts";
import type { IommuModel, PasidTableConfig } from "../walkers/walker.ts";
import { ascii, type ByteWriter, jsonBytes } from "./byte-writer.ts";
import { IommuUnit } from "./iommu-unit.ts";
import type { ReplayOptions } from "./options.ts";
import { Outcome } from "./outcome.ts";
import { writeOutcome } from "./outcome-writer.ts";
import { walkRequest } from "./request-walk.ts";
import { selects } from "./selection.ts";
import { type ModelStatistics, Summary } from "./statistics.ts";
import { Comparison } from "./verdict.ts";

/** Where a pair of (IOMMU, device) of `dma` records leads: looked up once per pair, until something is declared. */
interface Route {
  readonly unit: IommuUnit;
  /** The device's identity (all its spellings share it). */
  readonly device: number;
  /** Requester id, StreamID, DeviceID or device_id. */
  readonly id: number;
  readonly binding: WalkRequest["binding"];
  /** The `,"iommu":…,"dev":…` part of the output. */
  readonly names: Uint8Array;
}

/** Ids on the interconnect of each model: a wider one cannot come from a device of it. */
const DEVICE_BITS: Readonly<Record<IommuModel, number>> = { intel: 16, "arm-smmuv3": 32, amd: 16, riscv: 24 };

/** One past the largest low half of an address. */
const LOW_HALVES = 2 ** 32;

/**
 * Replays the records of one trace: keeps what memory, registers and bindings are now, walks every request, and
 * writes the output records. Feed it through `readTrace`, then call `finish`.
 */
export class Replay implements TraceHandler {
  readonly summary = new Summary();
  readonly memory = new GuestMemory();
  readonly #names: TraceNames;
  readonly #out: ByteWriter;
  readonly #options: ReplayOptions;
  readonly #comparison: Comparison;
  readonly #units: IommuUnit[] = [];
  readonly #byId = new Map<string, IommuUnit>();
  /** By IOMMU number + 1, then by device number. */
  #routes: (Route | undefined)[][] = [];
  readonly #request = new WalkRequest();
  readonly #outcome = new Outcome();
  #dmaRecords = 0;
  #memRecords = 0;
  #lastStatistics: ModelStatistics | null = null;
  #lastUnit: IommuUnit | null = null;

  constructor(names: TraceNames, out: ByteWriter, options: ReplayOptions) {
    this.#names = names;
    this.#out = out;
    this.#options = options;
    this.#comparison = new Comparison(names, options.compare, options.paGranularity);
  }

  /** Requests replayed so far. */
  get requests(): number {
    return this.#dmaRecords;
  }

  /** The IOMMUs declared so far, in order of declaration. */
  get units(): readonly IommuUnit[] {
    return this.#units;
  }

  // ── records ──

  dma(line: number, record: DmaRecord): void {
    const summary = this.summary;
    this.#dmaRecords++;
    const route = this.#routes[record.iommu + 1]?.[record.dev] ?? this.#route(line, record);
    if (route === null) return;
    if ((record.addrLo >>> 0) + record.len > LOW_HALVES && record.addrHi === -1) {
      this.error(
        line,
        "range",
        "dma.len: expected a request that ends within 64-bit addresses, found one that wraps",
      );
      return;
    }
    const request = this.#request;
    request.device = route.id;
    request.pasid = record.pasid;
    request.addrHi = record.addrHi;
    request.addrLo = record.addrLo;
    request.access = record.access;
    request.priv = record.priv;
    request.binding = route.binding;
    const outcome = this.#outcome;
    walkRequest(route.unit.engine, request, record.len, outcome);
    if (outcome.hole) this.#reportMemoryError(line);

    if (record.observed.present) {
      outcome.difference = this.#comparison.difference(outcome, record.observed);
      outcome.verdict = outcome.difference === "" ? "match" : "mismatch";
      Summary.count(summary.verdicts, outcome.verdict);
    }
    if (outcome.status === FAULT) summary.faults++;
    let statistics = this.#lastStatistics;
    if (statistics === null || this.#lastUnit !== route.unit || statistics.model !== outcome.model) {
      statistics = route.unit.statistics(outcome.model);
      this.#lastStatistics = statistics;
      this.#lastUnit = route.unit;
    }
    statistics.add(route.device, record.pasid, record.len, outcome);
    if (selects(this.#options.only, outcome)) writeOutcome(this.#out, line, route.names, record, outcome);
  }

  mem(line: number, record: MemRecord): void {
    this.#memRecords++;
    const problem = this.memory.writeHex(
      record.bytes,
      record.start,
      record.end,
      record.addrHi,
      record.addrLo,
    );
    if (problem !== null) this.error(line, problem.code, problem.message);
  }

  record(line: number, record: PlainRecord): void {
    Summary.count(this.summary.records, record.type);
    switch (record.type) {
      case "iommu":
        return this.#declare(line, record);
      case "reg":
        return this.#setRegister(line, record);
      case "ram": {
        const problem = this.memory.ram(record.addr.hi, record.addr.lo, record.size.hi, record.size.lo);
        if (problem !== null) this.error(line, problem.code, problem.message);
        return;
      }
      case "snapshot":
        return this.#loadSnapshot(line, record);
      case "bind":
        return this.#bind(line, record);
      case "unbind":
        return this.#unbind(line, record);
      case "mark":
        return this.#emit({ type: "mark", line, label: record.label });
      default:
        return;
    }
  }

  unknown(_line: number, type: string): void {
    Summary.count(this.summary.unknown, type);
  }

  error(line: number, code: ErrorCode, message: string): void {
    this.summary.errors++;
    this.#emit({ type: "error", line, code, message }, true);
  }

  /** Writes `stats` and `summary`. Nothing may be replayed after it. */
  finish(lines: number): void {
    const summary = this.summary;
    summary.lines = lines;
    if (this.#dmaRecords > 0) summary.records.set("dma", this.#dmaRecords);
    if (this.#memRecords > 0) summary.records.set("mem", this.#memRecords);
    if (!this.#options.stats) return;
    for (const unit of this.#units)
      for (const statistics of unit.allStatistics) this.#emit(statistics.record(), true);
    this.#emit(this.summary.record(), true);
  }

  // ── declarations ──

  #declare(line: number, record: RecordOf<"iommu">): void {
    const known = this.#byId.get(record.id);
    if (known !== undefined && known.model !== record.model) {
      this.error(
        line,
        "schema",
        `iommu.model: expected ${known.model}, as line's earlier declaration of ${JSON.stringify(record.id)} says, found ${record.model}`,
      );
      return;
    }
    const unit = known ?? new IommuUnit(record.id, record.model, this.memory);
    if (known === undefined) {
      this.#units.push(unit);
      this.#byId.set(record.id, unit);
    }
    unit.configure(Object.entries(record.regs ?? {}), Object.entries(record.props ?? {}));
    this.#routes = [];
  }

  #setRegister(line: number, record: RecordOf<"reg">): void {
    const unit = this.#named(line, "reg", record.iommu);
    if (unit === undefined) return;
    unit.configure([[record.name, record.value]], []);
  }

  #bind(line: number, record: RecordOf<"bind">): void {
    const device = record.dev;
    const given = record.config.model;
    let unit: IommuUnit | undefined;
    if (record.iommu !== undefined) unit = this.#named(line, "bind", record.iommu);
    else unit = this.#only() ?? this.#implied(line, given);
    if (unit === undefined) return;
    // The IOMMU walks its own format whatever the configuration claims: nobody in the recorded system looks inside.
    const model = given === "host" || MODEL_OWNER[given] !== unit.model ? HOST_MODEL[unit.model] : given;
    const { base_ptr: base, pasid_bits: pasidBits, stage2, arm, amd, intel, riscv } = record.config;
    const config: PasidTableConfig = {
      model,
      baseHi: base?.hi ?? 0,
      baseLo: base?.lo ?? 0,
      pasidBits,
      arm,
      amd,
      intel,
      riscv,
      stage2: stage2 && { ...stage2, rootHi: stage2.root.hi, rootLo: stage2.root.lo },
    };
    const problem = unit.bind(device.canonical, config);
    if (problem !== undefined) this.error(line, "schema", `bind.config: ${problem}`);
    this.#routes = [];
  }

  #unbind(line: number, record: RecordOf<"unbind">): void {
    const device = record.dev;
    const units = record.iommu === undefined ? this.#units : [this.#named(line, "unbind", record.iommu)];
    let bound = false;
    for (const unit of units) {
      if (unit === undefined) return;
      if (unit.unbind(device.canonical)) bound = true;
    }
    if (!bound)
      this.error(
        line,
        "schema",
        `unbind.dev: expected a device with a binding, found ${JSON.stringify(device.text)}`,
      );
    this.#routes = [];
  }

  #loadSnapshot(line: number, record: RecordOf<"snapshot">): void {
    const opened = openSnapshot(record.path, {
      directory: this.#options.directory,
      allow: this.#options.allowPaths,
      cacheBytes: this.#options.snapshotCacheBytes,
      ...(record.format === undefined ? {} : { format: record.format }),
      ...(record.base === undefined ? {} : { base: record.base }),
    });
    if (!opened.ok) {
      this.error(line, opened.error.code, opened.error.message);
      return;
    }
    this.memory.replace(opened.image);
  }

  // ── lookups ──

  /** The IOMMU of a request, from its own words or because there is no choice; null after an error record. */
  #route(line: number, record: DmaRecord): Route | null {
    const device = this.#names.devices.get(record.dev);
    let unit: IommuUnit | undefined;
    if (record.iommu >= 0) unit = this.#named(line, "dma", this.#names.iommus.text(record.iommu));
    else {
      unit = this.#only() ?? this.#units.find((u) => u.binding(device.canonical) !== null);
      if (unit === undefined)
        this.error(
          line,
          "schema",
          this.#units.length === 0
            ? "dma: expected an iommu or a bind record before the first request, found none"
            : `dma.iommu: expected the id of one of the ${this.#units.length} declared IOMMUs, found none`,
        );
    }
    if (unit === undefined) return null;
    const bits = DEVICE_BITS[unit.model];
    if (device.id >= 2 ** bits) {
      this.error(
        line,
        "range",
        `dma.dev: expected a ${bits}-bit id behind ${unit.model}, found ${JSON.stringify(device.text)}`,
      );
      return null;
    }
    const iommu = unit.id === undefined ? new Uint8Array(0) : concat(ascii(',"iommu":'), jsonBytes(unit.id));
    const route: Route = {
      unit,
      device: device.canonical,
      id: device.id,
      binding: unit.binding(device.canonical),
      names: concat(iommu, ascii(',"dev":'), jsonBytes(device.text)),
    };
    const routes = (this.#routes[record.iommu + 1] ??= []);
    routes[record.dev] = route;
    return route;
  }

  #named(line: number, type: string, id: string): IommuUnit | undefined {
    const unit = this.#byId.get(id);
    if (unit === undefined)
      this.error(
        line,
        "schema",
        `${type}.iommu: expected the id of an iommu record before this line, found ${JSON.stringify(id)}`,
      );
    return unit;
  }

  /** The IOMMU, where there is just one. */
  #only(): IommuUnit | undefined {
    return this.#units.length === 1 ? this.#units[0] : undefined;
  }

  /** The IOMMU that a binding implies where none is declared: one of the table's vendor, with every feature. */
  #implied(line: number, model: RecordOf<"bind">["config"]["model"]): IommuUnit | undefined {
    if (this.#units.length > 0) {
      this.error(
        line,
        "schema",
        `bind.iommu: expected the id of one of the ${this.#units.length} declared IOMMUs, found none`,
      );
      return undefined;
    }
    if (model === "host") {
      this.error(
        line,
        "schema",
        "bind.config.model: host is the format of the IOMMU that the device sits behind; expected an iommu record before this line, found none",
      );
      return undefined;
    }
    const unit = new IommuUnit(undefined, MODEL_OWNER[model], this.memory);
    this.#units.push(unit);
    return unit;
  }

  // ── output ──

  /** A fetch that failed may be a hole, or the snapshot's file that cannot be read any more: say so, once. */
  #reportMemoryError(line: number): void {
    const problem = this.memory.takeError();
    if (problem !== null) this.error(line, problem.code, problem.message);
  }

  #emit(record: object, always = false): void {
    if (always || this.#options.only.marks) this.#out.text(`${JSON.stringify(record)}\n`);
  }
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
