import { fileURLToPath } from "node:url";
import { logOf, openLog } from "../../parsers/bind/input-file.ts";
import { type HostIommu, stateOf } from "../../parsers/caps/host.ts";
import { csvColumns } from "../../parsers/logs/csv-columns.ts";
import type { LogFormat } from "../../parsers/logs/format.ts";
import { LOG_FORMATS } from "../../parsers/logs/registry.ts";
import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import type { FilterWords } from "../filter/filter-words.ts";
import { RecordFilter } from "../filter/record-filter.ts";
import { RecordPicker } from "../filter/record-picker.ts";
import { type ImportReport, importSources, type LogsOptions } from "../import/import-logs.ts";
import { type MemoryFile, MemoryFileError } from "../import/memory-files.ts";
import type { IommuCapabilities } from "./capabilities.ts";
import { LibraryError, unknownName } from "./library-error.ts";
import { filtered, handedOn, sourceOf, type TraceInput } from "./trace-input.ts";

/** How logs become a trace. */
export interface ImportOptions {
  /** Formats to look for, by their names in `logFormats`; default: all, line by line. */
  readonly from?: readonly string[];
  /** What the IOMMUs can do, as `capabilities` says it. */
  readonly hosts?: readonly IommuCapabilities[];
  /** Files of guest memory, and where in the first log each was taken. */
  readonly memory?: readonly MemoryFile[];
  /** Logs of an earlier time, to be read first: for what they say of IOMMUs. */
  readonly boot?: readonly TraceInput[];
  /** The logs are tables (CSV): which column, from 1 or by its name, holds what: "dev=2,addr=4,access=3,len=5*4". */
  readonly columns?: string;
  /** Which requests and faults are in the trace; default: all. What says what the machine was always is. */
  readonly filter?: FilterWords;
  /** Folder that the trace will lie in; default ".". Its `snapshot` records name files of memory relative to it. */
  readonly folder?: string;
}

/** What became of the lines of logs. */
export interface ImportSummary {
  /** Lines in all. Those that are neither understood nor ignored are of something else. */
  readonly lines: number;
  /** Lines whose content is in the trace. */
  readonly understood: number;
  /** Lines of a known format that say nothing for a trace, and lines of interest of no known format: how many of each kind. */
  readonly ignored: Readonly<Record<string, number>>;
  /** Records by type, with those that the filter leaves out, without the header. */
  readonly records: Readonly<Record<string, number>>;
  /** Requests and faults that the filter has left out; undefined: there is none. */
  readonly leftOut: number | undefined;
  /** What is missing from the logs, or from what can be made of them. */
  readonly lost: readonly LostFromLog[];
  /** Names of the formats that were met, in that order. */
  readonly formats: readonly string[];
  /** Why logs broke off, a sentence each. */
  readonly broken: readonly string[];
  /** Files of memory whose place ("end.elf@98122") comes behind the end of the log: they stand behind its last line. */
  readonly late: readonly string[];
}

/** One kind of loss. */
export interface LostFromLog {
  /** A word or two with dashes: "dropped-events". */
  readonly what: string;
  /** "error": verdicts after it may be wrong. */
  readonly severity: "error" | "warning" | "info";
  /** What is lost, and what to do about it. */
  readonly message: string;
  readonly count: number;
  /** Line of the first, from 1. */
  readonly line: number;
}

/** Formats of logs that `importLogs` reads, with what each is. */
export const logFormats: readonly { readonly name: string; readonly title: string }[] = LOG_FORMATS.map(
  ({ name, title }) => ({ name, title }),
);

/** A trace while it is made of logs. */
export interface ImportedTrace extends AsyncIterable<Uint8Array> {
  /** The trace as NDJSON, in chunks of whole lines: the bytes that `pasid-replay import` writes. */
  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined>;
  /** What became of the logs; undefined until the trace has been taken to its end. */
  readonly summary: ImportSummary | undefined;
}

/**
 * Turns logs (kernel, emulator, trace buffers) into a trace, as `pasid-replay import`. What it gives may be written to a
 * file, or passed to `replay`:
 *
 *     const trace = importLogs("qemu.log.gz");
 *     for await (const record of replay(trace)) console.log(record);
 *     console.log(trace.summary);
 *
 * The logs are opened once the trace is being taken, and closed where that is left early; then are thrown: TraceError where
 * one cannot be opened, LibraryError ("memory") where a file of memory cannot be read. A log that breaks off is in the summary.
 *
 * @param logs one, or several of one machine, which are merged by time; each may be compressed with gzip or zstd
 * @throws LibraryError ("argument") for options that make no sense
 */
