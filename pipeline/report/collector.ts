import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import type { Invalidation } from "../../walkers/invalidation.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import type { DeviceUse } from "../caches/filling/device-tlbs.ts";
import type { StaleSource } from "../caches/history/stale-source.ts";
import type { Analysis } from "../findings/analysis.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Route } from "../iommus/iommus.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import type { OtherRecord, ReplaySink } from "../output/sink.ts";
import type { RecordedSystem } from "../replay/recorded-system.ts";
import { SummarySink } from "../summary/summary-sink.ts";
import { UndecidedOutcomes } from "../summary/undecided-outcomes.ts";
import { AnswerKinds } from "./answer-kinds.ts";
import { FoundStructures } from "./found-structures.ts";
import { TakenWalks } from "./taken-walks.ts";
import { Timeline } from "./timeline.ts";

/** How much of a trace a report keeps, whatever its length. */
export interface CollectorLimits {
  /** Buckets of a timeline; even. */
  readonly buckets: number;
  /** Requests whose walk is kept: the first of each kind of fault, of wrong answer, and of finding. */
  readonly walks: number;
}

/** Walks kept for findings about entries that changed, and for verdicts that come later: a share of all. */
const SHARE_OF_STALE = 0.4;

/** Looks on while a trace is replayed, and keeps what a report of it is made of, in bounded memory. */
export class Collector implements ReplaySink, Analysis {
  readonly summary = new SummarySink();
  readonly answers = new AnswerKinds();
  readonly timeline: Timeline;
  readonly walks: TakenWalks;
  readonly structures = new FoundStructures();
  #system: RecordedSystem | null = null;
  /** Entries and registers whose change somebody's cache had not seen: the walk of the first request of each is kept. */
  readonly #stale = new Set<string>();
  readonly #mostStale: number;
  /** The request at hand shows something that no request before has. */
  #fresh = false;
  #route: Route | null = null;
  readonly #undecided = new UndecidedOutcomes();
  /** Where each of them is in time, by its line. */
  readonly #times = new Map<number, number>();
  /** Line of the last invalidation that a register asked for. */
  #registerLine = 0;

  constructor(limits: CollectorLimits) {
    this.timeline = new Timeline(limits.buckets);
    this.walks = new TakenWalks(limits.walks);
    this.#mostStale = Math.floor(limits.walks * SHARE_OF_STALE);
  }

  /** Looks on at a replay of this system. */
  watch(system: RecordedSystem): readonly Analysis[] {
    this.#system = system;
    return [this];
  }

  // ── what happens ──

  before(): void {
    this.#fresh = false;
  }

  writing(): void {
    this.structures.read(this.#system!);
  }

  written(line: number): void {
    this.timeline.add("write", line);
  }

  replacing(): void {
    this.structures.read(this.#system!);
  }

  command(line: number, { commands }: IommuUnit): void {
    this.timeline.add(commands.completion ? "completion" : "invalidation", line);
  }

  registerCommand(line: number): void {
    this.#registerLine = line;
    this.timeline.add("invalidation", line);
  }

  /** A neutral one is told of by nothing else. */
  invalidated(line: number, _unit: IommuUnit, happened: Invalidation | null): void {
    if (happened !== null && line !== this.#registerLine) this.timeline.add("invalidation", line);
  }

  logged(line: number, record: RecordOf<"fault">): void {
    this.timeline.stamp(record.ts);
    this.timeline.add("logged", line);
  }

  mapped(_line: number, record: RecordOf<"map">): void {
    this.timeline.stamp(record.ts);
  }

  unmapped(_line: number, record: RecordOf<"unmap">): void {
    this.timeline.stamp(record.ts);
  }

  finish(): void {
    this.structures.read(this.#system!);
  }

  // ── requests: what is found of one comes first, then what it came to ──

  stale(
    _line: number,
    { unit }: Route,
    _record: DmaRecord,
    _request: WalkRequest,
    { change, root }: StaleSource,
  ): void {
    const what = change === null ? root?.register : `${change.frame}:${change.offset}`;
    this.#note(`${unit.id} ${what} ${(change ?? root)?.line}`);
  }

  unflushed(): void {
    this.#note("unflushed");
  }

  staleDevice(
    _line: number,
    { unit }: Route,
    _record: DmaRecord,
    _request: WalkRequest,
    { source: { change } }: DeviceUse,
  ): void {
    this.#note(`${unit.id} device ${change?.frame}:${change?.offset}`);
  }

  flawed(_line: number, { unit }: Route): void {
    this.#note(`${unit.id} flawed`);
  }

  #note(key: string): void {
    if (this.#stale.size >= this.#mostStale || this.#stale.has(key)) return;
    this.#stale.add(key);
    this.#fresh = true;
  }

  request(_line: number, route: Route): void {
    this.#route = route;
  }

  /** A fault is told of even where a request before was the same, and nothing else is. */
  faulted(_line: number, route: Route): void {
    this.#route = route;
  }

  outcome(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    const kinds = this.#kinds;
    this.summary.outcome(line, names, request, outcome);
    this.answers.add(line, names, request, outcome);
    this.timeline.request(request);
    this.timeline.outcome(line, outcome.status, outcome.verdict);
    if (this.#fresh || this.#kinds !== kinds) this.#take(line, request, outcome);
  }

  undecided(unit: IommuUnit, line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    this.#undecided.put(unit, line, names, request, outcome);
    this.timeline.request(request);
    this.timeline.outcome(line, outcome.status, "");
    this.#times.set(line, this.timeline.time);
    this.#note(`${names.index} ${request.pasid} undecided`);
    if (this.#fresh) this.#take(line, request, outcome);
  }

  decided(unit: IommuUnit, waits: boolean): void {
    for (const { line, names, request, outcome } of this.#undecided.decided(unit, waits)) {
      this.summary.outcome(line, names, request, outcome);
      this.answers.add(line, names, request, outcome);
      this.timeline.verdict(line, outcome.verdict, this.#times.get(line));
      this.#times.delete(line);
    }
  }

  #take(line: number, request: DmaRecord, outcome: Outcome): void {
    this.#fresh = false;
    this.walks.take(line, this.#route!, request, outcome, this.#system!);
  }

  record(record: OtherRecord): void {
    if (record.type === "mark") this.timeline.mark(record);
    else if (record.type === "finding") {
      this.timeline.add("finding", record.line);
      if (this.summary.findings.add(record)) this.structures.add(record);
    } else this.summary.record(record);
  }

  /** Kinds of fault and of wrong answer so far. */
  get #kinds(): number {
    return this.summary.faults.all.length + this.answers.size;
  }
}
