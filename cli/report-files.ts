import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { onlyTrace } from "../parsers/recognize.ts";
import { TraceSource } from "../parsers/trace/reader.ts";
import { openTrace } from "../parsers/trace/source.ts";
import type { FilterWords } from "../pipeline/filter/filter-words.ts";
import { DEFAULT_OPTIONS } from "../pipeline/replay/options.ts";
import { type ReportLimits, type TraceReport, traceReport } from "../pipeline/report/trace-report.ts";
import type { JudgingOptions } from "./commands/judging-options.ts";
import { folderOf, type MemoryLimits } from "./commands/memory-options.ts";
import { filterText } from "./filter-options.ts";
import { loadFilters } from "./filters.ts";
import { builtFile, packageVersion } from "./package-files.ts";
import { NO_PROGRESS, showProgress } from "./progress.ts";
import { useColour } from "./render/paint.ts";
import type { ReportedTrace, ReportView } from "./render/report/view.ts";
import { shellWord } from "./shell-word.ts";

export interface ReportFilesOptions extends MemoryLimits, JudgingOptions {
  readonly filter: FilterWords | undefined;
  readonly progress: boolean;
}

/** What is kept of a trace that is the only one; several share it. */
const LIMITS: ReportLimits = {
  buckets: 4096,
  walks: 400,
  maps: { devices: 2000, spaces: 500, stretches: 8000, stretchesOfSpace: 400 },
  enumeration: 4_000_000,
};
/** Traces that have as much as one alone. */
const FEW_TRACES = 4;

/**
 * Replays traces, each with memory and IOMMUs of its own, and makes one report of them.
 *
 * @param command that repeats it
 * @returns the report, and how many records could not be used
 * @throws TraceError where a trace cannot be opened
 */
export async function reportText(
  paths: readonly string[],
  format: "html" | "md",
  command: string,
  options: ReportFilesOptions,
): Promise<{ readonly text: string; readonly errors: number }> {
  const limits = limitsFor(paths.length);
  const filters = await loadFilters(options.filter);
  const traces: ReportedTrace[] = [];
  for (const path of paths) {
    const report = await reportOf(path, options, filters, limits);
    traces.push({ path, report, file: await fileOf(path, report) });
  }
  const view: ReportView = {
    traces,
    command,
    options: repeated(options),
    filter: filterText(options.filter, []),
    version: packageVersion(),
  };
  const errors = traces.reduce((sum, { report }) => sum + report.counts.errors, 0);
  return { text: await rendered(view, format), errors };
}

async function rendered(view: ReportView, format: "html" | "md"): Promise<string> {
  // A report is no text for a terminal, wherever it goes.
  useColour(false);
  if (format === "md") {
    const { reportMarkdown } = await import("./render/report/markdown.ts");
    return reportMarkdown(view);
  }
  const { reportPage } = await import("./render/report/page.ts");
  const style = builtFile("cli/report-page/style.css");
  return reportPage(view, { style, script: builtFile("cli/report-page/main.js") });
}

function limitsFor(traces: number): ReportLimits {
  if (traces <= FEW_TRACES) return LIMITS;
  const part = (n: number, least: number) => Math.max(Math.floor((n * FEW_TRACES) / traces), least);
  return {
    buckets: 2 * part(LIMITS.buckets / 2, 64),
    walks: part(LIMITS.walks, 4),
    maps: {
      devices: part(LIMITS.maps.devices, 10),
      spaces: part(LIMITS.maps.spaces, 10),
      stretches: part(LIMITS.maps.stretches, 100),
      stretchesOfSpace: part(LIMITS.maps.stretchesOfSpace, 20),
    },
    enumeration: LIMITS.enumeration,
  };
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

/** What tells a file from another one of the same name; undefined where it cannot be read again. */
async function fileOf(path: string, { bytes }: TraceReport): Promise<ReportedTrace["file"]> {
  if (path === "-" || !statSync(path).isFile()) return undefined;
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(path), hash);
  } catch {
    return undefined;
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** Options without which a command about the same trace would not say the same. */
function repeated({ baseFolder, allowPaths }: ReportFilesOptions): string {
  const folder = baseFolder === undefined ? "" : ` --base-folder ${shellWord(baseFolder)}`;
  return `${folder}${allowPaths.map((path) => ` --allow-path ${shellWord(path)}`).join("")}`;
}
