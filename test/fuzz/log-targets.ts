/** A target for each format of logs: what is made of any log is a trace, whatever pieces the log came in. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { csvColumns } from "../../parsers/logs/csv-columns.ts";
import type { LogOptions } from "../../parsers/logs/log-import.ts";
import { LOG_FORMATS } from "../../parsers/logs/registry.ts";
import { isSimpleTrace } from "../../parsers/logs/simple-trace.ts";
import { LineFeed } from "../../parsers/trace/line-feed.ts";
import { MAX_LINE_BYTES } from "../../parsers/trace/reader.ts";
import { TraceNames } from "../../parsers/trace/records.ts";
import { importLog } from "../support/logs.ts";
import { fed } from "./fed.ts";
import type { Target } from "./targets.ts";

const FOLDER = "samples/logs";
/** Bytes of a sample: more would seldom be hit where it matters. */
const SEED_BYTES = 8192;
/** A piece that ends within lines, tokens and characters. */
const STEP = 61;

let samples: readonly Buffer[] = [];
function sampleLogs(): readonly Buffer[] {
  if (samples.length === 0)
    samples = readdirSync(FOLDER)
      .filter((name) => /\.(log\.gz|bin)$/.test(name))
      .sort()
      .map((name) => {
        const bytes = readFileSync(join(FOLDER, name));
        return name.endsWith(".gz") ? gunzipSync(bytes) : bytes;
      });
  return samples;
}

/** A trace's reader takes every record that a log was turned into, but for numbers that it holds to be out of range. */
function readBack(texts: readonly string[]): void {
  const none = () => {};
  const names = new TraceNames();
  let complaint = "";
  const feed = new LineFeed(
    {
      dma: none,
      mem: none,
      record: none,
      unknown: (_line, type) => {
        complaint ||= `a record of an unknown type, ${type}`;
      },
      error: (line, code, message) => {
        if (code !== "range") complaint ||= `${message}: ${texts[line - 1]}`;
      },
    },
    { names, maxLineBytes: MAX_LINE_BYTES },
  );
  fed(feed, Buffer.from(texts.join("\n")));
  if (complaint !== "") throw new Error(complaint);
}

function log(seeds: () => readonly Uint8Array[], options: LogOptions = {}): Target {
  return {
    seeds,
    run(bytes) {
      const { texts, lines, report } = importLog(bytes, options);
      readBack(texts);
      if (lines.some((line, i) => line < (lines[i - 1] ?? 1) || line > report.lines))
        throw new Error("a record of no line, or of one before the last record's");
      const inPieces = importLog(bytes, options, STEP).texts;
      const at = texts.findIndex((text, i) => text !== inPieces[i]);
      if (at >= 0 || inPieces.length !== texts.length)
        throw new Error(`in pieces: ${texts[at] ?? "less"} against ${inPieces[at] ?? "more"}`);
    },
  };
}

const COLUMNS = csvColumns("ts=Time,dev=Requester,addr=4,access=Type,len=Len*4,pasid=6,fault=7,pa=8");
const TABLE = [
  "Time,Type,Requester,Address,Len,PASID,Fault,PA",
  "0.1,MRd(64),02:00.0,0000_0001_2345_6000,16,,,0x1000",
  '0.2,"MWr64",0x0200,0x1000,1,5,0x50,',
  "0.4,FetchAdd64,02:00:1,2000h,1,0x3,,",
].join("\n");

export const LOG_TARGETS: Readonly<Record<string, Target>> = {
  ...Object.fromEntries(
    LOG_FORMATS.map(({ name }) => [
      `log-${name}`,
      log(() =>
        sampleLogs()
          .filter((bytes) => !isSimpleTrace(bytes, bytes.length))
          .filter((bytes) => importLog(bytes).report.formats.includes(name))
          .map((bytes) => bytes.subarray(0, bytes.lastIndexOf("\n", SEED_BYTES) + 1)),
      ),
    ]),
  ),
  "log-simple-trace": log(() => sampleLogs().filter((bytes) => isSimpleTrace(bytes, bytes.length))),
  "log-csv": log(() => [Buffer.from(TABLE)], typeof COLUMNS === "string" ? {} : { columns: COLUMNS }),
};
