import { fstatSync, statSync } from "node:fs";
import { isTraceError } from "../parsers/trace/errors.ts";
import type { Summary } from "../pipeline/output/statistics.ts";
import { TotalCounts } from "../pipeline/totals/total-counts.ts";
import { type CountedTrace, traceLine, traceTable } from "../pipeline/words/trace-table.ts";
import { CliError } from "./errors.ts";
import type { FolderOutput } from "./folder-output.ts";
import type { Output } from "./output.ts";
import { complaint } from "./render/complaint.ts";
import { type ReplayFilesOptions, replayOne } from "./replay-one.ts";
import { say } from "./say.ts";
import { writeText } from "./text-output.ts";

const STDIN = 0;
const STDOUT = 1;

/** How several traces are replayed. */
export interface ManyOptions {
  /** Path of the output, to see that it is none of the traces. */
  readonly outputPath: string;
  /** Threads. */
  readonly jobs: number;
  /** Go on with the others where a trace cannot be opened. */
  readonly keepGoing: boolean;
  /** Say of which trace each record is, as of several. */
  readonly named: boolean;
  /** Has a folder of its own for each trace; undefined: all go into the output itself. */
  readonly folders: FolderOutput | undefined;
}

/** What traces came to, and how many of them could not be replayed. */
export interface Replayed {
  readonly summaries: readonly Summary[];
  readonly failed: number;
}

/**
 * Replays traces, each with memory and IOMMUs of its own, into one output, in their order. Where they are named, a
 * `trace` record opens each one's output, its `stats` and `summary` have a field of that name, and a `total` record adds
 * up what they come to; the text for people is a table of all.
 *
 * @throws TraceError where a trace cannot be opened; what `output` throws; CliError for a filter that makes no sense
 */
export async function replayFiles(
  traces: readonly string[],
  output: Output,
  options: ReplayFilesOptions,
  many: ManyOptions,
): Promise<Replayed> {
  for (const trace of traces) refuseSameFile(trace, many.outputPath);
  if (!many.named) return { summaries: [await replayOne(traces[0]!, undefined, output, options)], failed: 0 };
  const pool = await poolOf(traces, options, many);
  const counts = new TotalCounts();
  const counted: CountedTrace[] = [];
  try {
    for (const [i, path] of traces.entries()) {
      const own = many.folders?.begin(path);
      const target = own ?? output;
      try {
        const summary = await (pool?.take(i, target) ?? replayOne(path, path, target, options));
        await own?.finish();
        counted.push({ path, summary });
        counts.add(summary.record());
        if (options.progress) say(`${i + 1} of ${traces.length}: ${traceLine(path, summary)}`);
      } catch (error) {
        if (!many.keepGoing || !isTraceError(error)) throw error;
        process.stderr.write(complaint(error));
        counts.fail();
        own?.abandon();
        if (options.summary !== "text" && options.tables?.table === undefined)
          await output.write(`${JSON.stringify({ type: "trace", path, error: error.message })}\n`);
      }
    }
  } finally {
    await pool?.close();
  }
  const total = counts.record();
  if (options.summary === "text") await writeText(output, traceTable(counted, total));
  else if (options.stats && options.tables?.table === undefined)
    await output.write(`${JSON.stringify(total)}\n`);
  return { summaries: counted.map(({ summary }) => summary), failed: total.failed ?? 0 };
}

async function poolOf(traces: readonly string[], options: ReplayFilesOptions, { jobs }: ManyOptions) {
  if (jobs === 1) return null;
  const { ReplayPool } = await import("./jobs/pool.ts");
  return new ReplayPool(traces, jobs, { ...options, progress: false });
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
