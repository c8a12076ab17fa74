import { packageVersion } from "../parsers/package-files.ts";
import { onlyTrace } from "../parsers/recognize.ts";
import { TraceSource } from "../parsers/trace/reader.ts";
import { openTrace } from "../parsers/trace/source.ts";
import type { FilterWords } from "../pipeline/filter/filter-words.ts";
import { DEFAULT_OPTIONS } from "../pipeline/replay/options.ts";
import { type ReportLimits, type TraceReport, traceReport } from "../pipeline/report/trace-report.ts";
import {
  renderReport,
  repeatedOptions,
  reportedFile,
  reportLimits,
} from "../pipeline/report-page/make-report.ts";
import type { ReportedTrace, ReportFormat, ReportView } from "../pipeline/report-page/view.ts";
import { filterText } from "../pipeline/words/filter-text.ts";
import { useColour } from "../pipeline/words/paint.ts";
import type { JudgingOptions } from "./commands/judging-options.ts";
import { folderOf, type MemoryLimits } from "./commands/memory-options.ts";
import { loadFilters } from "./filters.ts";
import { NO_PROGRESS, showProgress } from "./progress.ts";

export interface ReportFilesOptions extends MemoryLimits, JudgingOptions {
  readonly filter: FilterWords | undefined;
  readonly progress: boolean;
}

/**
 * Replays traces, each with memory and IOMMUs of its own, and makes one report of them.
 *
 * @param command that repeats it
 * @returns the report, and how many records could not be used
 * @throws TraceError where a trace cannot be opened
 */
export async function reportText(
  paths: readonly string[],
  format: ReportFormat,
  command: string,
  options: ReportFilesOptions,
): Promise<{ readonly text: string; readonly errors: number }> {
  const limits = reportLimits(paths.length);
  const filters = await loadFilters(options.filter);
  const traces: ReportedTrace[] = [];
  for (const path of paths) {
    const report = await reportOf(path, options, filters, limits);
    traces.push({ path, report, file: await reportedFile(path, report) });
  }
  const view: ReportView = {
    traces,
    command,
    options: repeatedOptions(options.baseFolder, options.allowPaths),
    filter: filterText(options.filter, []),
    version: packageVersion(),
  };
  const errors = traces.reduce((sum, { report }) => sum + report.counts.errors, 0);
  // A report is no text for a terminal, wherever it goes.
  useColour(false);
  return { text: await renderReport(view, format), errors };
}

async function reportOf(
  path: string,
  options: ReportFilesOptions,
  filters: Awaited<ReturnType<typeof loadFilters>>,
  limits: ReportLimits,
): Promise<TraceReport> {
  const { baseFolder: _, progress: shown, filter: _words, ...given } = options;
  const source = await onlyTrace(await openTrace(path));
  const progress = shown ? await showProgress(source) : NO_PROGRESS;
  try {
    const filter = filters?.forReplay() ?? null;
    const tables = filters?.forRecords() ?? null;
    const all = { ...DEFAULT_OPTIONS, ...given, filter, directory: folderOf(path, options) };
    return await traceReport(new TraceSource(source, all), all, limits, tables, (bytes, requests) =>
      progress.update(bytes, requests),
    );
  } finally {
    progress.stop();
  }
}
