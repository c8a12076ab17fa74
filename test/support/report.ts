import { dirname } from "node:path";
import { builtFile } from "../../parsers/package-files.ts";
import { TraceSource } from "../../parsers/trace/reader.ts";
import { bytesSource, openTrace } from "../../parsers/trace/source.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "../../pipeline/replay/options.ts";
import { type ReportLimits, type TraceReport, traceReport } from "../../pipeline/report/trace-report.ts";
import { reportPage } from "../../pipeline/report-page/page.ts";
import type { ReportedTrace, ReportView } from "../../pipeline/report-page/view.ts";

const REPORT_LIMITS: ReportLimits = {
  buckets: 4096,
  walks: 400,
  maps: { devices: 2000, spaces: 500, stretches: 8000, stretchesOfSpace: 400 },
  enumeration: 1_000_000,
};

/** The report of a trace file. */
export async function reportOf(path: string, options: Partial<ReplayOptions> = {}): Promise<TraceReport> {
  const all = { ...DEFAULT_OPTIONS, directory: dirname(path), ...options };
  return traceReport(new TraceSource(await openTrace(path), all), all, REPORT_LIMITS, null, () => {});
}

/** The report of a trace's records. */
export async function reportOfRecords(
  records: readonly object[],
  limits: ReportLimits = REPORT_LIMITS,
): Promise<TraceReport> {
  const text = records.map((record) => JSON.stringify(record)).join("\n");
  const source = new TraceSource(bytesSource(Buffer.from(`${text}\n`)));
  return traceReport(source, DEFAULT_OPTIONS, limits, null, () => {});
}

export function viewOf(traces: readonly Pick<ReportedTrace, "path" | "report">[]): ReportView {
  return {
    traces: traces.map((trace) => ({ ...trace, file: undefined })),
    command: "pasid-replay report trace.ndjson",
    options: "",
    filter: "",
    version: "1.2.3",
  };
}

/** A page as the command writes it. */
export function pageOf(view: ReportView): string {
  const style = builtFile("cli/report-page/style.css");
  return reportPage(view, { style, script: builtFile("cli/report-page/main.js") });
}
