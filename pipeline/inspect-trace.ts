import type { ByteSource } from "../parsers/trace/byte-source.ts";
import { LineReader } from "../parsers/trace/line-reader.ts";
import { type ErrorCode, readTrace, type TraceHandler } from "../parsers/trace/reader.ts";
import { type DmaRecord, type MemRecord, TraceNames } from "../parsers/trace/records.ts";
import type { PlainRecord } from "../parsers/trace/schema.ts";
import { WalkRequest } from "../walkers/request.ts";
import type { IommuModel } from "../walkers/walker.ts";
import { ByteWriter } from "./byte-writer.ts";
import { inspectRequest, type PageWalk } from "./inspection.ts";
import { aim } from "./iommus.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "./options.ts";
import type { ErrorRecord, OutcomeRecord, OutputRecord } from "./records.ts";
import { Replay } from "./replay.ts";
import { NOTHING, selectionOf } from "./selection.ts";

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

export interface InspectedRequest {
  /** Line of the request; for one that is not in the trace, the line that the state is of. */
  readonly line: number;
  readonly iommu: string | undefined;
  readonly model: IommuModel;
  readonly pages: readonly PageWalk[];
  /** What a replay of the trace says about this request. */
  readonly outcome: OutcomeRecord;
  /** What the recorded system did, as JSON text; "" where that is not known. */
  readonly observed: string;
  /** Records before it that could not be used: the first few, and how many there were. */
  readonly errors: readonly ErrorRecord[];
  readonly errorCount: number;
}

/** There is no such request in the trace, or it cannot be walked. */
export class InspectionError extends Error {}

const KEPT_ERRORS = 10;
/** Thrown to stop reading: what was looked for has been found. */
const FOUND = Symbol("found");

/**
 * Replays a trace up to a request, and walks that request with everything it reads taken down.
 * @throws InspectionError where there is no such request, or it cannot be used
 */
export async function inspectTrace(
  source: ByteSource,
  target: InspectionTarget,
  options: Partial<ReplayOptions> = {},
): Promise<InspectedRequest> {
  const inspection = new TraceInspection(target, options);
  try {
    await readTrace(source, inspection, {
      names: inspection.names,
      maxLineBytes: options.maxLineBytes ?? DEFAULT_OPTIONS.maxLineBytes,
      onChunk: () => inspection.drain(),
    });
    inspection.end();
  } catch (stop) {
    if (stop !== FOUND) throw stop;
  } finally {
    inspection.close();
  }
  return inspection.result;
}

class TraceInspection implements TraceHandler {
  readonly names = new TraceNames();
  readonly #target: InspectionTarget;
  /** Last line that is replayed. */
  readonly #lastLine: number;
  readonly #out = new ByteWriter();
  readonly #options: { -readonly [K in keyof ReplayOptions]: ReplayOptions[K] };
  readonly #replay: Replay;
  readonly #errors: ErrorRecord[] = [];
  #errorCount = 0;
  #line = 0;
  /** Type of the last record on `#lastLine`, "" where there is none. */
  #found = "";
  #result: InspectedRequest | undefined;

  constructor(target: InspectionTarget, options: Partial<ReplayOptions>) {
    this.#target = target;
    if ("line" in target) this.#lastLine = target.line;
    else this.#lastLine = ("at" in target ? target.at : undefined) ?? Number.POSITIVE_INFINITY;
    this.#options = { ...DEFAULT_OPTIONS, ...options, only: NOTHING, stats: false };
    this.#replay = new Replay(this.names, this.#out, this.#options);
  }

  get result(): InspectedRequest {
    return this.#result!;
  }

  dma(line: number, record: DmaRecord): void {
    this.#reach(line, "dma");
    const target = this.#target;
    if (("line" in target && target.line === line) || ("seq" in target && target.seq === record.seq))
      this.#inspect(line, record);
    this.#replay.dma(line, record);
  }

