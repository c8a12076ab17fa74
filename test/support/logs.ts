import { LogCutter } from "../../parsers/logs/log-cutter.ts";
import { LogImport, type LogOptions, type LogReport } from "../../parsers/logs/log-import.ts";
import { isSimpleTrace, MAGIC_BYTES, SimpleTrace } from "../../parsers/logs/simple-trace.ts";
import { bytesSource } from "../../parsers/trace/source.ts";
import { replayTrace } from "../../pipeline/replay/run.ts";

export interface Imported {
  /** The records as text, and the line of the log that each is of. */
  readonly texts: readonly string[];
  readonly lines: readonly number[];
  readonly report: LogReport;
  readonly broken: readonly string[];
}

/** Imports a log, given to it in pieces of `step` bytes. */
export function importLog(log: string | Uint8Array, options: LogOptions = {}, step = 4096): Imported {
  const bytes = typeof log === "string" ? Buffer.from(log, "utf8") : log;
  const texts: string[] = [];
  const lines: number[] = [];
  const broken: string[] = [];
  const report = new LogImport(
    {
      record(line, _type, text) {
        texts.push(text);
        lines.push(line);
      },
    },
    options,
  );
  report.breakOff = (_line, message) => void broken.push(message);
  const simple = bytes.length >= MAGIC_BYTES && isSimpleTrace(bytes, bytes.length);
  const feed = simple ? new SimpleTrace(report) : new LogCutter(report, report.needles);
  for (let at = 0; at < bytes.length && !feed.done; ) {
    const to = feed.reserve();
    const n = Math.min(step, feed.room, bytes.length - at);
    feed.buffer.set(bytes.subarray(at, at + n), to);
    feed.added(n);
    at += n;
  }
  if (!feed.done) feed.finish();
  return { texts, lines, report, broken };
}

/** The records of what a replay writes about a log or a trace. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into records of all types
export async function replayed(input: string | Uint8Array): Promise<any[]> {
  const bytes = typeof input === "string" ? Buffer.from(input, "utf8") : input;
  const chunks: Buffer[] = [];
  await replayTrace(bytesSource(bytes), { write: (chunk) => void chunks.push(Buffer.from(chunk)) });
  return Buffer.concat(chunks)
    .toString("utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}
