import type { ErrorCode, TraceHandler } from "../../parsers/trace/reader.ts";
import type { DmaRecord, MemRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord, RecordOf } from "../../parsers/trace/schema.ts";
import { ACCEPTED } from "../../walkers/invalidation.ts";
import { WalkRequest } from "../../walkers/request.ts";
import { FAULT } from "../../walkers/result.ts";
import { type Analyses, type Analysis, analysesOf } from "../findings/analysis.ts";
import { BindingFindings } from "../findings/bind-findings.ts";
import { CacheFindings } from "../findings/cache-findings.ts";
import { FaultPairing } from "../findings/fault-pairing.ts";
import { Findings } from "../findings/findings.ts";
import { LossFindings } from "../findings/loss-findings.ts";
import { MappingFindings } from "../findings/mapping-findings.ts";
import { TableFindings } from "../findings/table-findings.ts";
import { IommuUnit } from "../iommus/iommu-unit.ts";
import { aim, type Problem, type Route } from "../iommus/iommus.ts";
import { Outcome } from "../iommus/outcome.ts";
import { type Walks, walkRequest } from "../iommus/request-walk.ts";
import type { ReplaySink } from "../output/sink.ts";
import { Summary } from "../output/statistics.ts";
import { Comparison } from "../verdicts/comparison.ts";
import { Judge } from "../verdicts/judge.ts";
import { Counters } from "./counters.ts";
import type { ReplayOptions } from "./options.ts";
import { RecordedSystem } from "./recorded-system.ts";
import { UndecidedVerdicts } from "./undecided-verdicts.ts";

/** One past the largest low half of an address. */
const LOW_HALVES = 2 ** 32;

/**
 * Replays the records of one trace: keeps the recorded system as they say, walks and judges every request, and tells a
 * sink what they come to. Feed it from a `RecordSource`, then call `finish`.
 */
export class Replay implements TraceHandler {
  readonly summary = new Summary();
  readonly system: RecordedSystem;
  readonly #sink: ReplaySink;
  readonly #options: ReplayOptions;
  readonly #judge: Judge;
  readonly #undecided: UndecidedVerdicts;
  readonly #counters: Counters;
  readonly #analyses: Analyses;
  readonly #request = new WalkRequest();
  readonly #outcome = new Outcome();

  constructor(names: TraceNames, sink: ReplaySink, options: ReplayOptions) {
    this.system = new RecordedSystem(names, options);
    this.#sink = sink;
    this.#options = options;
    this.#judge = new Judge(new Comparison(names, options.compare, options.paGranularity));
    this.#undecided = new UndecidedVerdicts(this.summary, sink);
    this.#counters = new Counters(this.summary);
    const findings = options.findings ? this.#findings(names) : [];
    this.#analyses = analysesOf([...findings, this.#counters]);
  }

  #findings(names: TraceNames): Analysis[] {
    const { memory, past, iommus } = this.system;
    const findings = new Findings(this.summary, (finding) => this.#sink.record(finding));
    return [
      new TableFindings(findings, names, memory, () => iommus.units),
      new BindingFindings(findings, memory),
      new FaultPairing(names, findings),
      new CacheFindings(findings, iommus, past),
      new MappingFindings(names, findings),
      new LossFindings(findings),
    ];
  }

  dma(line: number, record: DmaRecord): void {
    this.walk(line, record, null);
  }

