import { fstatSync, statSync } from "node:fs";
import { onlyTrace } from "../parsers/recognize.ts";
import { openTrace } from "../parsers/trace/source.ts";
import { didYouMean } from "../parsers/trace/unknown-names.ts";
import { type SelectionName, selectionOf } from "../pipeline/output/selection.ts";
import type { Summary } from "../pipeline/output/statistics.ts";
import type { ReplayOptions } from "../pipeline/replay/options.ts";
import { replayTrace } from "../pipeline/replay/run.ts";
import { folderOf, type MemoryLimits } from "./commands/memory-options.ts";
import { CliError } from "./errors.ts";
import type { Output } from "./output.ts";
import { NO_PROGRESS, type Progress, showProgress } from "./progress.ts";
import { timingLine } from "./render/timing.ts";
import { say } from "./say.ts";

const STDIN = 0;
const STDOUT = 1;

export interface ReplayFilesOptions
  extends MemoryLimits,
    Pick<
      ReplayOptions,
      "caches" | "findings" | "strict" | "iotlb" | "compare" | "paGranularity" | "codeAliases" | "stats"
    > {
  /** Path of the output, to see that it is none of the traces. */
  readonly outputPath: string;
  readonly only: readonly SelectionName[] | undefined;
  readonly progress: boolean;
  readonly timing: boolean;
}

/**
 * Replays traces one after another, each with memory and IOMMUs of its own, into one output. Where there are
 * several, a `trace` record opens each one's output, and its `stats` and `summary` have a field of that name.
 *
 * @throws TraceError where a trace cannot be opened; what `output` throws
 */
export async function replayFiles(
  traces: readonly string[],
  output: Output,
  options: ReplayFilesOptions,
): Promise<Summary[]> {
  for (const trace of traces) refuseSameFile(trace, options.outputPath);
  const summaries: Summary[] = [];
  for (const trace of traces) {
    const label = traces.length > 1 ? trace : undefined;
    summaries.push(await replayFile(trace, label, output, options));
  }
  return summaries;
}

async function replayFile(
  path: string,
  label: string | undefined,
  output: Output,
  options: ReplayFilesOptions,
): Promise<Summary> {
  const started = performance.now();
  const source = await onlyTrace(await openTrace(path));
  if (label !== undefined) await output.write(`${JSON.stringify({ type: "trace", path: label })}\n`);
  const progress: Progress = options.progress ? await showProgress(source) : NO_PROGRESS;
  try {
    let requests = 0;
    const summary = await replayTrace(
      source,
      {
        write: (bytes) => output.write(bytes),
        progress: (bytesRead, done) => {
          requests = done;
          progress.update(bytesRead, done);
        },
      },
      {
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
        trace: label,
      },
    );
    progress.stop();
    remark(path, summary);
    requests = summary.records.get("dma") ?? requests;
    if (options.timing)
      process.stderr.write(
        timingLine(path, requests, summary.lines, source.consumed, performance.now() - started),
      );
    return summary;
  } finally {
    progress.stop();
  }
}

/** Names that are said at a terminal; the output has them all. */
const SHOWN_NAMES = 10;

/** Says on standard error what a reader of the output alone could overlook. */
function remark(path: string, { walked, unknownNames }: Summary): void {
  const trace = path === "-" ? "standard input" : path;
  if (walked === 0) say(`${trace}: expected requests to replay, found none`);
  if (!process.stderr.isTTY) return;
  for (const { name, near, count } of unknownNames.slice(0, SHOWN_NAMES))
    say(
      `${trace}: ${name} is not known, and was ignored ${count === 1 ? "once" : `${count} times`}${didYouMean(near)}`,
    );
}

/**
 * @param trace "-" for standard input
 * @param output "-" for standard output
 * @throws CliError where the output would replace what is read, or be read in turn
 */
export function refuseSameFile(trace: string, output: string): void {
  const from = trace === "-" ? fstatSync(STDIN) : statSync(trace, { throwIfNoEntry: false });
  const to = output === "-" ? fstatSync(STDOUT) : statSync(output, { throwIfNoEntry: false });
  if (from?.isFile() && to?.isFile() && from.dev === to.dev && from.ino === to.ino) {
    const found = output === "-" ? "standard output that leads to it" : JSON.stringify(output);
    throw new CliError(`--output: expected another file than the trace, found ${found}`, true);
  }
}
