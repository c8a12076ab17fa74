import type { ByteSource } from "../parsers/trace/byte-source.ts";
import { TraceSource } from "../parsers/trace/reader.ts";
import type { FilterWord, FilterWords } from "../pipeline/filter/filter-words.ts";
import type { Summary } from "../pipeline/output/statistics.ts";
import type { ReplayOptions } from "../pipeline/replay/options.ts";
import { replayRecords } from "../pipeline/replay/run.ts";
import { SummarySink } from "../pipeline/summary/summary-sink.ts";
import { filterText } from "../pipeline/words/filter-text.ts";
import { summaryText } from "./render/summary-text.ts";
import { textWidth } from "./text-width.ts";

/** Replays a trace into what a summary is made of. @param told after every chunk of input */
export async function summarizedTrace(
  source: ByteSource,
  options: ReplayOptions,
  told: (bytesRead: number, requests: number) => void,
): Promise<{ readonly sink: SummarySink; readonly summary: Summary }> {
  const sink = new SummarySink();
  return { sink, summary: await replayRecords(new TraceSource(source, options), sink, options, told) };
}

/** Replays a trace into a text for people. @param told after every chunk of input */
export async function summarizeTrace(
  path: string,
  source: ByteSource,
  options: ReplayOptions,
  filter: FilterWords | undefined,
  told: (bytesRead: number, requests: number) => void,
): Promise<{ readonly text: string; readonly summary: Summary }> {
  const { sink, summary } = await summarizedTrace(source, options, told);
  const view = {
    trace: path,
    options: (...but: FilterWord[]) => filterText(filter, but),
    width: textWidth(),
  };
  return { text: summaryText(sink, view), summary };
}
