import type { ErrorCode } from "../../parsers/trace/field.ts";
import { type RecordSource, readRecords, type TraceHandler } from "../../parsers/trace/record-source.ts";
import { RecordTeller } from "../../parsers/trace/record-teller.ts";
import type { DmaRecord, MemRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord } from "../../parsers/trace/schema.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { Change } from "../caches/history/versioned-memory.ts";
import type { Errors } from "../output/error-log.ts";
import type { OutcomeRecord } from "../output/records.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "../replay/options.ts";
import { Replay } from "../replay/replay.ts";
import { type PageWalk, RecordedWalks } from "./page-walk.ts";
import { RequestSink } from "./request-sink.ts";

/** Which request of a trace to inspect: the one of a line, the first of a `seq`, or one that is not in it. */
export type InspectionTarget =
  | { readonly line: number }
  | { readonly seq: number }
  | {
      /** Fields of a `dma` record, as the trace contract has them. */
      readonly request: Readonly<Record<string, unknown>>;
      /** Walk in the state after this line; undefined: after the whole trace. */
      readonly at: number | undefined;
    };

/** A request with its walk, and the records before it that could not be used. */
export interface InspectedRequest extends Errors {
  /** Line of the request; for one that is not in the trace, the line that the state is of. */
  readonly line: number;
  readonly iommu: string | undefined;
  readonly model: IommuModel;
  readonly pages: readonly PageWalk[];
  /** What a replay of the trace says about this request. */
  readonly outcome: OutcomeRecord;
  /** What the recorded system did, as JSON text; "" where that is not known. */
  readonly observed: string;
  /** The latest changes of the word that the failing entry begins with, since a request has used it. */
  readonly changes: readonly Change[];
}

/** There is no such request in the trace, or it cannot be walked. */
export class InspectionError extends Error {}

/**
 * Replays a trace up to a request, and walks that request with everything it reads taken down. The rest of the trace
 * is read only where the verdict depends on it. Closes the source.
 * @throws InspectionError where there is no such request, or it cannot be used
 */
export async function inspectTrace(
  source: RecordSource,
  target: InspectionTarget,
  options: Partial<ReplayOptions> = {},
): Promise<InspectedRequest> {
  const inspection = new TraceInspection(source.names, target, options);
  try {
    await readRecords(source, inspection);
    return inspection.result();
  } finally {
    inspection.close();
  }
}

/** Earlier values of a failing entry that are told. */
const MAX_CHANGES = 3;

/** What is known of a request when it has been walked. */
type Walked = Pick<InspectedRequest, "line" | "iommu" | "model" | "pages" | "observed" | "changes">;

class TraceInspection implements TraceHandler {
  readonly #names: TraceNames;
  readonly #target: InspectionTarget;
  /** Last line that is replayed before the request. */
  readonly #lastLine: number;
  readonly #sink = new RequestSink();
  readonly #replay: Replay;
  #line = 0;
  /** Type of the last record on `#lastLine`, "" where there is none. */
  #found = "";
  #walked: Walked | null = null;

  constructor(names: TraceNames, target: InspectionTarget, options: Partial<ReplayOptions>) {
    this.#names = names;
    this.#target = target;
    if ("line" in target) this.#lastLine = target.line;
    else this.#lastLine = ("at" in target ? target.at : undefined) ?? Number.POSITIVE_INFINITY;
    const all = { ...DEFAULT_OPTIONS, ...options, findings: false, stats: false };
    this.#replay = new Replay(names, this.#sink, all);
  }

  /** What was looked for has been found, and nothing that follows can change what is said of it. */
  get stopped(): boolean {
    return this.#walked !== null && this.#sink.decidedAll;
  }

  dma(line: number, record: DmaRecord): void {
    if (!this.#reach(line, "dma")) return;
    if (this.#isTarget(line, record)) this.#inspect(line, record);
    else this.#replay.dma(line, record);
  }

  mem(line: number, record: MemRecord): void {
    if (this.#reach(line, "mem")) this.#replay.mem(line, record);
  }

  record(line: number, record: PlainRecord): void {
    if (this.#reach(line, record.type)) this.#replay.record(line, record);
  }

  unknown(line: number, type: string): void {
    this.#reach(line, type);
  }

  error(line: number, code: ErrorCode, message: string): void {
    if (this.#walked === null && "line" in this.#target && this.#target.line === line)
      throw new InspectionError(`line ${line}: ${message}`);
    if (this.#reach(line, "")) this.#replay.error(line, code, message);
  }

  /** @throws InspectionError where the trace has ended without the request */
  result(): InspectedRequest {
    const target = this.#target;
    if (this.#walked === null && "request" in target) this.#inspectGiven(target.request);
    if (this.#walked !== null) {
      const { errors, errorCount } = this.#sink.errors;
      return { ...this.#walked, outcome: this.#sink.outcomeRecord!, errors, errorCount };
    }
    const last = this.#line === 0 ? "no record" : `${this.#line} as the last line with a record`;
    if ("line" in target) throw this.#noRequest(last);
    throw new InspectionError(`seq ${(target as { seq: number }).seq}: expected a dma record, found none`);
  }

  close(): void {
    this.#replay.close();
  }

  #noRequest(found: string): InspectionError {
    const what = this.#found === "" ? found : `one of type ${this.#found}`;
    return new InspectionError(`line ${this.#lastLine}: expected a dma record, found ${what}`);
  }

  /**
   * Comes to a record.
   * @returns whether it is to be replayed: it belongs to the state that is asked for, or may decide on a verdict
   */
  #reach(line: number, type: string): boolean {
    const target = this.#target;
    if (this.#walked !== null) return true;
    if (line > this.#lastLine) {
      if (!("request" in target)) throw this.#noRequest("a blank line");
      this.#inspectGiven(target.request);
      return false;
    }
    // A line of a log may become several records: the request is the last of them.
    if (line === this.#lastLine) this.#found = type;
    this.#line = line;
    return true;
  }

  #isTarget(line: number, record: DmaRecord): boolean {
    const target = this.#target;
    if (this.#walked !== null) return false;
    return ("line" in target && target.line === line) || ("seq" in target && target.seq === record.seq);
  }

  /** Walks a request that is not in the trace: it obeys the rules of those that are. */
  #inspectGiven(request: Readonly<Record<string, unknown>>): void {
    const line = Math.min(this.#lastLine, this.#line);
    const teller = new RecordTeller(this.#names, {
      dma: (_, record) => this.#inspect(line, record),
      error: (_line, _code, message) => {
        throw new InspectionError(message);
      },
      mem() {},
      record() {},
      unknown() {},
    });
    teller.parsed(line, { type: "dma", ...request });
  }

  #inspect(line: number, record: DmaRecord): void {
    const route = this.#replay.system.iommus.route(record);
    if ("code" in route) throw new InspectionError(`line ${line}: ${route.message}`);
    const { unit } = route;
    const walks = new RecordedWalks(unit.engine);
    this.#sink.wanted = true;
    this.#replay.walk(line, record, walks);
    this.#sink.wanted = false;
    if (this.#sink.outcomeRecord === null) {
      const why = this.#sink.errors.errors.at(-1)?.message ?? "it has no outcome";
      throw new InspectionError(`line ${line}: ${why}`);
    }
    const pages = walks.finish();
    const { entryFrame, entryOffset } = pages.at(-1)!.result;
    const { past } = this.#replay.system;
    const changes = entryFrame < 0 ? [] : past.latestChanges(entryFrame, entryOffset, MAX_CHANGES);
    const observed = record.observedText();
    this.#walked = { line, iommu: unit.id, model: unit.model, pages, observed, changes };
  }
}
