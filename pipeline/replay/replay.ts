import type { ErrorCode, TraceHandler } from "../../parsers/trace/reader.ts";
import type { DmaRecord, MemRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord } from "../../parsers/trace/schema.ts";
import { printableLine } from "../../parsers/trace/show.ts";
import { WalkRequest } from "../../walkers/request.ts";
import { FAULT, OK } from "../../walkers/result.ts";
import { type StaleSource, sameProblem } from "../caches/history/stale-source.ts";
import type { UnitCaches } from "../caches/unit-caches.ts";
import { FilteredSink } from "../filter/filtered-sink.ts";
import { type Analyses, type Analysis, analysesOf, type Showing } from "../findings/analysis.ts";
import { BindingFindings } from "../findings/bind-findings.ts";
import { CacheFindings } from "../findings/cache-findings.ts";
import { DeviceTlbOrder } from "../findings/device-tlb-order.ts";
import { FaultPairing } from "../findings/fault-pairing.ts";

import { Findings } from "../findings/findings.ts";
import { LossFindings } from "../findings/loss-findings.ts";
import { MappingFindings } from "../findings/mapping-findings.ts";
import { NameFindings } from "../findings/name-findings.ts";
import { narrowed } from "../findings/narrowed.ts";
import { OwedInvalidations } from "../findings/owed-invalidations.ts";
import { PageReuse } from "../findings/page-reuse.ts";
import { RecordedFaults } from "../findings/recorded-faults.ts";
import { RemadeEntries } from "../findings/remade-entries.ts";
import { TableFindings } from "../findings/table-findings.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import { aim, type Problem, type Route } from "../iommus/iommus.ts";
import { Outcome } from "../iommus/outcome.ts";
import { type Walks, walkRequest } from "../iommus/request-walk.ts";
import type { ReplaySink } from "../output/sink.ts";
import { Summary } from "../output/statistics.ts";
import { Comparison } from "../verdicts/comparison.ts";
import { Judge } from "../verdicts/judge.ts";
import { OtherReading } from "../verdicts/other-reading.ts";
import type { BatchReplay, MemoOwner } from "./batch/batch-replay.ts";
import { Counters } from "./counters.ts";
import { Memo } from "./memo/memo.ts";
import type { ReplayOptions } from "./options.ts";
import { RecordedSystem } from "./recorded-system.ts";
import { RequestEffort } from "./request-effort.ts";
import { StrangeNames } from "./strange-names.ts";
import { SystemChanges } from "./system-changes.ts";
import { UndecidedVerdicts } from "./undecided-verdicts.ts";

/** One past the largest low half of an address. */
const LOW_HALVES = 2 ** 32;

/**
 * Replays the records of one trace: keeps the recorded system as they say, walks and judges every request, and tells a
 * sink what they come to. Feed it from a `RecordSource`, then call `finish`.
 */
