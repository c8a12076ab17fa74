import { NoDocumentFeed, OutcomeFeed, type OutcomeHandler } from "../../parsers/outcomes/outcome-feed.ts";
import type { OutcomeLine } from "../../parsers/outcomes/outcome-line.ts";
import { type StreamKind, streamKind } from "../../parsers/outcomes/stream-kind.ts";
import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import type { Feed } from "../../parsers/trace/line-feed.ts";
import {
  type ErrorCode,
  LONGEST_LINE_BYTES,
  readInput,
  type TraceHandler,
  traceFeed,
} from "../../parsers/trace/reader.ts";
import { type DmaRecord, type MemRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord } from "../../parsers/trace/schema.ts";
import type { Layout } from "../../parsers/trace/sniff.ts";
import type { IommuModel } from "../../walkers/walker.ts";
import { ByteWriter } from "../byte-writer.ts";
import { Handoff } from "../handoff.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "../options.ts";
import { Replay } from "../replay.ts";
import { selectionOf } from "../selection.ts";
import { RequestQueue } from "./request-queue.ts";
import { SetupLog } from "./setup-log.ts";

/** Whose answers are taken from a trace: what the recorded system did, or what our walk gives. */
export const TRACE_SIDES = ["observed", "walk"] as const;
export type TraceSide = (typeof TRACE_SIDES)[number];
/** What a stream's answers are: those of a trace, or a replay's outcomes. */
export const ANSWER_KINDS = [...TRACE_SIDES, "outcomes"] as const;
export type AnswerKind = (typeof ANSWER_KINDS)[number];

/** Records that could not be used and are kept to be shown; the others are counted. */
const KEPT_ERRORS = 1000;

export interface StreamError {
  readonly line: number;
  readonly code: ErrorCode;
  readonly message: string;
}

/**
 * One of the two streams of a comparison: its requests with their answers, read on demand. A trace whose first request
 * has `observed` gives what was observed, any other what our walk gives, unless the caller says which.
 */
export class AnswerStream {
  readonly names = new TraceNames();
  readonly queue = new RequestQueue(this.names.devices);
  readonly setup = new SetupLog();
  readonly errors: StreamError[] = [];
  errorCount = 0;
  /** Known when the first bytes have been read. */
  kind: StreamKind = "trace";
  /** Known when the first request has been read. */
  answers: AnswerKind = "observed";
  requests = 0;
  /** Requests without an answer. */
  unanswered = 0;
  /** Architectures of the IOMMUs that a trace declares. */
  readonly models = new Set<IommuModel>();
  /** Nothing more comes into the queue. */
  ended = false;
  readonly #chunks: AsyncGenerator<void, void, undefined>;
  readonly #handoff = new Handoff<void>();

  /** @param side undefined: decided by the first request */
  constructor(source: ByteSource, side: TraceSide | undefined, options: Partial<ReplayOptions>) {
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

  add(line: number, section: number, request: DmaRecord | OutcomeLine, start: number, end: number): void {
    this.requests++;
    if (start === end) this.unanswered++;
    this.queue.push(line, section, request, start, end);
  }

  fail(line: number, code: ErrorCode, message: string): void {
    this.errorCount++;
    if (this.errors.length < KEPT_ERRORS) this.errors.push({ line, code, message });
  }

  async #read(source: ByteSource, side: TraceSide | undefined, options: ReplayOptions): Promise<void> {
    const maxLineBytes = Math.min(options.maxLineBytes, LONGEST_LINE_BYTES);
    let trace: TraceAnswers | undefined;
    const choose = (layout: Layout, head: Uint8Array): Feed | Promise<Feed> => {
      this.kind = streamKind(head);
      const feedOptions = { names: this.names, maxLineBytes };
      if (this.kind === "outcomes") {
        this.answers = "outcomes";
        const handler = new OutcomeAnswers(this);
        return layout === "lines" ? new OutcomeFeed(handler, feedOptions) : new NoDocumentFeed(handler);
      }
      trace = new TraceAnswers(this, side, options);
      return traceFeed(layout, trace, feedOptions);
    };
    try {
      const onChunk = () => {
        trace?.flush();
        return this.#handoff.put();
      };
      const { lines } = await readInput(source, choose, { maxLineBytes, onChunk });
      trace?.finish(lines);
    } finally {
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
    this.#stream.add(line, this.#section, record, record.start, record.end);
  }

  record(_line: number, type: string): void {
    // It opens the output of another trace, whose numbers begin anew.
    if (type === "trace") this.#section++;
  }

  error(line: number, code: ErrorCode, message: string): void {
    this.#stream.fail(line, code, message);
  }
}

/** Takes the answers from a trace: what was observed, or what our walk gives. */
class TraceAnswers implements TraceHandler {
  readonly #stream: AnswerStream;
  #side: TraceSide | undefined;
  /** Present while our walk is or may be asked for. */
  #replay: Replay | null = null;
  readonly #out = new ByteWriter();
  /** Reads what the replay wrote. */
  readonly #outcomes: OutcomeFeed;

  constructor(stream: AnswerStream, side: TraceSide | undefined, options: ReplayOptions) {
    this.#stream = stream;
    this.#side = side;
    const only = selectionOf(["ok", "faults", "msi"]);
    if (side !== "observed")
      this.#replay = new Replay(stream.names, this.#out, { ...options, only, findings: false, stats: false });
    if (side !== undefined) stream.answers = side;
    this.#outcomes = new OutcomeFeed(
      {
        outcome: (_, record) => stream.add(record.traceLine, 0, record, record.start, record.end),
        record: (_, type, { line, code, message }) => {
          if (type === "error") stream.fail(line as number, code as ErrorCode, message as string);
        },
        error: (line, code, message) => stream.fail(line, code, message),
      },
      { names: stream.names, maxLineBytes: Number.POSITIVE_INFINITY },
    );
  }

  dma(line: number, record: DmaRecord): void {
    if (this.#side === undefined) this.#decide(record.observed.present ? "observed" : "walk");
    if (this.#replay !== null) this.#replay.dma(line, record);
    else this.#stream.add(line, 0, record, record.observed.start, record.observed.end);
  }

  mem(line: number, record: MemRecord): void {
    this.#stream.setup.mem(line, record);
    this.#replay?.mem(line, record);
  }

  record(line: number, record: PlainRecord): void {
    if (record.type === "iommu") this.#stream.models.add(record.model);
    this.#stream.setup.record(line, record);
    this.#replay?.record(line, record);
  }

  unknown(line: number, type: string): void {
    this.#replay?.unknown(line, type);
  }

  error(line: number, code: ErrorCode, message: string): void {
    this.#stream.fail(line, code, message);
  }

  /** Takes over what the replay has written. */
  flush(): void {
    if (this.#side === undefined || this.#out.length === 0) return;
    const bytes = this.#out.take();
    const feed = this.#outcomes;
    for (let from = 0; from < bytes.length; ) {
      const at = feed.reserve();
      const n = Math.min(feed.room, bytes.length - from);
      feed.buffer.set(bytes.subarray(from, from + n), at);
      feed.added(n);
      while (feed.busy) feed.work();
      from += n;
    }
  }

  /** The end of the trace: a replay may have held outcomes back until now. */
  finish(lines: number): void {
    this.#replay?.finish(lines);
    this.flush();
  }

  close(): void {
    this.#replay?.memory.close();
    this.#replay = null;
  }

  #decide(side: TraceSide): void {
    this.#side = side;
    this.#stream.answers = side;
    if (side === "walk") return;
    this.close();
    // A replay that is not asked for has no complaints either.
    this.#out.take();
  }
}
