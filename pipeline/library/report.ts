import { packageVersion } from "../../parsers/package-files.ts";
import { onlyTrace } from "../../parsers/recognize.ts";
import { TraceSource } from "../../parsers/trace/reader.ts";
import { RecordFilter } from "../filter/record-filter.ts";
import { ReplayFilter } from "../filter/replay-filter.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "../replay/options.ts";
import { type ReportLimits, type TraceReport, traceReport } from "../report/trace-report.ts";
import { renderReport, repeatedOptions, reportedFile, reportLimits } from "../report-page/make-report.ts";
import { REPORT_FORMATS, type ReportedTrace, type ReportFormat } from "../report-page/view.ts";
import { filterText } from "../words/filter-text.ts";
import { shellWord } from "../words/shell-word.ts";
import { LibraryError, unknownName } from "./library-error.ts";
import { checkOptions, type StreamOptions } from "./stream-options.ts";
import { filtered, inputName, sourceOf, type TraceInput, traceFolder } from "./trace-input.ts";

/** What a report is of, and how it is written; options that `replay` has too mean the same. */
export interface ReportOptions
  extends Pick<
    StreamOptions,
    | "allowPaths"
    | "caches"
    | "codeAliases"
    | "compare"
    | "directory"
    | "filter"
    | "findings"
    | "iotlb"
    | "maxLineBytes"
    | "memoryLimit"
    | "paGranularity"
    | "snapshotCacheBytes"
    | "strict"
  > {
  /** "html" (default): a page that loads nothing, of 5 MB at most. "md": Markdown of 60,000 characters at most. */
  readonly format?: ReportFormat;
  /** What the report says to repeat it; default: the `pasid-replay report` that does, but for limits of memory. */
  readonly command?: string;
}

/** A report of traces. */
export interface Report {
  /** HTML or Markdown. */
  readonly text: string;
  /** Records that could not be used: where there are any, the report may be incomplete, and says so. */
  readonly errors: number;
}

/**
 * Replays traces, each with memory and IOMMUs of its own, and makes one report of them, as `pasid-replay report`. Commands in it
 * name a trace by its path; what is given as bytes or a stream is called "memory" or "stream".
 *
 * @param traces one, or several
 * @throws TraceError where one cannot be opened; LibraryError ("argument") for options that make no sense
 */
export async function report(
  traces: TraceInput | readonly TraceInput[],
  options: ReportOptions = {},
): Promise<Report> {
  const { format = "html", command, ...given } = options;
  if (!REPORT_FORMATS.includes(format)) throw unknownName("format", REPORT_FORMATS, format);
  checkOptions(given);
  const inputs = Array.isArray(traces) ? (traces as readonly TraceInput[]) : [traces as TraceInput];
  if (inputs.length === 0) throw new LibraryError("argument", "traces: expected one at least, found none");
  const limits = reportLimits(inputs.length);
  const reported: ReportedTrace[] = [];
  for (const input of inputs) reported.push(await reportedTrace(input, given, limits));
  const view = {
    traces: reported,
    command: command ?? commandOf(inputs.map(inputName), format, given),
    options: repeatedOptions(given.directory, given.allowPaths ?? []),
    filter: filterText(given.filter, []),
    version: packageVersion(),
  };
  const errors = reported.reduce((sum, { report: { counts } }) => sum + counts.errors, 0);
  return { text: await renderReport(view, format), errors };
}

async function reportedTrace(
  input: TraceInput,
  { filter: words, ...given }: StreamOptions,
  limits: ReportLimits,
): Promise<ReportedTrace> {
  const filter = words === undefined ? null : filtered(() => new ReplayFilter(words));
  const tables = words === undefined ? null : filtered(() => new RecordFilter(words));
  const path = inputName(input);
  const source = await onlyTrace(await sourceOf(input));
  try {
    const { only: _, ...rest } = given;
    const all: ReplayOptions = { ...DEFAULT_OPTIONS, directory: traceFolder(input), ...rest, filter };
    const made: TraceReport = await traceReport(new TraceSource(source, all), all, limits, tables, () => {});
    const isFile = typeof input === "string" || input instanceof URL;
    return { path, report: made, file: isFile ? await reportedFile(path, made) : undefined };
  } finally {
    await source.close();
  }
}

/** The command that says the same. */
function commandOf(names: readonly string[], format: ReportFormat, options: StreamOptions): string {
  const { caches, findings, strict, iotlb = [], compare, paGranularity, codeAliases, filter } = options;
  const hex = (code: number) => `0x${code.toString(16)}`;
  const aliases = [...(codeAliases ?? [])].flatMap(([code, recorded]) =>
    [...recorded].map((other) => `${hex(code)}=${hex(other)}`),
  );
  const words = [
    ...(format === "html" ? [] : [`--format ${format}`]),
    ...(caches === false ? ["--no-caches"] : []),
    ...(findings === false ? ["--no-findings"] : []),
    ...(strict === true ? ["--strict"] : []),
    ...(iotlb.length === 0 ? [] : [`--iotlb ${iotlb.map(({ entries, ways }) => `${entries}x${ways}`)}`]),
    ...(compare === undefined ? [] : [`--compare ${compare}`]),
    ...(paGranularity === undefined ? [] : [`--pa-granularity ${paGranularity}`]),
    ...(aliases.length === 0 ? [] : [`--code-alias ${aliases}`]),
  ];
  const repeated = repeatedOptions(options.directory, options.allowPaths ?? []);
  return `${["pasid-replay report", ...names.map(shellWord), ...words].join(" ")}${repeated}${filterText(filter, [])}`;
}
