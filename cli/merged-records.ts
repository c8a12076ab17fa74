import type { ByteSource } from "../parsers/trace/byte-source.ts";
import type { StatsRecord, SummaryRecord, TotalRecord, TraceRecord } from "../pipeline/output/records.ts";
import { CliError } from "./errors.ts";

type Counters = StatsRecord | SummaryRecord | TraceRecord | TotalRecord;

/** How a line begins that is looked at; all others are stepped over. */
const WANTED = ["trace", "stats", "summary", "total"].map((type) => Buffer.from(`{"type":"${type}"`));
const NEWLINE = 10;
const CHUNK = 1 << 20;

/** The records of an output that count; it is closed. @throws CliError for one that breaks off */
export async function* countersOf(
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
