import type { HostIommu } from "../caps/host.ts";
import { CarriedLine } from "./carriers.ts";
import { Counter } from "./counter.ts";
import { CSV, CsvReader } from "./csv.ts";
import type { CsvColumns } from "./csv-columns.ts";
import type { LogFormat, LogLine, LogOutput, LogReader, Loss } from "./format.ts";
import type { IommuEvent } from "./iommu-events.ts";
import { KnownMemory } from "./known-memory.ts";
import type { LineTaker } from "./log-cutter.ts";
import { jsonText, lossText } from "./record-text.ts";
import { LOG_FORMATS } from "./registry.ts";

/** Takes the records that a log is turned into. */
export interface LogSink {
  /**
   * @param line line of the log that completes the record, from 1; never smaller than the one before
   * @param text the record as JSON, without a newline
   */
  record(line: number, type: string, text: string): void;
}

export interface LogOptions {
  /** Formats to read; default: all, each line by what is in it. */
  readonly formats?: readonly LogFormat[];
  /** Guest memory that is given beside the log. */
  readonly memory?: KnownMemory;
  readonly hosts?: readonly HostIommu[];
  /** Told what kernels report, beside the records that are made of it. */
  readonly onEvent?: (event: IommuEvent) => void;
  /** All lines are rows of a table with these columns. */
  readonly columns?: CsvColumns;
}

const DROPPED_EVENTS: Loss = {
  what: "dropped-events",
  severity: "error",
  message:
    "events that were not written, because they came faster than the log could take them: any of them may matter",
};

/** What became of a log's lines. */
export interface LogReport {
  readonly lines: number;
  /** Lines whose content is in the records. */
  readonly understood: number;
  /** Lines of a known format that say nothing for a trace, and lines of interest of no known format, by kind. */
  readonly ignored: Counter;
  /** Records by type. */
  readonly records: Counter;
  /** What is lost, by kind. */
  readonly lost: ReadonlyMap<string, { readonly loss: Loss; readonly count: number; readonly line: number }>;
  /** Names of the formats that were met, in that order. */
  readonly formats: readonly string[];
}

/** A reader that has been opened, with its format. */
interface OpenReader {
  readonly format: LogFormat;
  readonly reader: LogReader;
  /** It has taken a line. */
  taken: boolean;
}

/** Records of the same kind of loss are one, at the end of the log. */
interface Losing {
  readonly loss: Loss;
  /** Line of the first. */
  readonly line: number;
  count: number;
}

/** Turns the lines of a log into records: finds each line's format, and keeps count of what became of it. */
export class LogImport implements LineTaker, LogReport {
  lines = 0;
  understood = 0;
  readonly ignored = new Counter();
  readonly records = new Counter();
  readonly lost = new Map<string, Losing>();
  /** Lines that are given to `#follower` whatever is in them. */
  wanted = 0;
  readonly #sink: LogSink;
  readonly #rows: readonly LogFormat[];
  readonly #readers = new Map<LogFormat, OpenReader>();
  readonly #line = new CarriedLine();
  readonly #output: LogOutput;
  /** Memory as far as it is known; null where none is. */
  #known: KnownMemory | null;
  /** Who took the last line: most often, the next one is its as well. */
  #last: OpenReader | null = null;
  #follower: OpenReader | null = null;
  /** Who reads the line under way, and whether it has said that nothing is in it. */
  #reading: OpenReader | null = null;
  #nothing = false;

