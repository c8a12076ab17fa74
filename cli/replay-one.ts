import { onlyTrace } from "../parsers/recognize.ts";
import type { ByteSource } from "../parsers/trace/byte-source.ts";
import { openTrace } from "../parsers/trace/source.ts";
import { didYouMean } from "../parsers/trace/unknown-names.ts";
import type { FilterWords } from "../pipeline/filter/filter-words.ts";
import { type SelectionName, selectionOf } from "../pipeline/output/selection.ts";
import type { Summary } from "../pipeline/output/statistics.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "../pipeline/replay/options.ts";
import { type RunHooks, replayTrace } from "../pipeline/replay/run.ts";
import { counted } from "../pipeline/words/columns.ts";
import { shellWord } from "../pipeline/words/shell-word.ts";
import type { JudgingOptions } from "./commands/judging-options.ts";
import { folderOf, type MemoryLimits } from "./commands/memory-options.ts";
import { loadFilters } from "./filters.ts";
import type { SummaryForm } from "./options.ts";
import type { Output } from "./output.ts";
import { NO_PROGRESS, type Progress, showProgress } from "./progress.ts";
import { timingLine } from "./render/timing.ts";
import { say } from "./say.ts";
import type { TableOptions } from "./table-options.ts";
import { writeText } from "./text-output.ts";
import { screenful } from "./text-width.ts";

/** How traces are replayed; what a thread can be given. */
export interface ReplayFilesOptions
  extends MemoryLimits,
    JudgingOptions,
    Pick<ReplayOptions, "stats" | "threads"> {
  readonly only: readonly SelectionName[] | undefined;
  /** Instead of records: a text for people, of several traces the counts alone; or one record for machines. */
  readonly summary: SummaryForm;
  readonly filter: FilterWords | undefined;
  /** Say at the end of a long output that there is a summary. */
  readonly hint: boolean;
  readonly progress: boolean;
  readonly timing: boolean;
  /** Tables instead of records. */
  readonly tables: TableOptions | undefined;
}

/**
 * Replays one trace into an output.
 * @param label its name in the output, where it is one of several
 * @throws TraceError where it cannot be opened; what `output` throws; CliError for a filter that makes no sense
 */
export async function replayOne(
  path: string,
  label: string | undefined,
  output: Output,
  options: ReplayFilesOptions,
): Promise<Summary> {
  const filters = await loadFilters(options.filter);
  const replayed = {
    ...replayOptions(path, options),
    trace: label,
    filter: filters?.forReplay() ?? null,
  };
  return replayFile(path, output, replayed, options);
}

function replayOptions(path: string, options: ReplayFilesOptions): ReplayOptions {
  return {
    ...DEFAULT_OPTIONS,
    directory: folderOf(path, options),
    allowPaths: options.allowPaths,
    maxLineBytes: options.maxLineBytes,
    snapshotCacheBytes: options.snapshotCacheBytes,
    memoryLimit: options.memoryLimit,
    caches: options.caches,
    findings: options.findings,
    strict: options.strict,
    iotlb: options.iotlb,
    compare: options.compare,
    paGranularity: options.paGranularity,
    codeAliases: options.codeAliases,
    only: selectionOf(options.only),
    stats: options.stats,
    threads: options.threads,
  };
}

async function replayFile(
  path: string,
  output: Output,
  replayed: ReplayOptions,
  options: ReplayFilesOptions,
): Promise<Summary> {
  const started = performance.now();
  const source = await onlyTrace(await openTrace(path));
  const progress: Progress = options.progress ? await showProgress(source) : NO_PROGRESS;
  try {
    let requests = 0;
    const told = (bytesRead: number, done: number) => {
      requests = done;
      progress.update(bytesRead, done);
    };
    const summary = await (options.tables !== undefined
      ? tabulated(source, output, path, replayed, options.tables, told)
      : options.summary === undefined
        ? written(path, source, output, replayed, options, told)
        : options.summary === "json"
          ? overviewed(path, source, output, replayed, told)
          : replayed.trace === undefined
            ? summarized(path, source, output, replayed, options, { told, done: () => progress.stop() })
            : onlyCounted(source, replayed, told));
    progress.stop();
    remark(path, summary);
    requests = summary.records.get("dma") ?? requests;
    if (options.timing)
      process.stderr.write(timingLine(path, requests, source.consumed, performance.now() - started, summary));
    return summary;
  } finally {
    progress.stop();
  }
}