export function importLogs(
  logs: TraceInput | readonly TraceInput[],
  options: ImportOptions = {},
): ImportedTrace {
  const inputs = Array.isArray(logs) ? (logs as readonly TraceInput[]) : [logs as TraceInput];
  const boot = options.boot ?? [];
  if (inputs.length === 0) throw new LibraryError("argument", "logs: expected one at least, found none");
  if (new Set([...boot, ...inputs]).size < boot.length + inputs.length)
    throw new LibraryError("argument", "logs: expected each log once, found one twice");
  // Here, so that a mistake is said by this call.
  settingsOf(inputs, options);
  return new LogsTrace(boot, inputs, () => settingsOf(inputs, options));
}

class LogsTrace implements ImportedTrace {
  summary: ImportSummary | undefined = undefined;
  readonly #boot: readonly TraceInput[];
  readonly #logs: readonly TraceInput[];
  readonly #settings: () => LogsOptions;

  constructor(boot: readonly TraceInput[], logs: readonly TraceInput[], settings: () => LogsOptions) {
    this.#boot = boot;
    this.#logs = logs;
    this.#settings = settings;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    const sources: ByteSource[] = [];
    try {
      for (const input of [...this.#boot, ...this.#logs]) sources.push(await logSource(input));
      const boot = sources.slice(0, this.#boot.length);
      const logs = sources.slice(this.#boot.length);
      yield* handedOn<Uint8Array>([], async (put) => {
        const write = (text: string) => put(Buffer.from(text));
        this.summary = summaryOf(await importSources(boot, logs, write, this.#settings()));
      });
    } catch (error) {
      throw error instanceof MemoryFileError ? new LibraryError("memory", error.message) : error;
    } finally {
      for (const source of sources) await source.close();
    }
  }
}

async function logSource(input: TraceInput): Promise<ByteSource> {
  if (typeof input === "string") return openLog(input);
  return input instanceof URL ? openLog(fileURLToPath(input)) : logOf(await sourceOf(input));
}

function settingsOf(logs: readonly TraceInput[], options: ImportOptions): LogsOptions {
  const { filter, columns: text, folder = ".", memory = [] } = options;
  const columns = text === undefined ? undefined : csvColumns(text);
  if (typeof columns === "string") throw new LibraryError("argument", `columns: ${columns}`);
  const picker = filter && filtered(() => new RecordPicker(new RecordFilter(filter)));
  return {
    formats: formatsOf(options.from),
    hosts: (options.hosts ?? []).map(hostOf),
    memory,
    folder,
    comment: logs.map(nameOf).join(", "),
    ...(columns && { columns }),
    ...(picker && { picker }),
  };
}

/** What the header calls a log. */
function nameOf(input: TraceInput): string {
  if (typeof input === "string") return input;
  if (input instanceof URL) return fileURLToPath(input);
  return input instanceof Uint8Array ? "memory" : "stream";
}

function formatsOf(names: readonly string[] | undefined): readonly LogFormat[] {
  if (names === undefined) return LOG_FORMATS;
  const known = LOG_FORMATS.map(({ name }) => name);
  for (const name of names) if (!known.includes(name)) throw unknownName("from", known, name);
  return LOG_FORMATS.filter(({ name }) => names.includes(name));
}

function hostOf({ id, model, source, notes, registers, props }: IommuCapabilities): HostIommu {
  const state = stateOf(registers);
  for (const [name, value] of Object.entries(props)) state.props.set(name, value);
  return { id, model, source, notes, state };
}

function summaryOf(report: ImportReport): ImportSummary {
  const { lines, understood, ignored, records, leftOut, lost, formats, broken, late = [] } = report;
  return {
    lines,
    understood,
    ignored: Object.fromEntries(ignored.sorted()),
    records: Object.fromEntries(records.sorted()),
    leftOut,
    lost: [...lost.values()].map(({ loss, count, line }) => ({ ...loss, count, line })),
    formats,
    broken,
    late,
  };
}