  /** Replays a request. @param walks what to walk it by; null: by the engine of its IOMMU */
  walk(line: number, record: DmaRecord, walks: Walks | null): void {
    this.summary.requests++;
    for (const analysis of this.#analyses.before) analysis.before();
    this.system.past.tick(line);
    const route = this.system.iommus.route(record);
    if ("code" in route) {
      this.#fail(line, route);
      return;
    }
    if (record.addrHi === -1 && (record.addrLo >>> 0) + record.len > LOW_HALVES) {
      this.error(
        line,
        "range",
        "dma.len: expected a request that ends below 2^64, found one that wraps around",
      );
      return;
    }
    const { unit } = route;
    const { caches } = unit;
    const request = this.#request;
    aim(request, route, record);
    const outcome = this.#outcome;
    const mayDiffer = walkRequest(
      walks ?? unit.engine,
      request,
      record.len,
      outcome,
      caches,
      this.system.past.time,
    );
    // A fetch that failed may be a hole, or a snapshot's file that cannot be read any more: the latter is said once.
    if (outcome.status === FAULT && outcome.hole) this.#fail(line, this.system.memory.takeError());
    this.#judge.judge(record, request, outcome, caches, mayDiffer);
    this.#analyse(line, route, record, outcome);
    this.#tell(line, route, record, outcome);
  }

  #analyse(line: number, route: Route, record: DmaRecord, outcome: Outcome): void {
    const { staleSource } = this.#judge;
    const { caches } = route.unit;
    const analyses = this.#analyses;
    if (staleSource !== null && !staleSource.invalidationPending && isStale(outcome))
      for (const analysis of analyses.stale) analysis.stale(line, route, record, this.#request, staleSource);
    if (caches !== null && caches.staleInDevice !== null) {
      for (const analysis of analyses.staleDevice)
        analysis.staleDevice(line, route, record, this.#request, caches.staleInDevice);
      caches.staleInDevice = null;
    }
    if (outcome.status === FAULT)
      for (const analysis of analyses.faulted) analysis.faulted(line, route, record, outcome);
    for (const analysis of analyses.request) analysis.request(line, route, record, outcome, staleSource);
  }

  #tell(line: number, { unit, names }: Route, record: DmaRecord, outcome: Outcome): void {
    const undecided = this.#undecided;
    if (undecided.concerns(unit, outcome)) {
      undecided.add(unit);
      this.#sink.undecided(unit, line, names, record, outcome);
    } else this.#sink.outcome(line, names, record, outcome);
    if (undecided.waiting) undecided.hold(Math.max(outcome.runs, 1));
  }

  mem(line: number, record: MemRecord): void {
    this.summary.writes++;
    this.system.past.tick(line);
    const { addrHi, addrLo } = record;
    const bytes = (record.end - record.start) >>> 1;
    for (const analysis of this.#analyses.writing) analysis.writing(addrHi, addrLo, bytes);
    this.#fail(line, this.system.write(record));
    for (const analysis of this.#analyses.written) analysis.written(line);
  }

  record(line: number, record: PlainRecord): void {
    Summary.count(this.summary.records, record.type);
    this.system.past.tick(line);
    switch (record.type) {
      case "iommu":
        this.#configure(line, record, record.id);
        break;
      case "reg":
        this.#configure(line, record, record.iommu);
        break;
      case "bind":
        this.#bind(line, record);
        break;
      case "unbind":
        this.#unbind(line, record);
        break;
      case "snapshot":
        for (const analysis of this.#analyses.replacing) analysis.replacing();
        this.#fail(line, this.system.take(record));
        for (const analysis of this.#analyses.replaced) analysis.replaced(line);
        break;
      case "cmd":
        for (const analysis of this.#analyses.before) analysis.before();
        this.#fail(line, this.#command(line, record));
        break;
      case "inv":
        for (const analysis of this.#analyses.before) analysis.before();
        this.#fail(line, this.#invalidate(line, record));
        break;
      case "fault":
        for (const analysis of this.#analyses.before) analysis.before();
        this.#fail(line, this.#logged(line, record));
        break;
      case "map":
        for (const analysis of this.#analyses.mapped) analysis.mapped(line, record);
        break;
      case "unmap":
        for (const analysis of this.#analyses.unmapped) analysis.unmapped(line, record);
        break;
      case "loss":
        for (const analysis of this.#analyses.lost) analysis.lost(line, record);
        break;
      case "mark":
        this.#sink.record({ type: "mark", line, label: record.label });
        break;
      default:
        this.#fail(line, this.system.take(record));
    }
  }

  unknown(_line: number, type: string): void {
    this.summary.countUnknown(type);
  }

  error(line: number, code: ErrorCode, message: string): void {
    this.summary.errors++;
    this.#sink.record({ type: "error", line, code, message });
    if (this.#undecided.waiting) this.#undecided.hold(1);
  }

  /**
   * Says what there is to say at the end, `stats` and `summary` last. Nothing may be replayed after it.
   * @param lines lines of the whole input
   */
  finish(lines: number): void {
    this.#undecided.finish();
    for (const analysis of this.#analyses.finish) analysis.finish(lines);
    const { iommus } = this.system;
    this.summary.finish(lines, iommus.forgotten);
    if (this.#options.stats) this.#counters.report(this.#sink, iommus.units, this.#options.trace);
  }

  close(): void {
    this.system.close();
  }

  #configure(line: number, record: RecordOf<"iommu"> | RecordOf<"reg">, id: string): void {
    this.#fail(line, this.system.take(record));
    const unit = this.system.iommus.named(record.type, id);
    if (unit instanceof IommuUnit)
      for (const analysis of this.#analyses.configured) analysis.configured(line, unit);
  }

  #bind(line: number, record: RecordOf<"bind">): void {
    const { iommus } = this.system;
    const problem = this.system.take(record);
    // Without a name it is the only one, and where there are several nothing was bound.
    const one = record.iommu !== undefined || iommus.units.length === 1;
    const unit = one ? iommus.of("bind", record.iommu, record.dev.canonical) : undefined;
    if (unit instanceof IommuUnit)
      for (const analysis of this.#analyses.bound) analysis.bound(line, unit, record);
    this.#fail(line, problem);
    for (const analysis of this.#analyses.rebound) analysis.rebound(line, record.dev.canonical);
  }

  #unbind(line: number, record: RecordOf<"unbind">): void {
    const { iommus } = this.system;
    const device = record.dev.canonical;
    this.#fail(line, this.system.take(record));
    const units = record.iommu === undefined ? iommus.units : [iommus.named("unbind", record.iommu)];
    for (const unit of units)
      if (unit instanceof IommuUnit)
        for (const analysis of this.#analyses.unbound) analysis.unbound(unit, device);
    for (const analysis of this.#analyses.rebound) analysis.rebound(line, device);
  }

  /** A native command: what it invalidates takes effect at the next completion. */
  #command(line: number, record: RecordOf<"cmd">): Problem | null {
    const unit = this.system.iommus.named("cmd", record.iommu);
    if (!(unit instanceof IommuUnit)) return unit;
    const { caches, commands } = unit;
    const invalidation = commands.invalidation(record.data);
    for (const analysis of this.#analyses.command) analysis.command(line, unit, record);
    if (caches === null) return null;
    if (invalidation !== null && commands.spec !== null) caches.count(commands.spec.name);
    if (commands.completion) {
      if (caches.undecided) this.#undecided.decide(unit, true);
      caches.complete();
    } else if (invalidation !== null && invalidation.status === ACCEPTED)
      caches.invalidate(invalidation, this.system.past.time);
    else return null;
    this.#invalidated(line, unit);
    return null;
  }

  #invalidate(line: number, record: RecordOf<"inv">): Problem | null {
    const given = this.system.invalidation(record);
    if ("code" in given) return given;
    for (const unit of given.units) {
      // The neutral form has no completion of its own: it says what has happened.
      unit.caches?.invalidated(given.invalidation, this.system.past.time);
      unit.caches?.count(`inv ${record.cache} ${record.granularity}`);
      this.#invalidated(line, unit);
    }
    return null;
  }

  #invalidated(line: number, unit: IommuUnit): void {
    for (const analysis of this.#analyses.invalidated) analysis.invalidated(line, unit);
  }

  /** A fault that the recorded system logged on its own. */
  #logged(line: number, record: RecordOf<"fault">): Problem | null {
    const unit = this.system.logger(record);
    if (!(unit instanceof IommuUnit)) return unit;
    for (const analysis of this.#analyses.logged) analysis.logged(line, record, unit);
    return null;
  }

  #fail(line: number, problem: Problem | null): void {
    if (problem !== null) this.error(line, problem.code, problem.message);
  }
}

/** Whether an old answer was given, or could have been, that an invalidation should have made impossible. */
function isStale({ verdict }: Outcome): boolean {
  return verdict === "stale" || verdict === "hazard";
}
