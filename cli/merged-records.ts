import type { ByteSource } from "../parsers/trace/byte-source.ts";
import { show } from "../parsers/trace/show.ts";
import type { StatsRecord, SummaryRecord, TotalRecord, TraceRecord } from "../pipeline/output/records.ts";
import { CliError } from "./errors.ts";

type Counters = StatsRecord | SummaryRecord | TraceRecord | TotalRecord;

/** How a line begins that is looked at; all others are stepped over. */
const WANTED = ["trace", "stats", "summary", "total"].map((type) => Buffer.from(`{"type":"${type}"`));
const LONGEST_BEGINNING = Math.max(...WANTED.map((begin) => begin.length));
const NEWLINE = 10;
const CHUNK = 1 << 20;
/** Longest record that counts, in bytes: much more than one of a trace with names and counts as many as are told apart. */
const LONGEST = 1 << 26;

/** A line that goes on for so many bytes has no end. */
const ENDLESS = 2 ** 30;

/**
 * The records of an output that count; it is closed.
 * @throws CliError for one that breaks off, or whose counters are none
 */
export async function* countersOf(
  source: ByteSource,
  path: string,
): AsyncGenerator<{ readonly line: number; readonly record: Counters }> {
  const chunk = Buffer.alloc(CHUNK);
  let rest = Buffer.alloc(0);
  let skipping = false;
  let skipped = 0;
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
        if (!skipping && isWanted(text)) yield { line, record: parsed(text, path, line) };
        skipping = false;
      }
      if (n === 0) return;
      rest = bytes.subarray(start);
      // Of a line that does not count, nothing is kept.
      skipping ||= rest.length > LONGEST_BEGINNING && !isWanted(rest);
      skipped = skipping ? skipped + rest.length : 0;
      if (skipped > ENDLESS)
        throw new CliError(`${path}: expected the output of a replay, found a line without an end`);
      if (skipping) rest = Buffer.alloc(0);
      else if (rest.length > LONGEST)
        throw new CliError(`${path}:${line + 1}: expected a record of at most ${LONGEST} bytes, found more`);
    }
  } finally {
    await source.close();
  }
}

function isWanted(text: Buffer): boolean {
  return WANTED.some((begin) => text.subarray(0, begin.length).equals(begin));
}

function parsed(text: Buffer, path: string, line: number): Counters {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(text.toString("utf8"));
  } catch {
    throw new CliError(`${path}:${line}: expected a record, found a line that breaks off`);
  }
  // A name that stands twice has its last value.
  if (!isCounters(record.type))
    throw new CliError(`${path}:${line}: expected counters, found ${show(record.type)}`);
  const wrong = NEEDED[record.type].find((name) => record[name] === undefined);
  const problem = wrong === undefined ? problemIn(record, "") : `${wrong}: expected a value, found none`;
  if (problem !== "") throw new CliError(`${path}:${line}: ${record.type}.${problem}`);
  return record as unknown as Counters;
}

const COUNTS = ["lines", "records", "errors", "findings", "verdicts"];
/** Fields without which a record adds up to nothing. */
const NEEDED: Readonly<Record<Counters["type"], readonly string[]>> = {
  trace: ["path"],
  stats: ["model", "reads"],
  summary: COUNTS,
  total: ["traces", ...COUNTS],
};
function isCounters(type: unknown): type is Counters["type"] {
  return typeof type === "string" && Object.hasOwn(NEEDED, type);
}

/** What is no counter, nor has some. */
const TEXTS = ["type", "path", "error", "trace", "iommu", "model"];

/** What is wrong with the counters of a record, "" where nothing is: each is a number that can be added up, or has such ones. */
function problemIn(counters: object, where: string): string {
  for (const [name, value] of Object.entries(counters)) {
    const path = `${where}${name}`;
    if (where === "" && TEXTS.includes(name)) {
      if (typeof value !== "string") return `${path}: expected a text, found ${show(value)}`;
    } else if (typeof value === "object" && value !== null && (name === "iotlb" || !Array.isArray(value))) {
      const problem = problemIn(value, `${path}.`);
      if (problem !== "") return problem;
    } else if (
      name !== "merged" &&
      !(typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER)
    )
      return `${path}: expected a number of at least 0, found ${show(value)}`;
  }
  return "";
}
