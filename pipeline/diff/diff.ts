/** Compares two streams of answers to the same requests: recordings of one workload, or outcomes of replays. */
import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import { printable } from "../../parsers/trace/show.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { RecordFilter } from "../filter/record-filter.ts";
import { ByteWriter } from "../output/byte-writer.ts";
import type { Errors } from "../output/error-log.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "../replay/options.ts";
import type { LeftSeq, Unaligned } from "./aligner.ts";
import { type AlignedBy, Aligner, type Alignment, type AlignmentSink, DEFAULT_WINDOW } from "./aligner.ts";
import { type Answer, AnswerComparison, type Depth, parseAnswer } from "./answer.ts";
import type { AnswerKind, TraceSide } from "./answer-kinds.ts";
import { AnswerStream } from "./answer-stream.ts";
import { DiffCounts } from "./diff-summary.ts";
import { type DiffClass, type DiffErrorRecord, diffRecord, Place } from "./difference.ts";
import { IgnoreRules } from "./ignore-rules.ts";
import { NOBODY, PairFilter } from "./pair-filter.ts";
import { sameText } from "./request-queue.ts";
import { SetupComparison, type SetupDifference } from "./setup-log.ts";

export interface DiffOptions {
  /** Whose answers a trace gives; undefined: those observed, where its first request has them, else our walk's. */
  readonly side: TraceSide | undefined;
  readonly alignment: Alignment;
  /** Requests of each stream that are looked at, at most, to get back into step. */
  readonly window: number;
  readonly depth: Depth;
  readonly ignore: IgnoreRules;
  /** Which requests to compare, undefined: all; a filter of each stream, since it follows its lines and times. */
  readonly filters: readonly [a: RecordFilter, b: RecordFilter] | undefined;
  /** How a trace is read and, where it must be, replayed. */
  readonly replayA: Partial<ReplayOptions>;
  readonly replayB: Partial<ReplayOptions>;
}

const DEFAULT_DIFF_OPTIONS: DiffOptions = {
  side: undefined,
  alignment: "auto",
  window: DEFAULT_WINDOW,
  depth: "record",
  ignore: new IgnoreRules([], ""),
  filters: undefined,
  replayA: {},
  replayB: {},
};

export interface DiffHooks {
  /** Takes `diff` and `error` records, whole lines only. */
  readonly write: (bytes: Buffer) => void | Promise<void>;
}

/** What is known of one of the two streams at its end. */
export interface StreamReport extends Errors {
  /** Of the file; "-" for standard input. */
  readonly path: string;
  readonly kind: "trace" | "outcomes";
  readonly answers: AnswerKind;
  readonly requests: number;
  readonly unanswered: number;
  /** Architectures of the IOMMUs that a trace declares. */
  readonly models: ReadonlySet<IommuModel>;
}

export interface DiffResult {
  readonly a: StreamReport;
  readonly b: StreamReport;
  readonly counts: DiffCounts;
  readonly alignedBy: AlignedBy;
  readonly leftSeq: LeftSeq | null;
  readonly unaligned: Unaligned;
  readonly window: number;
  readonly setup: readonly SetupDifference[];
  readonly ignore: IgnoreRules;
  /** Pairs, and requests of one side, that a filter has left out; undefined: there is none. */
  readonly filtered: number | undefined;
}

/** What of the memory limit the answers of each stream may take that wait to be compared. */
const SHARE_OF_TEXT = 0.125;
/** Bytes of output that are handed on at once. */
const DRAIN_BYTES = 1 << 20;

/**
 * Compares two streams to their ends. Both are closed.
 * @throws AlignmentError; PatternError for a filter that a stream cannot be read by; TraceError where a stream cannot be read; what `hooks.write` throws
 */
export async function diffStreams(
  sourceA: ByteSource,
  sourceB: ByteSource,
  hooks: DiffHooks,
  options: Partial<DiffOptions> = {},
): Promise<DiffResult> {
  const all = { ...DEFAULT_DIFF_OPTIONS, ...options };
  const a = new AnswerStream(sourceA, all.side, all.replayA, all.filters?.[0]);
  const b = new AnswerStream(sourceB, all.side, all.replayB, all.filters?.[1]);
  const out = new ByteWriter();
  const judge = new DiffJudge(a, b, out, all);
  const aligner = new Aligner(a, b, judge, {
    ...all,
    maxTextBytes: (all.replayA.memoryLimit ?? DEFAULT_OPTIONS.memoryLimit) * SHARE_OF_TEXT,
  });
  const setup = new SetupComparison(a.setup, b.setup);
  try {
    await aligner.run(async () => {
      setup.advance();
      if (out.length >= DRAIN_BYTES) await hooks.write(out.take());
    });
    writeErrors(out, "a", a);
    writeErrors(out, "b", b);
    if (out.length > 0) await hooks.write(out.take());
  } finally {
    a.abandon();
    b.abandon();
  }
  return {
    a: reportOf(a),
    b: reportOf(b),
    counts: judge.counts,
    alignedBy: aligner.by,
    leftSeq: aligner.leftSeq,
    unaligned: aligner.unaligned,
    window: all.window,
    // Only traces say what they set up.
    setup: a.kind === "trace" && b.kind === "trace" ? setup.finish() : [],
    ignore: all.ignore,
    filtered: judge.filter?.leftOut,
  };
}