export class Replay implements TraceHandler, MemoOwner {
  readonly summary = new Summary();
  readonly system: RecordedSystem;
  readonly #sink: ReplaySink;
  readonly #options: ReplayOptions;
  readonly #judge: Judge;
  readonly #other = new OtherReading();
  readonly #strangeNames: StrangeNames;
  readonly #undecided: UndecidedVerdicts;
  readonly #counters: Counters;
  readonly #analyses: Analyses;
  readonly #changes: SystemChanges;
  readonly #request = new WalkRequest();
  readonly #outcome = new Outcome();
  /** As another reading of the specification has it. */
  readonly #otherwise = new Outcome();
  readonly #comparison: Comparison;
  readonly #walks = new RequestEffort("of all requests, 2^21 pages are walked", 1 << 8, 1 << 21);
  readonly #questions = new RequestEffort(
    "of all requests, 2^20 walks look for a cached answer",
    1 << 11,
    1 << 20,
  );
  /** What requests came to; null: each is walked. */
  readonly #memo: Memo | null;
  /** A record other than a request has come since something was last asked for what is due before one that uses tables. */
  #due = true;
  readonly batches: BatchReplay | null;
  /** Of memory, when the memo was last told that something has happened. */
  #generation = 0;

  /**
   * @param watching makes further ones who look on, and are told last
   * @param batches answers requests of a text many at once; null: each is told of by itself
   */
  constructor(
    names: TraceNames,
    sink: ReplaySink,
    options: ReplayOptions,
    watching: (system: RecordedSystem) => readonly Analysis[] = () => [],
    batches: BatchReplay | null = null,
  ) {
    this.system = new RecordedSystem(names, options);
    this.#strangeNames = new StrangeNames(options.strict, names, this.system.iommus);
    const { filter } = options;
    this.#sink = filter === null ? sink : new FilteredSink(sink, filter);
    this.#options = options;
    const { compare, paGranularity, codeAliases } = options;
    this.#comparison = new Comparison(names, compare, paGranularity, codeAliases);
    this.#judge = new Judge(this.#comparison);
    this.#undecided = new UndecidedVerdicts(this.summary, this.#sink);
    const counters = new Counters(this.summary);
    this.#counters = counters;
    const onlookers = watching(this.system);
    // What a filter leaves out is counted one by one, and who wants to be told of requests is told of each.
    const fast = options.fast && filter === null && onlookers.every(({ request }) => request === undefined);
    this.batches = batches;
    if (batches !== null) {
      batches.owner = this;
      this.summary.batched = 0;
    }
    this.#memo = fast
      ? new Memo(
          ({ unit, outcome }, requests, matches, bytes) =>
            counters.alike(unit, outcome, requests, matches, bytes),
          batches?.machine.buffer ?? null,
        )
      : null;
    const findings = options.findings ? this.#findings(names) : [];
    this.#analyses = analysesOf([...findings, this.#counted(), ...onlookers]);
    this.#changes = new SystemChanges(this.system, this.#analyses, this.#undecided, (line, problem) =>
      this.#fail(line, problem),
    );
  }

  /** The counters, told of what is asked for. */
  #counted(): Analysis {
    const { filter } = this.#options;
    if (filter === null) return this.#counters;
    return narrowed(this.#counters, (line, { names }, record, outcome) =>
      filter.outcome(line, names, record, outcome),
    );
  }

  #findings(names: TraceNames): Analysis[] {
    const { memory, past, iommus } = this.system;
    const { filter } = this.#options;
    const findings = new Findings(this.summary, (finding) => this.#sink.record(finding), filter);
    /** What finds something wrong with a request itself. */
    const ofRequests = (analysis: Analysis) =>
      filter === null
        ? analysis
        : narrowed(analysis, (line, route, record) => filter.request(line, route.names, record));
    const owed = new OwedInvalidations(names, findings, past);
    return [
      new TableFindings(findings, names, memory, past, () => iommus.units, this.#options.memoryLimit),
      new BindingFindings(findings, memory),
      new FaultPairing(names, findings, owed, this.#options.codeAliases),
      ofRequests(owed),
      new PageReuse(iommus, owed, memory, past),
      new DeviceTlbOrder(names, findings, past),
      new RemadeEntries(findings, iommus, owed, past),
      ofRequests(new CacheFindings(findings, iommus, past)),
      ofRequests(new RecordedFaults(findings)),
      new MappingFindings(names, findings, this.#options.memoryLimit),
      new LossFindings(findings),
      new NameFindings(this.#strangeNames.counted, findings),
    ];
  }

  dma(line: number, record: DmaRecord): void {
    if (this.#due) this.#before();
    const memo = this.#memo;
    if (memo === null || !memo.find(record) || !this.#recall(line, record, memo))
      this.walk(line, record, null);
  }

  get isDue(): boolean {
    return this.#due || this.#memo === null;
  }

  answered(requests: number, line: number): void {
    this.summary.requests += requests;
    this.summary.batched += requests;
    this.system.past.skip(requests, line);
  }

  /** What is due before a record that uses tables. */
  #before(): void {
    for (const analysis of this.#analyses.before) analysis.before();
    if (!this.#due) return;
    this.#due = false;
    const { faulted, heedful } = this.#analyses;
    this.isCalm = faulted.length === heedful.length && !heedful.some((analysis) => analysis.heedful());
  }

  /**
   * Replays a request by what one like it has come to.
   * @returns false where something else was observed
   */
  #recall(line: number, record: DmaRecord, memo: Memo): boolean {
    const { outcome } = memo.answerTo(record);
    const { observed } = record;
    if (observed.present && this.#comparison.difference(outcome, observed) !== "") return false;
    const route = this.system.iommus.route(record) as Route;
    outcome.verdict = observed.present ? "match" : "";
    this.summary.requests++;
    this.system.past.tick(line);
    memo.count(record, observed.present);
    if (outcome.status === FAULT) {
      if (observed.present) memo.observed(record);
      for (const analysis of this.#analyses.faulted) analysis.faulted(line, route, record, outcome);
    }
    this.#sink.outcome(line, route.names, record, outcome);
    return true;
  }

  /** A request has been answered by a tail of the memo, with a fault. @param record its names, address, access, `seq` and observed result */
  faulted(line: number, record: DmaRecord, tail: number): void {
    const { outcome } = this.#memo!.tail(tail);
    outcome.verdict = record.observed.present ? "match" : "";
    const route = this.system.iommus.route(record) as Route;
    for (const analysis of this.#analyses.faulted) analysis.faulted(line, route, record, outcome);
  }

  /** Nothing will be said of faults that are like earlier ones. */
  isCalm = false;

  /** After a request was walked: whether it may be the answer to others. */
  #learn(record: DmaRecord, route: Route, outcome: Outcome, doubt: boolean): void {
    const memo = this.#memo;
    if (memo === null) return;
    const { unit } = route;
    const { caches, engine } = unit;
    const { time, generation } = this.system.past;
    const another = generation !== this.#generation || this.#undecided.waiting;
    if (another || (caches !== null && (caches.lastEvent === time || caches.isFull))) {
      this.#generation = generation;
      memo.happened();
      return;
    }
    if (!memo.isWorthIt()) return;
    const { verdict, status, hole, hasFaultAddr, disputed, sharesEntry } = outcome;
    const plain =
      !disputed && !sharesEntry && (status === OK || (status === FAULT && !hole && !hasFaultAddr));
    if (doubt || !plain || (verdict !== "" && verdict !== "match") || engine.process === null) return;
    if (this.#analyses.attentive.some((analysis) => analysis.attentive(unit))) return;
    const pair = caches?.settledPair(this.#request) ?? null;
    if (caches !== null && pair === null) return;
    const { reads } = engine.process;
    const uniform = pair !== null && caches!.isUniform(pair);
    const single = unit.vendor.caching.repeatedLeaf === undefined;
    memo.learn(
      record,
      route,
      outcome,
      pair,
      { reads, bound: this.#request.binding !== null },
      uniform,
      single,
    );
  }

  /** Replays a request. @param walks what to walk it by; null: by the engine of its IOMMU */
  walk(line: number, record: DmaRecord, walks: Walks | null): void {
    this.summary.requests++;
    this.#before();
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
    for (const effort of [this.#walks, this.#questions]) effort.begin();
    this.#walk(line, record, route, walks);
    for (const effort of [this.#walks, this.#questions]) effort.end();
  }

  #walk(line: number, record: DmaRecord, route: Route, walks: Walks | null): void {
    const stranger = this.#strangeNames.observed(line, record.observed.reason);
    if (stranger !== "") {
      this.error(line, "schema", stranger);
      return;
    }
    const { unit } = route;
    const { caches } = unit;
    caches?.makeRoom();
    const request = this.#request;
    aim(request, route, record);
    const outcome = this.#outcome;
    const mayDiffer =
      (walks !== null || !this.#walkAsForeseen(unit, record, request, outcome)) &&
      walkRequest(
        walks ?? unit.engine,
        request,
        record.len,
        outcome,
        caches,
        this.system.past.time,
        this.#walks,
      );
    if (this.#walks.isUsedUp) {
      this.error(line, "range", this.#walks.sentence);
      return;
    }
    // A fetch that failed may be a hole, or a snapshot's file that cannot be read any more: the latter is said once.
    const { memory } = this.system;
    let unread = false;
    if (outcome.status === FAULT && outcome.hole) {
      unread = memory.isUnread(outcome.entryFrame);
      this.#fail(line, memory.takeError());
    }
    const others = this.#other.walk(unit, record, request, outcome);
    if (unread) this.#judge.abstain(record, outcome);
    else this.#judge.judge(record, request, outcome, caches, mayDiffer, others, this.#questions);
    if (this.#questions.isUsedUp) {
      this.error(line, "range", this.#questions.sentence);
      this.#judge.abstain(record, outcome);
    }
    if (caches !== null && caches.stoppedLine > 0 && !unread)
      this.#behindStop(line, route, record, outcome, caches);
    this.#analyse(line, route, record, outcome, unread);
    this.#tell(line, route, record, outcome);
    this.#learn(record, route, outcome, mayDiffer || unread);
    const { shownReading } = this.#judge;
    if (caches !== null && shownReading !== 0) this.#noteOtherwise(unit, caches, record, shownReading);
  }

  /** Caches may hold what a request has come to by the other reading, which its answer shows. */
  #noteOtherwise({ engine }: IommuUnit, caches: UnitCaches, record: DmaRecord, reading: number): void {
    const request = this.#request;
    request.addrHi = record.addrHi;
    request.addrLo = record.addrLo;
    const { time } = this.system.past;
    caches.useOtherwise(reading, (others) => {
      walkRequest(engine, request, record.len, this.#otherwise, others, time);
    });
  }

  /** Walks a request of a page that is known. @returns false where it is not, or the walk does not agree: it is to be walked */
  #walkAsForeseen(unit: IommuUnit, record: DmaRecord, request: WalkRequest, outcome: Outcome): boolean {
    const memo = this.#memo;
    if (memo === null || !memo.foresees(record)) return false;
    walkRequest(unit.engine, request, record.len, outcome);
    return memo.agrees(outcome);
  }

  /** A request while the queue has stopped: what it shows of that. */
  #behindStop(line: number, route: Route, record: DmaRecord, { verdict }: Outcome, caches: UnitCaches): void {
    if (verdict === "match") {
      if (!this.#options.restartsRecorded && this.#judge.showsRestart(record, this.#request, caches))
        caches.stoppedLine = 0;
    } else if (this.#judge.behindStop)
      for (const analysis of this.#analyses.behindStop)
        analysis.behindStop(line, route, record, caches.stoppedLine);
  }

  /** @param unread memory that the request needs could not be read */
  #analyse(line: number, route: Route, record: DmaRecord, outcome: Outcome, unread: boolean): void {
    const { staleSource, owed } = this.#judge;
    const { caches } = route.unit;
    const analyses = this.#analyses;
    for (const source of owed) {
      const showing = showingOf(source, record, staleSource);
      for (const analysis of analyses.stale)
        analysis.stale(line, route, record, this.#request, source, showing);
    }
    if (this.#judge.changedLater)
      for (const analysis of analyses.changedLater)
        analysis.changedLater(line, route, record, this.#request, staleSource!);
    const { unflushed, unseen } = this.#judge;
    const shown = unflushed !== null && outcome.verdict === "unflushed";
    const write = shown ? unflushed : outcome.verdict === "match" || !record.observed.present ? unseen : null;
    if (write !== null)
      for (const analysis of analyses.unflushed)
        analysis.unflushed(
          line,
          route,
          record,
          this.#request,
          write,
          shown ? "answered" : record.observed.present ? "latent" : "hazard",
        );
    if (caches !== null && caches.staleInDevice !== null) {
      for (const analysis of analyses.staleDevice)
        analysis.staleDevice(line, route, record, this.#request, caches.staleInDevice);
      caches.staleInDevice = null;
    }
    if (caches !== null && caches.live.flaw !== null) {
      for (const analysis of analyses.flawed)
        analysis.flawed(line, route, record, this.#request, caches.live.flaw);
      caches.live.flaw = null;
    }
    // By another reading of the specification it was none.
    const served = outcome.verdict === "match" && record.observed.result !== FAULT;
    if (outcome.status === FAULT && !unread && !served)
      for (const analysis of analyses.faulted) analysis.faulted(line, route, record, outcome);
    for (const analysis of analyses.request) analysis.request(line, route, record, outcome, staleSource);
  }

  #tell(line: number, { unit, names }: Route, record: DmaRecord, outcome: Outcome): void {
    const undecided = this.#undecided;
    if (undecided.concerns(unit, outcome)) {
      undecided.add(unit, this.#isCounted(line, names, record, outcome));
      this.#sink.undecided(unit, line, names, record, outcome);
    } else this.#sink.outcome(line, names, record, outcome);
    if (undecided.waiting) undecided.hold(Math.max(outcome.runs, 1));
  }

  #isCounted(line: number, names: Route["names"], record: DmaRecord, outcome: Outcome): boolean {
    const { filter } = this.#options;
    return filter === null || filter.outcome(line, names, record, outcome);
  }

  mem(line: number, record: MemRecord): void {
    this.summary.writes++;
    this.system.past.tick(line);
    const { addrHi, addrLo } = record;
    const bytes = (record.end - record.start) >>> 1;
    for (const analysis of this.#analyses.writing) analysis.writing(addrHi, addrLo, bytes);
    this.#fail(line, this.system.write(record));
    for (const analysis of this.#analyses.written) analysis.written(line);
    this.#wrote();
  }

  /** Memory was written to: requests may come to something else if they use it, or if it is being looked at how. */
  #wrote(): void {
    this.#due = true;
    const { past, iommus } = this.system;
    const { attentive } = this.#analyses;
    if (
      past.lastChange === past.time ||
      past.generation !== this.#generation ||
      attentive.some((analysis) => iommus.units.some((unit) => analysis.attentive(unit)))
    ) {
      this.#generation = past.generation;
      this.#memo?.happened();
    }
  }

  record(line: number, record: PlainRecord): void {
    Summary.count(this.summary.records, record.type);
    this.system.past.tick(line);
    this.#due = true;
    this.#memo?.happened();
    const stranger = this.#strangeNames.inRecord(line, record);
    if (stranger !== "") this.error(line, "schema", stranger);
    else if (record.type === "mark") this.#sink.record({ type: "mark", line, label: record.label });
    else this.#changes.record(line, record);
  }

  unknownField(line: number, path: string, name: string, known: readonly string[]): boolean {
    return this.#strangeNames.counted.count(line, path, name, known);
  }

  unknown(_line: number, type: string): void {
    this.summary.countUnknown(type);
  }

  error(line: number, code: ErrorCode, message: string): void {
    this.summary.errors++;
    this.#sink.record({ type: "error", line, code, message: printableLine(message) });
    if (this.#undecided.waiting) this.#undecided.hold(1);
  }

  /**
   * Says what there is to say at the end, `stats` and `summary` last. Nothing may be replayed after it.
   * @param lines lines of the whole input
   */
  finish(lines: number): void {
    this.#undecided.finish();
    this.#memo?.fold();
    for (const analysis of this.#analyses.finish) analysis.finish(lines);
    const { iommus } = this.system;
    this.summary.unknownNames = this.#strangeNames.counted.found;
    this.summary.finish(lines, iommus.forgotten);
    this.summary.filtered = this.#options.filter?.leftOut ?? -1;
    if (this.#options.stats) this.#counters.report(this.#sink, iommus.units, this.#options.trace);
  }

  close(): void {
    this.system.close();
  }

  #fail(line: number, problem: Problem | null): void {
    if (problem !== null) this.error(line, problem.code, problem.message);
  }
}

/** @param answering what the recorded answer came from, where a cache gave it */
function showingOf(source: StaleSource, { observed }: DmaRecord, answering: StaleSource | null): Showing {
  if (!observed.present) return "hazard";
  return answering !== null && sameProblem(source, answering) ? "answered" : "latent";
}
