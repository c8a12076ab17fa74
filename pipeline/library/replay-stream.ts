import { onlyTrace } from "../../parsers/recognize.ts";
import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import { TraceSource } from "../../parsers/trace/reader.ts";
import { ReplayFilter } from "../filter/replay-filter.ts";
import { RecordSink } from "../output/record-sink.ts";
import type { OutputRecord } from "../output/records.ts";
import { selectionOf } from "../output/selection.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "../replay/options.ts";
import { replayRecords, replayTrace } from "../replay/run.ts";
import { type OverviewRecord, overviewRecord } from "../summary/overview.ts";
import { SummarySink } from "../summary/summary-sink.ts";
import { checkOptions, type StreamOptions } from "./stream-options.ts";
import { filtered, handedOn, inputName, sourceOf, type TraceInput, traceFolder } from "./trace-input.ts";

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
  const batches = handedOn<OutputRecord[]>([source], (put) =>
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
  yield* handedOn<Uint8Array>([source], (put) =>
    replayTrace(source, { write: (bytes) => put(new Uint8Array(bytes)) }, all),
  );
}

/**
 * Replays a trace into one record of what it comes to, as `pasid-replay --summary --json`: verdicts, wrong answers, findings and
 * faults by kind, and counts of each device and PASID; the worst first.
 *
 * @throws as `replay`
 */
export async function overview(
  input: TraceInput,
  options: Omit<StreamOptions, "only" | "stats" | "trace"> = {},
): Promise<OverviewRecord> {
  const { source, all } = await opened(input, options);
  try {
    const sink = new SummarySink();
    await replayRecords(new TraceSource(source, all), sink, { ...all, trace: undefined }, () => {});
    return overviewRecord(sink, inputName(input));
  } finally {
    await source.close();
  }
}

async function opened(
  input: TraceInput,
  options: StreamOptions,
): Promise<{ source: ByteSource; all: ReplayOptions }> {
  checkOptions(options);
  const { only, filter: words, ...rest } = options;
  const filter = words === undefined ? null : filtered(() => new ReplayFilter(words));
  const directory = traceFolder(input);
  const source = await onlyTrace(await sourceOf(input));
  return { source, all: { ...DEFAULT_OPTIONS, directory, ...rest, only: selectionOf(only), filter } };
}
