import { availableParallelism } from "node:os";
import { BatchMachine } from "../../parsers/trace/batch/machine.ts";
import { ReadAhead } from "../../parsers/trace/batch/read-ahead.ts";
import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import { TraceSource } from "../../parsers/trace/reader.ts";
import { type RecordSource, readRecords } from "../../parsers/trace/record-source.ts";
import { ByteWriter } from "../output/byte-writer.ts";
import { NdjsonSink } from "../output/ndjson-sink.ts";
import type { ReplaySink } from "../output/sink.ts";
import type { Summary } from "../output/statistics.ts";
import { BatchReplay } from "./batch/batch-replay.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "./options.ts";
import { Replay } from "./replay.ts";

export interface RunHooks {
  /**
   * Takes output bytes, whole lines only. Reading goes on meanwhile, up to the next bytes: those it gives, and the
   * memory of these it uses again, when this has settled.
   */
  readonly write: (bytes: Buffer) => void | Promise<void>;
  /** Called after every chunk of input. */
  readonly progress?: (bytesRead: number, requests: number) => void;
}

/**
 * Replays the records of a source from beginning to end, and closes it.
 *
 * @param onPiece called after all records that came at once, and after the last word of the replay; the next records
 *   are read when it has settled
 * @returns counts; the output records went to `sink`
 * @throws what `onPiece` throws
 */
export async function replayRecords(
  source: RecordSource,
  sink: ReplaySink,
  options: ReplayOptions,
  onPiece: (bytesRead: number, requests: number) => void | Promise<void>,
  batches: BatchReplay | null = null,
): Promise<Summary> {
  const replay = new Replay(source.names, sink, options, undefined, batches);
  const { summary } = replay;
  const handler = options.filter === null ? replay : options.filter.watching(replay);
  try {
    const { lines, bytes } = await readRecords(source, handler, (read) => onPiece(read, summary.requests));
    replay.finish(lines);
    await onPiece(bytes, summary.requests);
    return summary;
  } finally {
    replay.close();
  }
}

/** Bytes of a trace from which on it pays to make a batch machine. */
const WORTH_A_MACHINE = 1 << 16;

function isWorthIt({ size }: ByteSource, { threads }: ReplayOptions): boolean {
  return threads === 2 || size === undefined || size >= WORTH_A_MACHINE;
}

/** Bytes of a trace from which on it pays to have a second thread. */
const WORTH_A_THREAD = 64 * 2 ** 20;

/** A second thread for a replay, where one is wanted. */
async function readAhead(
  machine: BatchMachine,
  source: ByteSource,
  { threads, strict, maxLineBytes }: ReplayOptions,
): Promise<ReadAhead | null> {
  const wanted =
    threads === "auto" ? (source.size ?? 0) >= WORTH_A_THREAD && availableParallelism() > 1 : threads === 2;
  if (!wanted || strict) return null;
  const ahead = new ReadAhead(machine, source, maxLineBytes);
  // Who asks for it gets it, if the trace is short.
  if (threads === 2) await ahead.begin();
  return ahead;
}

/**
 * Replays one trace from beginning to end, into NDJSON.
 *
 * @param source the trace (`openTrace` of parsers/trace/source.ts); closed at the end
 * @returns counts; the output records went to `hooks.write`
 * @throws what `hooks.write` throws, a closed pipe for example; nothing is half-written then
 */
export async function replayTrace(
  source: ByteSource,
  hooks: RunHooks,
  options: Partial<ReplayOptions> = {},
): Promise<Summary> {
  const all = { ...DEFAULT_OPTIONS, ...options };
  const wanted = all.fast && all.filter === null && isWorthIt(source, all);
  const machine = wanted ? BatchMachine.make() : null;
  const ahead = machine && (await readAhead(machine, source, all));
  const records = new TraceSource(source, { ...all, ahead });
  const out = new ByteWriter(machine?.outputs);
  const batches = machine && new BatchReplay(machine, out, all.only);
  let writing: Promise<void> = Promise.resolve();
  const flush = async () => {
    await writing;
    out.recycle();
    if (out.length === 0) return;
    writing = Promise.resolve(hooks.write(out.take()));
    // Whoever waits for it next is told; until then a failure is nobody's.
    writing.catch(() => {});
    // A live input may keep us waiting: that nobody reads the output any more must not wait with it.
    if (records.live) await writing;
  };
  try {
    const onPiece = (read: number, requests: number) => {
      hooks.progress?.(read, requests);
      // After every chunk, however small: a live input comes in small ones and is read as it happens.
      return flush();
    };
    const summary = await replayRecords(
      records,
      new NdjsonSink(out, all.only, all.trace),
      all,
      onPiece,
      batches,
    );
    await writing;
    if (wanted && machine === null) summary.missed.push("WebAssembly's SIMD");
    if (ahead !== null) {
      if (ahead.begun) summary.threads = 2;
      if (ahead.trouble !== null) summary.missed.push(`a second thread (${ahead.trouble})`);
    }
    return summary;
  } finally {
    // Whoever closes the output next must not find it still being written.
    await writing.catch(() => {});
  }
}
