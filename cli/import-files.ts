import { dirname, relative, resolve } from "node:path";
import { openLog } from "../parsers/bind/input-file.ts";
import type { HostIommu } from "../parsers/caps/host.ts";
import type { CsvColumns } from "../parsers/logs/csv-columns.ts";
import type { LogFormat } from "../parsers/logs/format.ts";
import type { IommuEvent } from "../parsers/logs/iommu-events.ts";
import { KnownMemory } from "../parsers/logs/known-memory.ts";
import { type LineTaker, LogCutter } from "../parsers/logs/log-cutter.ts";
import { LogImport, type LogReport, type LogSink } from "../parsers/logs/log-import.ts";
import { LogCursor, mergeLines } from "../parsers/logs/merge.ts";
import { recordText } from "../parsers/logs/record-text.ts";
import { SimpleTrace } from "../parsers/logs/simple-trace.ts";
import type { MemoryImage } from "../parsers/memory/memory-image.ts";
import { openSnapshot } from "../parsers/memory/open-snapshot.ts";
import type { ByteSource } from "../parsers/trace/byte-source.ts";
import { MAX_LINE_BYTES } from "../parsers/trace/reader.ts";
import { type FeedChoice, TextInput } from "../parsers/trace/text-input.ts";
import { readyZstd } from "../parsers/zstd.ts";
import type { RecordPicker } from "../pipeline/filter/record-picker.ts";
import type { GuestMemory } from "../walkers/memory.ts";
import { CliError } from "./errors.ts";
import type { Output } from "./output.ts";

/** A file of guest memory, and where in the log it was taken. */
export interface MemoryFile {
  readonly path: string;
  /** From this line on, or this byte of the log; neither: from the beginning. */
  readonly line?: number;
  readonly offset?: number;
}