  mem(line: number, record: MemRecord): void {
    this.#reach(line, "mem");
    this.#replay.mem(line, record);
  }

  record(line: number, record: PlainRecord): void {
    this.#reach(line, record.type);
    this.#replay.record(line, record);
  }

  unknown(line: number, type: string): void {
    this.#reach(line, type);
    this.#replay.unknown(line, type);
  }

  error(line: number, code: ErrorCode, message: string): void {
    if ("line" in this.#target && this.#target.line === line)
      throw new InspectionError(`line ${line}: ${message}`);
    this.#reach(line, "");
    this.#replay.error(line, code, message);
  }

  /** The end of the trace. */
  end(): void {
    const target = this.#target;
    if ("request" in target) this.#inspectGiven(target.request);
    const last = this.#line === 0 ? "no record" : `${this.#line} as the last line with a record`;
    if ("line" in target) throw this.#noRequest(last);
    throw new InspectionError(`seq ${(target as { seq: number }).seq}: expected a dma record, found none`);
  }

  /** Takes the errors so far out of the output: nothing else is in it before the request is reached. */
  drain(): void {
    for (const record of this.#records()) if (record.type === "error") this.#keep(record);
  }

  close(): void {
    this.#replay.memory.close();
  }

  #noRequest(found: string): InspectionError {
    const what = this.#found === "" ? found : `one of type ${this.#found}`;
    return new InspectionError(`line ${this.#lastLine}: expected a dma record, found ${what}`);
  }

  /** Comes to a record: is it beyond the state that is asked for? */
  #reach(line: number, type: string): void {
    const target = this.#target;
    if (line > this.#lastLine) {
      if ("request" in target) this.#inspectGiven(target.request);
      throw this.#noRequest("a blank line");
    }
    // A line of a log may become several records: the request is the last of them.
    if (line === this.#lastLine) this.#found = type;
    this.#line = line;
  }

  /** Walks a request that is not in the trace: it is read as one more line, so that it obeys the same rules. */
  #inspectGiven(request: Readonly<Record<string, unknown>>): never {
    const line = Math.min(this.#lastLine, this.#line);
    const text = Buffer.from(`${JSON.stringify({ type: "dma", ...request })}\n`, "utf8");
    const reader = new LineReader(this.names, {
      dma: (_, record) => this.#inspect(line, record),
      error: (_line, _code, message) => {
        throw new InspectionError(message);
      },
      mem() {},
      record() {},
      unknown() {},
    });
    reader.read(line, text, 0, text.length - 1);
    throw FOUND;
  }

  #inspect(line: number, record: DmaRecord): never {
    this.drain();
    const route = this.#replay.iommus.route(record);
    if ("code" in route) throw new InspectionError(`line ${line}: ${route.message}`);
    const request = new WalkRequest();
    aim(request, route, record);
    // First the replay's own word: it also refuses what cannot be walked.
    this.#options.only = selectionOf(undefined);
    this.#replay.dma(line, record);
    let outcome: OutcomeRecord | undefined;
    for (const written of this.#records()) {
      if (written.type === "outcome") outcome = written;
      else if (written.type === "error") this.#keep(written);
    }
    if (outcome === undefined)
      throw new InspectionError(`line ${line}: ${this.#errors.at(-1)?.message ?? "it has no outcome"}`);
    const pages = inspectRequest(route.unit, request, record.len);
    this.#result = {
      line,
      iommu: route.unit.id,
      model: route.unit.model,
      pages,
      outcome,
      observed: record.observedText(),
      errors: this.#errors,
      errorCount: this.#errorCount,
    };
    throw FOUND;
  }

  #records(): OutputRecord[] {
    if (this.#out.length === 0) return [];
    const lines = this.#out.take().toString("utf8").trimEnd().split("\n");
    return lines.map((line) => JSON.parse(line));
  }

  #keep(error: ErrorRecord): void {
    this.#errorCount++;
    if (this.#errors.length < KEPT_ERRORS) this.#errors.push(error);
  }
}
