import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { onlyTrace } from "../../parsers/recognize.ts";
import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import { unpacked } from "../../parsers/trace/decompress.ts";
import { TraceSource } from "../../parsers/trace/reader.ts";
import { bytesSource, ChunkSource, openTrace } from "../../parsers/trace/source.ts";
import type { FilterWords } from "../filter/filter-words.ts";
import { PatternError } from "../filter/patterns.ts";
import { ReplayFilter } from "../filter/replay-filter.ts";
import { RecordSink } from "../output/record-sink.ts";
import type { OutputRecord } from "../output/records.ts";
import { selectionOf } from "../output/selection.ts";
import { Handoff } from "../replay/handoff.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "../replay/options.ts";
import { replayRecords, replayTrace } from "../replay/run.ts";
import { LibraryError } from "./library-error.ts";
import { checkOptions, type StreamOptions } from "./stream-options.ts";

/**
 * A trace: a file by its path or file URL ("-" is standard input), its bytes, or a stream of them (a Readable, a
 * web ReadableStream, any async iterable). Each may be compressed with gzip or zstd.
 */
export type TraceInput = string | URL | Uint8Array | AsyncIterable<Uint8Array | string>;

/**
 * Replays a trace into output records, in the order of the trace contract; the last one is the summary, unless
 * `stats` is false. A record of the trace that cannot be used becomes an `error` record. Leaving the loop early
 * closes the trace.
 *
 * @throws TraceError where the trace cannot be opened; LibraryError ("argument") for options that make no sense
 */
export async function* replay(
  input: TraceInput,
  options: StreamOptions = {},
): AsyncGenerator<OutputRecord, void, undefined> {
  const { source, all } = await opened(input, options);
  let records: OutputRecord[] = [];
  const sink = new RecordSink((record) => records.push(record), all.only, all.trace);
  const batches = handedOn<OutputRecord[]>(source, (put) =>
    replayRecords(new TraceSource(source, all), sink, all, () => {
      if (records.length === 0) return;
      const batch = records;
      records = [];
      return put(batch);
    }),
  );
  for await (const batch of batches) yield* batch;
}

/**
 * As `replay`, as NDJSON: chunks of whole lines, the same bytes that the command writes. Much faster where the
 * records are not looked at.
 */
export async function* replayBytes(
  input: TraceInput,
  options: StreamOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const { source, all } = await opened(input, options);
  yield* handedOn<Uint8Array>(source, (put) =>
    replayTrace(source, { write: (bytes) => put(new Uint8Array(bytes)) }, all),
  );
}

/** What `produce` puts, as it is taken. Leaving early closes the source. */
async function* handedOn<T>(
  source: ByteSource,
  produce: (put: (value: T) => Promise<void>) => Promise<unknown>,
): AsyncGenerator<T, void, undefined> {
  const handoff = new Handoff<T>();
  produce((value) => handoff.put(value)).then(
    () => handoff.end(),
    (error) => handoff.end(error),
  );
  try {
    yield* handoff.values();
  } finally {
    handoff.abandon();
    await source.close();
  }
}

async function opened(
  input: TraceInput,
  options: StreamOptions,
): Promise<{ source: ByteSource; all: ReplayOptions }> {
  checkOptions(options);
  const { only, filter: words, ...rest } = options;
  const filter = words === undefined ? null : filterOf(words);
  const directory = folderOf(input);
  const source = await onlyTrace(await sourceOf(input));
  return { source, all: { ...DEFAULT_OPTIONS, directory, ...rest, only: selectionOf(only), filter } };
}

function filterOf(words: FilterWords): ReplayFilter {
  try {
    return new ReplayFilter(words);
  } catch (error) {
    if (error instanceof PatternError) throw new LibraryError("argument", `filter: ${error.message}`);
    throw error;
  }
}

async function sourceOf(input: TraceInput): Promise<ByteSource> {
  if (typeof input === "string") return openTrace(input);
  if (input instanceof URL) return openTrace(fileURLToPath(input));
  if (input instanceof Uint8Array) return unpacked(bytesSource(input));
  if (typeof input?.[Symbol.asyncIterator] !== "function")
    throw new LibraryError(
      "argument",
      `input: expected a path, a URL, bytes or a stream of bytes, found ${input === null ? "null" : typeof input}`,
    );
  const stream = input as { destroy?: () => void };
  return unpacked(new ChunkSource("stream", input, () => stream.destroy?.()));
}

/** Where the `snapshot` records of a trace look for their files, unless the options say otherwise. */
function folderOf(input: TraceInput): string {
  if (input instanceof URL) return dirname(fileURLToPath(input));
  return typeof input === "string" && input !== "-" ? dirname(input) : ".";
}
