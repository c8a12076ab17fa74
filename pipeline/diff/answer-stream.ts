import { NoDocumentFeed, OutcomeFeed, type OutcomeHandler } from "../../parsers/outcomes/outcome-feed.ts";
import type { OutcomeLine } from "../../parsers/outcomes/outcome-line.ts";
import { type StreamKind, streamKind } from "../../parsers/outcomes/stream-kind.ts";
import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import type { Feed } from "../../parsers/trace/line-feed.ts";
import {
  type ErrorCode,
  LONGEST_LINE_BYTES,
  type TraceHandler,
  traceFeed,
} from "../../parsers/trace/reader.ts";
import { type DmaRecord, type MemRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord, RecordOf } from "../../parsers/trace/schema.ts";
import type { StreamLayout } from "../../parsers/trace/sniff.ts";
import { TextInput } from "../../parsers/trace/text-input.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { PatternError } from "../filter/patterns.ts";
import type { RecordFilter } from "../filter/record-filter.ts";
import { TimedHandler } from "../filter/timed-handler.ts";
import { ErrorLog } from "../output/error-log.ts";
import type { ErrorRecord } from "../output/records.ts";
import { Handoff } from "../replay/handoff.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "../replay/options.ts";
import { Replay } from "../replay/replay.ts";
import type { AnswerKind, TraceSide } from "./answer-kinds.ts";
import { AnswerSink, type AnswerTaker } from "./answer-sink.ts";
import { type RequestFields, RequestQueue } from "./request-queue.ts";
import { SetupLog } from "./setup-log.ts";

/** Records that could not be used and are kept to be shown; the others are counted. */
const KEPT_ERRORS = 1000;

/**
 * One of the two streams of a comparison: its requests with their answers, read on demand. A trace whose first request
 * has `observed` gives what was observed, any other what our walk gives, unless the caller says which.
 */
export class AnswerStream {
  readonly path: string;
  readonly names = new TraceNames();
  readonly queue = new RequestQueue(this.names.devices);
  readonly setup = new SetupLog();
  /** Records that could not be used. */
  readonly log = new ErrorLog(KEPT_ERRORS);
  /** Known when the first bytes have been read. */
  kind: StreamKind = "trace";
  /** Known when the first request has been read. */
  answers: AnswerKind = "observed";
  requests = 0;
  /** Requests without an answer. */
  unanswered = 0;
  /** Architectures of the IOMMUs that a trace declares. */
  readonly models = new Set<IommuModel>();
  /** Which requests the comparison is about; null: all. */
  readonly filter: RecordFilter | null;
  /** The only IOMMU that the trace declares: that of requests which name none. */
  onlyIommu: string | undefined;
  /** Nothing more comes into the queue. */
  ended = false;
  readonly #chunks: AsyncGenerator<void, void, undefined>;
  readonly #handoff = new Handoff<void>();

  /** @param side undefined: decided by the first request */
  constructor(
    source: ByteSource,
    side: TraceSide | undefined,
    options: Partial<ReplayOptions>,
    filter: RecordFilter | null = null,
  ) {
    this.path = source.path;
    this.filter = filter;
    this.#chunks = this.#handoff.values();
    this.#read(source, side, { ...DEFAULT_OPTIONS, ...options }).then(
      () => this.#handoff.end(),
      (error) => this.#handoff.end(error),
    );
  }

  /** Waits for the next piece of the input. */
  async more(): Promise<void> {
    const next = await this.#chunks.next();
    if (next.done === true) this.ended = true;
  }

  /** Nobody wants anything more: the input is closed. */
  abandon(): void {
    this.#handoff.abandon();
  }

  add(
    line: number,
    section: number,
    request: RequestFields,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    this.requests++;
    if (start === end) this.unanswered++;
    this.queue.push(line, section, request, bytes, start, end);
  }

  /** Id of the IOMMU of a request in the queue. */
  iommuAt(i: number): string | undefined {
    const named = this.queue.iommu[i]!;
    return named >= 0 ? this.names.iommus.text(named) : this.onlyIommu;
  }

  /** What a replay's output is not read for. */
  #refuse(filter: RecordFilter | null): void {
    if (filter === null) return;
    const word = filter.times !== null ? "time" : filter.hasIommus ? "iommu" : "";
    if (word === "") return;
    const name = this.path === "-" ? "standard input" : this.path;
    throw new PatternError(`--${word}: expected two traces, found the output of a replay in ${name}`);
  }

  #timed(handler: TraceHandler): TraceHandler {
    const times = this.filter?.times ?? null;
    return times === null ? handler : new TimedHandler(handler, (line, ts) => times.at(line, ts));
  }

  async #read(source: ByteSource, side: TraceSide | undefined, options: ReplayOptions): Promise<void> {
    const maxLineBytes = Math.min(options.maxLineBytes, LONGEST_LINE_BYTES);
    let trace: TraceAnswers | undefined;
    const choose = (layout: StreamLayout, head: Uint8Array): Feed | Promise<Feed> => {
      this.kind = streamKind(head);
      const feedOptions = { names: this.names, maxLineBytes };
      if (this.kind === "outcomes") {
        this.#refuse(this.filter);
        this.answers = "outcomes";
        const handler = new OutcomeAnswers(this);
        return layout === "lines" ? new OutcomeFeed(handler, feedOptions) : new NoDocumentFeed(handler);
      }
      trace = new TraceAnswers(this, side, options);
      return traceFeed(layout, this.#timed(trace), feedOptions);
    };
    const input = new TextInput(source, choose, maxLineBytes);
    try {
      for (let more = true; more; ) {
        more = await input.next();
        await this.#handoff.put();
      }
      trace?.finish(input.lines);
    } finally {
      await input.close();
      trace?.close();
    }
  }
}

