import { readFileSync } from "node:fs";
import type { ByteSource } from "../parsers/trace/byte-source.ts";
import { openTrace } from "../parsers/trace/source.ts";
import type { StatsRecord, SummaryRecord, TraceRecord } from "../pipeline/output/records.ts";
import { StatsTotals } from "../pipeline/totals/stats-totals.ts";
import { TotalCounts } from "../pipeline/totals/total-counts.ts";
import { CliError, reasonOf } from "./errors.ts";
import type { Output } from "./output.ts";
import { counted } from "./render/columns.ts";
import { say } from "./say.ts";

/** Missing traces that are named. */
const MOST_NAMED = 20;

/**
 * Adds up the `stats` and `summary` records of outputs of replays.
 * @param expected a file with the paths of all traces
 * @returns whether nothing is missing: what is, standard error names
 * @throws CliError for what is no such output, a trace that is in two of them, or one whose replay did not end
 */
export async function mergeFiles(
  paths: readonly string[],
  expected: string | undefined,
  output: Output,
): Promise<boolean> {
  const wanted = expected === undefined ? [] : linesOf(expected);
  const merge = new Merge();
  for (const path of paths) await merge.add(path);
  for (const record of merge.records()) await output.write(`${JSON.stringify(record)}\n`);
  const missing = wanted.filter((trace) => !merge.has(trace));
  if (missing.length === 0) return true;
  for (const trace of missing.slice(0, MOST_NAMED)) say(`${trace}: expected its output, found none`);
  if (missing.length > MOST_NAMED) say(`… and ${missing.length - MOST_NAMED} more`);
  say(
    `${counted(missing.length, "output")} of ${wanted.length} ${missing.length === 1 ? "is" : "are"} missing`,
  );
  return false;
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, "utf8")
      .split(/\r?\n/)
      .filter((line) => line !== "");
  } catch (error) {
    throw new CliError(`--expect: ${path}: found ${reasonOf(error)}`);
  }
}

class Merge {
  readonly #stats = new StatsTotals();
  readonly #total = new TotalCounts();
  /** The output that each trace is in. */
  readonly #outputs = new Map<string, string>();

  has(trace: string): boolean {
    return this.#outputs.has(trace);
  }

  *records(): Generator<object> {
    yield* this.#stats.records();
    yield this.#total.record();
  }

  async add(path: string): Promise<void> {
    /** The trace whose summary has not come. */
    let open: string | undefined;
    let found = false;
    for await (const { line, record } of countersOf(await openTrace(path), path)) {
      found = true;
      if (record.type === "stats") {
        const { reads } = record;
        if (reads?.counts === undefined)
          throw new CliError(`${path}:${line}: expected stats with reads.counts, found none`);
        this.#stats.add(record);
        continue;
      }
      if (record.type === "trace") {
        if (open !== undefined) throw unended(path, open);
        this.#claim(record.path, path);
        if (record.error === undefined) open = record.path;
        else this.#total.fail();
        continue;
      }
      // Of the only trace of an output the path is not told: the output's own stands for it.
      if (open === undefined) this.#claim(record.trace ?? path, path);
      open = undefined;
      this.#total.add(record);
    }
    if (open !== undefined) throw unended(path, open);
    if (!found) throw new CliError(`${path}: expected the output of a replay, with its summary, found none`);
  }

  #claim(trace: string, path: string): void {
    const other = this.#outputs.get(trace);
    if (other !== undefined)
      throw new CliError(`${trace}: expected it once, found it in ${other} and in ${path}`);
    this.#outputs.set(trace, path);
  }
}

function unended(path: string, trace: string): CliError {
  return new CliError(`${path}: expected a summary of ${trace}, found none: its replay did not end`);
}

type Counters = StatsRecord | SummaryRecord | TraceRecord;

/** How a line begins that is looked at; all others are stepped over. */
const WANTED = ["trace", "stats", "summary"].map((type) => Buffer.from(`{"type":"${type}"`));
const NEWLINE = 10;
const CHUNK = 1 << 20;

/** The records of an output that count. */
async function* countersOf(
  source: ByteSource,
  path: string,
): AsyncGenerator<{ readonly line: number; readonly record: Counters }> {
  const chunk = Buffer.alloc(CHUNK);
  let rest = Buffer.alloc(0);
  let line = 0;
  try {
    for (;;) {
      const n = await source.read(chunk, 0, CHUNK);
      const bytes = Buffer.concat([rest, n === 0 ? Buffer.from("\n") : chunk.subarray(0, n)]);
      let start = 0;
      for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
        const text = bytes.subarray(start, end);
        line++;
        start = end + 1;
        if (WANTED.some((begin) => text.subarray(0, begin.length).equals(begin)))
          yield { line, record: parsed(text, path, line) };
      }
      if (n === 0) return;
      rest = bytes.subarray(start);
    }
  } finally {
    await source.close();
  }
}

function parsed(text: Buffer, path: string, line: number): Counters {
  try {
    return JSON.parse(text.toString("utf8"));
  } catch {
    throw new CliError(`${path}:${line}: expected a record, found a line that breaks off`);
  }
}
