import { normalize } from "node:path";
import { openTrace } from "../parsers/trace/source.ts";
import type { StatsRecord, SummaryRecord, TotalRecord, TraceRecord } from "../pipeline/output/records.ts";
import { StatsTotals } from "../pipeline/totals/stats-totals.ts";
import { TotalCounts } from "../pipeline/totals/total-counts.ts";
import { counted } from "../pipeline/words/columns.ts";
import { CliError } from "./errors.ts";
import { countersOf } from "./merged-records.ts";
import type { Output } from "./output.ts";
import { listedPaths } from "./path-list.ts";
import { say } from "./say.ts";

/** Traces of one kind that are named. */
const MOST_NAMED = 20;

export interface MergeOptions {
  /** A file with the paths of all traces, one a line; undefined: whatever there is. */
  readonly expected: string | undefined;
  /** Name the traces in the output, so that it can be merged again. */
  readonly names: boolean;
}

/**
 * Adds up the `stats` and `summary` records of outputs of replays, or of merges with the names of their traces.
 * @returns whether all is there and nothing else: what is not, standard error names
 * @throws CliError for what is no such output, a trace that is in two of them, or one whose replay did not end
 */
export async function mergeFiles(
  paths: readonly string[],
  { expected, names }: MergeOptions,
  output: Output,
): Promise<boolean> {
  const wanted =
    expected === undefined
      ? undefined
      : new Set((await listedPaths("--expect", expected)).map((path) => normalize(path)));
  const merge = new Merge();
  for (const path of paths) await merge.add(path);
  const missing = [...(wanted ?? [])].filter((trace) => !merge.has(trace));
  const others = wanted === undefined ? [] : merge.traces().filter((trace) => !wanted.has(trace));
  for (const record of merge.records(wanted && missing.length, names))
    await output.write(`${JSON.stringify(record)}\n`);
  const failed = merge.failed();
  sayAll(failed, "could not be replayed", ([trace, error]) =>
    error.startsWith(trace) ? error : `${trace}: ${error}`,
  );
  sayAll(missing, "missing", (trace) => `${trace}: expected its output, found none`);
  sayAll(
    others,
    "not expected",
    (trace) => `${trace}: expected none but those of ${expected}, found it in ${merge.outputOf(trace)}`,
  );
  return missing.length + others.length + failed.length === 0;
}

function sayAll<T>(all: readonly T[], what: string, text: (one: T) => string): void {
  if (all.length === 0) return;
  for (const one of all.slice(0, MOST_NAMED)) say(text(one));
  if (all.length > MOST_NAMED) say(`… and ${all.length - MOST_NAMED} more`);
  say(`${counted(all.length, "trace")}: ${what}`);
}

/** Which traces have been met in the output at hand. */
interface Reading {
  readonly path: string;
  /** The trace whose summary has not come. */
  open: string | undefined;
  /** Traces that a replay named, or whose summary came. */
  replayed: number;
  /** Traces that a merge named, and whose total has not come. */
  merged: number;
}

class Merge {
  readonly #stats = new StatsTotals();
  readonly #total = new TotalCounts();
  /** The output that each trace is in. */
  readonly #outputs = new Map<string, string>();
  readonly #errors = new Map<string, string>();

  has(trace: string): boolean {
    return this.#outputs.has(trace);
  }

  outputOf(trace: string): string | undefined {
    return this.#outputs.get(trace);
  }

  traces(): string[] {
    return [...this.#outputs.keys()];
  }

  /** Traces that could not be replayed, and why. */
  failed(): [trace: string, error: string][] {
    return [...this.#errors];
  }

  *records(missing: number | undefined, names: boolean): Generator<object> {
    if (names)
      for (const path of this.#outputs.keys()) {
        const error = this.#errors.get(path);
        yield {
          type: "trace",
          path,
          ...(error === undefined ? {} : { error }),
          merged: true,
        } satisfies TraceRecord;
      }
    yield* this.#stats.records();
    yield this.#total.record(missing);
  }

  async add(path: string): Promise<void> {
    const reading: Reading = { path, open: undefined, replayed: 0, merged: 0 };
    let found = false;
    for await (const { line, record } of countersOf(await openTrace(path), path)) {
      found = true;
      switch (record.type) {
        case "trace":
          this.#begin(record, reading);
          break;
        case "stats":
          this.#addStats(record, `${path}:${line}`);
          break;
        case "summary":
          this.#end(record, reading);
          break;
        case "total":
          this.#addTotal(record, reading, line);
          break;
      }
    }
    if (reading.open !== undefined) throw unended(path, reading.open);
    if (reading.merged > 0)
      throw new CliError(`${path}: expected a total of the traces that it names, found none`);
    if (!found) throw new CliError(`${path}: expected the output of a replay, with its summary, found none`);
  }

  #begin({ path: trace, error, merged }: TraceRecord, reading: Reading): void {
    if (reading.open !== undefined) throw unended(reading.path, reading.open);
    this.#claim(trace, reading.path);
    if (error !== undefined) this.#errors.set(normalize(trace), error);
    if (merged === true) {
      reading.merged++;
      return;
    }
    reading.replayed++;
    if (error === undefined) reading.open = trace;
    else this.#total.fail();
  }

  #addStats(record: StatsRecord, where: string): void {
    if (record.reads?.counts === undefined)
      throw new CliError(`${where}: expected stats with reads.counts, found none`);
    this.#stats.add(record);
  }

  #end(record: SummaryRecord, reading: Reading): void {
    // Of the only trace of an output the path is not told: the output's own stands for it.
    if (reading.open === undefined) {
      this.#claim(record.trace ?? reading.path, reading.path);
      reading.replayed++;
    }
    reading.open = undefined;
    this.#total.add(record);
  }

  /** A replay's total says what its summaries have said; that of a merge has nothing but its traces' names beside it. */
  #addTotal(record: TotalRecord, reading: Reading, line: number): void {
    if (reading.merged === 0 && reading.replayed > 0) return;
    const counts = record.traces + (record.failed ?? 0);
    if (counts !== reading.merged)
      throw new CliError(
        `${reading.path}:${line}: expected the names of the ${counts} traces of this total, as merge --names writes them, found ${reading.merged === 0 ? "none" : reading.merged}`,
      );
    reading.merged = 0;
    this.#total.addTotal(record);
  }

  #claim(path: string, output: string): void {
    const trace = normalize(path);
    const other = this.#outputs.get(trace);
    if (other !== undefined)
      throw new CliError(
        other === output
          ? `${path}: expected it once, found it twice in ${output}`
          : `${path}: expected it once, found it in ${other} and in ${output}`,
      );
    this.#outputs.set(trace, output);
  }
}

function unended(path: string, trace: string): CliError {
  return new CliError(`${path}: expected a summary of ${trace}, found none: its replay did not end`);
}