/** Compares the answers of what the aligner pairs, and writes the differences. */
class DiffJudge implements AlignmentSink {
  readonly counts = new DiffCounts();
  readonly filter: PairFilter | null;
  readonly #a: AnswerStream;
  readonly #b: AnswerStream;
  readonly #out: ByteWriter;
  readonly #depth: Depth;
  readonly #ignore: IgnoreRules;
  #comparison: AnswerComparison | null = null;

  constructor(a: AnswerStream, b: AnswerStream, out: ByteWriter, options: DiffOptions) {
    this.#a = a;
    this.#b = b;
    this.#out = out;
    this.#depth = options.depth;
    this.#ignore = options.ignore;
    this.filter = options.filters === undefined ? null : new PairFilter(a, b);
  }

  pair(i: number, j: number): void {
    const a = this.#a.queue;
    const b = this.#b.queue;
    const { counts } = this;
    if (this.filter !== null && !this.filter.wants(i, j)) return;
    // Made at the first pair: only then is it known what the streams' answers are.
    this.#comparison ??= new AnswerComparison(this.#depth, this.#a.answers, this.#b.answers);
    if (!a.hasText(i) || !b.hasText(j)) {
      counts.unanswered++;
      return;
    }
    counts.compared++;
    if (this.#comparison.sameKind && sameText(a, i, b, j)) {
      counts.same++;
      return;
    }
    const answerA = parseAnswer(a.textAt(i));
    const answerB = parseAnswer(b.textAt(j));
    const difference = this.#comparison.difference(answerA, answerB);
    if (difference === null) counts.same++;
    else if (this.#report(difference, new Place(a, i), answerA, new Place(b, j), answerB)) counts.differ++;
  }

  request(i: number, j: number): void {
    if (this.filter !== null && !this.filter.wants(i, j)) return;
    const a = new Place(this.#a.queue, i);
    const b = new Place(this.#b.queue, j);
    this.#report("request", a, answerAt(a), b, answerAt(b));
  }

  onlyA(i: number): void {
    if (this.filter !== null && !this.filter.wants(i, NOBODY)) return;
    const a = new Place(this.#a.queue, i);
    this.#report("only-in-a", a, answerAt(a), null, null);
  }

  onlyB(j: number): void {
    if (this.filter !== null && !this.filter.wants(NOBODY, j)) return;
    const b = new Place(this.#b.queue, j);
    this.#report("only-in-b", null, null, b, answerAt(b));
  }

  /** @returns whether it counts: no rule took it */
  #report(
    diffClass: DiffClass,
    a: Place | null,
    answerA: Answer | null,
    b: Place | null,
    answerB: Answer | null,
  ): boolean {
    const place = (a ?? b) as Place;
    if (this.#ignore.take({ class: diffClass, place, a: answerA, b: answerB })) return false;
    const record = diffRecord(diffClass, a, answerA, b, answerB);
    this.counts.add(record);
    this.#out.text(`${printable(JSON.stringify(record))}\n`);
    return true;
  }
}

function answerAt({ queue, index }: Place): Answer | null {
  return queue.hasText(index) ? parseAnswer(queue.textAt(index)) : null;
}

function writeErrors(out: ByteWriter, stream: DiffErrorRecord["stream"], { log }: AnswerStream): void {
  for (const { line, code, message } of log.errors) {
    const record: DiffErrorRecord = { type: "error", stream, line, code, message };
    out.text(`${printable(JSON.stringify(record))}\n`);
  }
}

function reportOf(stream: AnswerStream): StreamReport {
  const { path, kind, answers, requests, unanswered, models } = stream;
  const { errors, errorCount } = stream.log;
  return { path, kind, answers, requests, unanswered, models, errors, errorCount };
}
