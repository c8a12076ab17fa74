import type { HostIommu } from "../../parsers/caps/host.ts";
import type { CsvColumns } from "../../parsers/logs/csv-columns.ts";
import type { LogFormat } from "../../parsers/logs/format.ts";
import type { IommuEvent } from "../../parsers/logs/iommu-events.ts";
import { KnownMemory } from "../../parsers/logs/known-memory.ts";
import { type LineTaker, LogCutter } from "../../parsers/logs/log-cutter.ts";
import { LogImport, type LogReport } from "../../parsers/logs/log-import.ts";
import { LogCursor, mergeLines } from "../../parsers/logs/merge.ts";
import { recordText } from "../../parsers/logs/record-text.ts";
import { SimpleTrace } from "../../parsers/logs/simple-trace.ts";
import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import { MAX_LINE_BYTES } from "../../parsers/trace/reader.ts";
import { type FeedChoice, TextInput } from "../../parsers/trace/text-input.ts";
import type { GuestMemory } from "../../walkers/memory.ts";
import type { RecordPicker } from "../filter/record-picker.ts";
import { type MemoryFile, MemoryFiles } from "./memory-files.ts";
import { type RecordListener, TraceWriter, type WriteText } from "./trace-writer.ts";

/** How logs become a trace. */
export interface LogsOptions {
  /** Formats to look for. */
  readonly formats: readonly LogFormat[];
  readonly hosts: readonly HostIommu[];
  readonly memory: readonly MemoryFile[];
  /** Folder that the trace will lie in: memory files are named relative to it. */
  readonly folder: string;
  /** Told what kernels report. */
  readonly onEvent?: (event: IommuEvent) => void;
  readonly onRecord?: RecordListener;
  /** The logs are tables with these columns. */
  readonly columns?: CsvColumns;
  /** Which requests and faults are written; undefined: all. */
  readonly picker?: RecordPicker;
  /** What the header says. */
  readonly producer?: string;
  readonly comment: string;
  /** Told at the end what memory is, as the trace has it. @returns records for the end of the trace */
  readonly onEnd?: (memory: GuestMemory, report: LogReport) => readonly AddedRecord[];
}

/** A record that is no line's. */
export interface AddedRecord {
  readonly type: string;
  /** JSON. */
  readonly text: string;
}

/** A log that broke off, with what it says of that. */
export interface ImportReport extends LogReport {
  readonly broken: readonly string[];
  /** Memory files whose place comes behind the end of the log. */
  readonly late?: readonly string[];
  /** Records that a filter has left out; undefined: there is none. */
  readonly leftOut?: number | undefined;
}

/**
 * Turns logs into one trace. The sources stay open.
 *
 * @param boot logs that are read to their end before the others, whatever the time in them
 * @throws MemoryFileError for a memory file; what `write` throws
 */
export async function importSources(
  boot: readonly ByteSource[],
  logs: readonly ByteSource[],
  write: WriteText,
  options: LogsOptions,
): Promise<ImportReport> {
  const known = new KnownMemory();
  try {
    const { formats, hosts, columns, onEvent, onRecord, picker } = options;
    const writer = new TraceWriter(write, onRecord, picker);
    const log = new LogImport(writer, {
      formats,
      hosts,
      ...(options.memory.length > 0 || options.onEnd !== undefined ? { memory: known } : {}),
      ...(columns === undefined ? {} : { columns }),
      ...(onEvent === undefined ? {} : { onEvent }),
    });
    writer.record(0, "header", headerText(options));
    const files = new MemoryFiles(log, known, options.memory, options.folder);
    files.at(0, 0);
    const sources = [...boot, ...logs];
    const broken =
      sources.length === 1
        ? await readOne(sources[0]!, log, writer, files)
        : await readSeveral(sources, boot.length, log, writer, files);
    const late = files.rest();
    for (const { type, text } of options.onEnd?.(known.now, log) ?? []) log.note(type, text);
    await writer.flush();
    return Object.assign(log, { broken, late, leftOut: picker?.leftOut });
  } finally {
    known.close();
  }
}

function headerText({ producer = "pasid-replay import", comment }: LogsOptions): string {
  return recordText("header", { format: "pasid-trace", version: 1, producer, comment });
}

/** Reads a log chunk by chunk: only the lines that may concern an IOMMU. */
async function readOne(
  source: ByteSource,
  log: LogImport,
  writer: TraceWriter,
  files: MemoryFiles,
): Promise<string[]> {
  const broken: string[] = [];
  let position = () => 0;
  const taker: LineTaker = {
    get wanted() {
      return log.wanted;
    },
    line(number, raw) {
      files.at(number, position());
      log.line(number, raw);
    },
    dropped: (number, count) => log.dropped(number, count),
    longLine: (number) => log.longLine(number),
    finish: (lines) => log.finish(lines),
    breakOff: (_line, message) => void broken.push(message),
  };
  const choose: FeedChoice = (layout) => {
    if (layout === "simple-trace") return new SimpleTrace(taker);
    const cutter = new LogCutter(taker, log.needles);
    position = () => cutter.position;
    return cutter;
  };
  const input = new TextInput(source, choose, MAX_LINE_BYTES);
  for (let more = true; more; await writer.flush()) more = await input.next();
  return broken;
}

/** Reads the first logs one after another, the others merged by time. */
async function readSeveral(
  sources: readonly ByteSource[],
  before: number,
  log: LogImport,
  writer: TraceWriter,
  files: MemoryFiles,
): Promise<string[]> {
  const cursors = sources.map((source) => new LogCursor(source));
  const groups = [...cursors.slice(0, before).map((cursor) => [cursor]), cursors.slice(before)];
  for (const group of groups)
    await mergeLines(
      group,
      (which, line) => {
        // Places in "the log" are those of the first one.
        if (group[which] === cursors[before]) files.at(line.number, line.position);
        log.line(line.number, line.raw);
      },
      () => writer.flush(),
    );
  log.finish(cursors.reduce((lines, cursor) => lines + cursor.lines, 0));
  return cursors.filter(({ broken }) => broken !== "").map(({ broken }) => broken);
}