/** Takes the answers from a replay's output. */
class OutcomeAnswers implements OutcomeHandler {
  readonly #stream: AnswerStream;
  #section = 0;

  constructor(stream: AnswerStream) {
    this.#stream = stream;
  }

  outcome(line: number, record: OutcomeLine): void {
    this.#stream.add(line, this.#section, record, record.bytes, record.start, record.end);
  }

  record(_line: number, type: string): void {
    // It opens the output of another trace, whose numbers begin anew.
    if (type === "trace") this.#section++;
  }

  error(line: number, code: ErrorCode, message: string): void {
    this.#stream.log.keep({ type: "error", line, code, message });
  }
}

/** Takes the answers from a trace: what was observed, or what our walk gives. */
class TraceAnswers implements TraceHandler, AnswerTaker {
  readonly #stream: AnswerStream;
  #side: TraceSide | undefined;
  /** Present while our walk is or may be asked for. */
  #replay: Replay | null = null;
  readonly #iommus = new Set<string>();
  /** What the replay could not use, until it is known whether anybody wants to know. */
  readonly #complaints = new ErrorLog(KEPT_ERRORS);

  constructor(stream: AnswerStream, side: TraceSide | undefined, options: ReplayOptions) {
    this.#stream = stream;
    this.#side = side;
    if (side !== "observed")
      this.#replay = new Replay(stream.names, new AnswerSink(this), {
        ...options,
        findings: false,
        stats: false,
      });
    if (side !== undefined) stream.answers = side;
  }

  // ── what the trace says ──

  dma(line: number, record: DmaRecord): void {
    if (this.#side === undefined) this.#decide(record.observed.present ? "observed" : "walk");
    const { bytes, observed } = record;
    if (this.#replay !== null) this.#replay.dma(line, record);
    else this.#stream.add(line, 0, record, bytes, observed.start, observed.end);
  }

  mem(line: number, record: MemRecord): void {
    this.#stream.setup.mem(line, record);
    this.#replay?.mem(line, record);
  }

  record(line: number, record: PlainRecord): void {
    if (record.type === "iommu") this.#declared(record);
    this.#stream.setup.record(line, record);
    this.#replay?.record(line, record);
  }

  #declared({ id, model }: RecordOf<"iommu">): void {
    const stream = this.#stream;
    this.#iommus.add(id);
    stream.onlyIommu = this.#iommus.size === 1 ? id : undefined;
    stream.models.add(model);
  }

  unknown(line: number, type: string): void {
    this.#replay?.unknown(line, type);
  }

  error(line: number, code: ErrorCode, message: string): void {
    this.#stream.log.keep({ type: "error", line, code, message });
  }

  /** The end of the trace: a replay may have held answers back until now. */
  finish(lines: number): void {
    this.#replay?.finish(lines);
  }

  close(): void {
    this.#replay?.close();
    this.#replay = null;
  }

  // ── what the replay says ──

  answer(line: number, request: RequestFields, bytes: Uint8Array, start: number, end: number): void {
    this.#stream.add(line, 0, request, bytes, start, end);
  }

  complaint(error: ErrorRecord): void {
    if (this.#side === undefined) this.#complaints.keep(error);
    else this.#stream.log.keep(error);
  }

  #decide(side: TraceSide): void {
    this.#side = side;
    this.#stream.answers = side;
    // A replay that is not asked for has no complaints either.
    if (side === "walk") this.#stream.log.keepAll(this.#complaints);
    else this.close();
  }
}