/** As records. */
async function written(
  path: string,
  source: ByteSource,
  output: Output,
  replayed: ReplayOptions,
  { hint }: ReplayFilesOptions,
  progress: RunHooks["progress"],
): Promise<Summary> {
  const { trace } = replayed;
  if (trace !== undefined) await output.write(`${JSON.stringify({ type: "trace", path: trace })}\n`);
  let shown = 0;
  const write = (bytes: Buffer) => {
    shown += bytes.length;
    return output.write(bytes);
  };
  const summary = await replayTrace(source, { write, ...(progress && { progress }) }, replayed);
  if (hint && shown > screenful())
    say(`pasid-replay ${shellWord(path)} --summary shows what matters of this on one screen`);
  return summary;
}

/** As tables, each row of which says which trace it is of. */
async function tabulated(
  source: ByteSource,
  output: Output,
  trace: string,
  replayed: ReplayOptions,
  tables: TableOptions,
  progress: RunHooks["progress"],
): Promise<Summary> {
  const { tabulateTrace } = await import("./tabulate-trace.ts");
  return tabulateTrace(source, output, { ...replayed, trace }, tables, progress);
}

/** As text for people. */
async function summarized(
  path: string,
  source: ByteSource,
  output: Output,
  replayed: ReplayOptions,
  { filter }: ReplayFilesOptions,
  hooks: { told: NonNullable<RunHooks["progress"]>; done: () => void },
): Promise<Summary> {
  const { summarizeTrace } = await import("./summarize-trace.ts");
  const { text, summary } = await summarizeTrace(path, source, replayed, filter, hooks.told);
  hooks.done();
  await writeText(output, text);
  return summary;
}

/** As one record. */
async function overviewed(
  path: string,
  source: ByteSource,
  output: Output,
  replayed: ReplayOptions,
  told: NonNullable<RunHooks["progress"]>,
): Promise<Summary> {
  const { summarizedTrace } = await import("./summarize-trace.ts");
  const { overviewRecord } = await import("../pipeline/summary/overview.ts");
  const { sink, summary } = await summarizedTrace(source, { ...replayed, trace: undefined }, told);
  await output.write(`${JSON.stringify(overviewRecord(sink, path))}\n`);
  return summary;
}

/** For what all traces come to together. */
function onlyCounted(
  source: ByteSource,
  replayed: ReplayOptions,
  progress: NonNullable<RunHooks["progress"]>,
): Promise<Summary> {
  const nothing = { ...replayed, only: selectionOf([]), stats: false };
  return replayTrace(source, { write: () => {}, progress }, nothing);
}

/** Names that are said at a terminal; the output has them all. */
const SHOWN_NAMES = 10;

/** Says on standard error what a reader of the output alone could overlook. */
function remark(path: string, { walked, filtered, findings, unknownNames }: Summary): void {
  const trace = path === "-" ? "standard input" : path;
  if (walked === 0 && (filtered <= 0 || findings.size === 0))
    say(
      filtered <= 0
        ? `${trace}: expected requests to replay, found none`
        : `${trace}: the filter leaves none of ${counted(filtered, "request")}`,
    );
  if (!process.stderr.isTTY) return;
  for (const { name, near, count } of unknownNames.slice(0, SHOWN_NAMES))
    say(
      `${trace}: ${name} is not known, and was ignored ${count === 1 ? "once" : `${count} times`}${didYouMean(near)}`,
    );
}