  constructor(sink: LogSink, options: LogOptions = {}) {
    this.#sink = sink;
    this.#known = options.memory ?? null;
    this.#rows = options.formats ?? LOG_FORMATS;
    const taken = this.#line;
    const memory = () => this.#known;
    this.#output = {
      get memory() {
        return memory() !== null;
      },
      get known() {
        return memory();
      },
      complete: () => {
        this.#known ??= new KnownMemory();
        this.#known.complete = true;
      },
      hosts: options.hosts ?? [],
      get line() {
        return taken.number;
      },
      record: (type, text) => this.#record(type, text),
      ignored: (kind) => {
        this.#nothing = true;
        this.ignored.add(kind);
      },
      retract: (kind) => {
        this.understood--;
        this.ignored.add(kind);
      },
      follow: (lines) => {
        this.wanted = lines;
        this.#follower = this.#reading;
      },
      event: (event) => options.onEvent?.(event),
      lost: (loss, count = 1) => this.#lose(loss, count),
    };
    if (options.columns !== undefined) this.#readTable(options.columns);
  }

  /** Reads every line as a row of a table. */
  #readTable(columns: CsvColumns): void {
    const open = { format: CSV, reader: new CsvReader(this.#output, columns), taken: false };
    this.#readers.set(CSV, open);
    this.#follower = open;
    this.wanted = Number.POSITIVE_INFINITY;
  }

  get formats(): readonly string[] {
    // A reader that has taken no line was opened for one that only looked like one of its format.
    return [...this.#readers.values()].filter(({ taken }) => taken).map(({ format }) => format.name);
  }

  /** The needles of the formats that are read. */
  get needles(): readonly string[] {
    return this.#rows.flatMap(({ needles }) => needles);
  }

  line(number: number, raw: string): void {
    const line = this.#line;
    line.take(number, raw);
    if (this.wanted > 0 && this.#follower !== null) {
      const follower = this.#follower;
      this.wanted--;
      if (this.#give(follower, line)) return;
      this.wanted = 0;
    }
    const reader = this.#readerOf(line.text);
    // Without a format, a line is of interest only where it has a needle, and not for having been wanted.
    if (reader === null || !this.#give(reader, line)) this.#unknown(line.text);
  }

  dropped(number: number, count: number): void {
    this.#line.number = number;
    this.#lose(DROPPED_EVENTS, count);
  }

  longLine(number: number): void {
    this.#line.number = number;
    this.ignored.add("line that is too long");
  }

  /** A record that is no line's: memory from a file. */
  snapshot(text: string): void {
    this.#record("snapshot", text);
    for (const { reader } of this.#readers.values()) reader.memoryReplaced?.();
  }

  /** A record that whoever made the log adds to it. */
  note(type: string, text: string): void {
    this.#record(type, text);
  }

  finish(lines: number): void {
    this.lines = lines;
    this.#line.number = lines;
    for (const open of this.#readers.values()) {
      this.#reading = open;
      open.reader.finish?.();
    }
    for (const { loss, count, line } of this.lost.values())
      this.#record("loss", lossText(loss.what, loss.severity, count, line, loss.message));
  }

  breakOff(_line: number, _message: string): void {}

  /** @returns whether the reader took the line */
  #give(open: OpenReader, line: LogLine): boolean {
    this.#reading = open;
    this.#nothing = false;
    if (!open.reader.line(line)) return false;
    open.taken = true;
    this.#last = open;
    if (!this.#nothing) this.understood++;
    return true;
  }

  #readerOf(text: string): OpenReader | null {
    if (this.#last?.format.detect(text)) return this.#last;
    for (const format of this.#rows)
      if (format.detect(text)) {
        let open = this.#readers.get(format);
        if (open === undefined) {
          open = { format, reader: format.open(this.#output), taken: false };
          this.#readers.set(format, open);
        }
        return open;
      }
    return null;
  }

  #unknown(text: string): void {
    if (this.#rows.some(({ needles }) => needles.some((needle) => text.includes(needle))))
      this.ignored.add(`unknown: ${kindOf(text)}`);
  }

  #record(type: string, text: string): void {
    if (type === "mem") this.#known?.mem(text);
    this.records.add(type);
    this.#sink.record(this.#line.number, type, text);
  }

  #lose(loss: Loss, count: number): void {
    const known = this.lost.get(loss.what);
    if (known === undefined) this.lost.set(loss.what, { loss, count, line: this.#line.number });
    else known.count += count;
  }
}

/** Characters of a line that tell its kind. */
const KIND_LENGTH = 60;

/** A line without its numbers, so that lines of one kind count together. */
function kindOf(text: string): string {
  const plain = text
    .slice(0, 2 * KIND_LENGTH)
    .trim()
    .replace(/\b(?:0x)?[0-9a-f]*\d[0-9a-f]*\b/gi, "#");
  return jsonText(plain.length > KIND_LENGTH ? `${plain.slice(0, KIND_LENGTH)}…` : plain).slice(1, -1);
}