export interface ImportFilesOptions {
  /** Formats to look for. */
  readonly formats: readonly LogFormat[];
  readonly hosts: readonly HostIommu[];
  readonly memory: readonly MemoryFile[];
  /** Logs that are read to their end before the others, whatever the time in them. */
  readonly boot: readonly string[];
  /** Told what kernels report. */
  readonly onEvent?: (event: IommuEvent) => void;
  /** Told of each record, before it is written. */
  readonly onRecord?: (type: string, text: string) => void;
  /** The logs are tables with these columns. */
  readonly columns?: CsvColumns;
  /** Which requests and faults are written; undefined: all. */
  readonly picker?: RecordPicker;
  /** Path of the output: memory files are named relative to its folder. */
  readonly outputPath: string;
  /** What the header says beside the names of the logs. */
  readonly producer?: string;
  readonly comment?: string;
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
 * Turns logs into one trace.
 * @throws TraceError where one cannot be opened, CliError for a memory file; what `output` throws
 */
export async function importFiles(
  paths: readonly string[],
  output: Pick<Output, "write">,
  options: ImportFilesOptions,
): Promise<ImportReport> {
  const sources: ByteSource[] = [];
  const known = new KnownMemory();
  await readyZstd();
  try {
    for (const path of [...options.boot, ...paths]) sources.push(await openLog(path));
    const { formats, hosts, columns, onEvent, onRecord, picker } = options;
    const writer = new TraceWriter(output, onRecord, picker);
    const log = new LogImport(writer, {
      formats,
      hosts,
      ...(options.memory.length > 0 || options.onEnd !== undefined ? { memory: known } : {}),
      ...(columns === undefined ? {} : { columns }),
      ...(onEvent === undefined ? {} : { onEvent }),
    });
    writer.record(0, "header", headerText(paths, options));
    const snapshots = new Snapshots(log, known, options);
    snapshots.at(0, 0);
    const broken =
      sources.length === 1
        ? await readOne(sources[0]!, log, writer, snapshots)
        : await readSeveral(sources, options.boot.length, log, writer, snapshots);
    const late = snapshots.rest();
    for (const { type, text } of options.onEnd?.(known.now, log) ?? []) log.note(type, text);
    await writer.flush();
    return Object.assign(log, { broken, late, leftOut: picker?.leftOut });
  } finally {
    known.close();
    for (const source of sources) await source.close();
  }
}

function headerText(paths: readonly string[], { producer, comment }: ImportFilesOptions): string {
  return recordText("header", {
    format: "pasid-trace",
    version: 1,
    producer: producer ?? "pasid-replay import",
    comment: comment ?? paths.join(", "),
  });
}

/** Reads a log chunk by chunk: only the lines that may concern an IOMMU. */
async function readOne(
  source: ByteSource,
  log: LogImport,
  writer: TraceWriter,
  snapshots: Snapshots,
): Promise<string[]> {
  const broken: string[] = [];
  let position = () => 0;
  const taker: LineTaker = {
    get wanted() {
      return log.wanted;
    },
    line(number, raw) {
      snapshots.at(number, position());
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
  snapshots: Snapshots,
): Promise<string[]> {
  const cursors = sources.map((source) => new LogCursor(source));
  const groups = [...cursors.slice(0, before).map((cursor) => [cursor]), cursors.slice(before)];
  for (const group of groups)
    await mergeLines(
      group,
      (which, line) => {
        // Places in "the log" are those of the first one.
        if (group[which] === cursors[before]) snapshots.at(line.number, line.position);
        log.line(line.number, line.raw);
      },
      () => writer.flush(),
    );
  log.finish(cursors.reduce((lines, cursor) => lines + cursor.lines, 0));
  return cursors.filter(({ broken }) => broken !== "").map(({ broken }) => broken);
}

/** Puts memory files where they belong. */
class Snapshots {
  readonly #log: LogImport;
  readonly #known: KnownMemory;
  readonly #folder: string;
  /** Files whose place has not come, in order of their places. */
  readonly #waiting: MemoryFile[];

  constructor(log: LogImport, known: KnownMemory, { memory, outputPath }: ImportFilesOptions) {
    this.#log = log;
    this.#known = known;
    this.#waiting = memory.toSorted(
      (a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.offset ?? 0) - (b.offset ?? 0),
    );
    this.#folder = outputPath === "-" ? "." : dirname(outputPath);
    known.expect(this.#next());
  }

  /** The log has come to this line and byte. */
  at(line: number, offset: number): void {
    while (this.#waiting.length > 0) {
      const { line: from = 0, offset: byte = 0 } = this.#waiting[0]!;
      if (from > line || byte > offset) return;
      this.#write(this.#waiting.shift()!);
    }
  }

  /** Memory that was taken after the last line. @returns files whose place is not in the log */
  rest(): string[] {
    const late = this.#waiting.splice(0);
    for (const file of late) this.#write(file);
    return late.map(({ path, line, offset }) =>
      line === undefined ? `${path}@${offset}B` : `${path}@${line}`,
    );
  }

  #write({ path }: MemoryFile): void {
    this.#known.replace(open(path), this.#next());
    this.#log.snapshot(recordText("snapshot", { path: relative(resolve(this.#folder), resolve(path)) }));
  }

  #next(): MemoryImage | null {
    return this.#waiting.length === 0 ? null : open(this.#waiting[0]!.path);
  }
}

function open(path: string): MemoryImage {
  const opened = openSnapshot(resolve(path), dirname(resolve(path)), { expected: "a memory file" });
  if (!opened.ok) throw new CliError(opened.error);
  return opened.image;
}

/** Collects records, and writes them a chunk at a time. */
class TraceWriter implements LogSink {
  readonly #output: Pick<Output, "write">;
  readonly #listener: ImportFilesOptions["onRecord"];
  readonly #picker: RecordPicker | undefined;
  #lines: string[] = [];

  constructor(
    output: Pick<Output, "write">,
    listener: ImportFilesOptions["onRecord"],
    picker: RecordPicker | undefined,
  ) {
    this.#output = output;
    this.#listener = listener;
    this.#picker = picker;
  }

  record(line: number, type: string, text: string): void {
    if (this.#picker?.wants(line, type, text) === false) return;
    this.#listener?.(type, text);
    this.#lines.push(text, "\n");
  }

  async flush(): Promise<void> {
    if (this.#lines.length === 0) return;
    const text = this.#lines.join("");
    this.#lines = [];
    await this.#output.write(text);
  }
}
