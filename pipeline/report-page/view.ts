import type { TraceReport } from "../report/trace-report.ts";

/** A page, or Markdown for a bug report. */
export const REPORT_FORMATS = ["html", "md"] as const;
/** How a report is written: a page, or Markdown. */
export type ReportFormat = (typeof REPORT_FORMATS)[number];

/** A trace with what is said of it. */
export interface ReportedTrace {
  /** As it was given; "-" is standard input. */
  readonly path: string;
  readonly report: TraceReport;
  /** Of a regular file: its bytes, and their SHA-256 in hex. */
  readonly file: { readonly bytes: number; readonly sha256: string } | undefined;
}

/** What is shown, and how it was asked for. */
export interface ReportView {
  readonly traces: readonly ReportedTrace[];
  /** The command that makes this report. */
  readonly command: string;
  /** Options that commands about the same traces repeat, as a shell takes them: " --base-folder /x"; "" where there are none. */
  readonly options: string;
  /** Filters that were given, in the same way. */
  readonly filter: string;
  /** Of this program. */
  readonly version: string;
}

/** How much is shown of each trace, so that a report stays small. */
export interface ShownLimits {
  /** Wrong answers, distinct faults, and rules. */
  readonly groups: number;
  /** Findings of each rule. */
  readonly examples: number;
  /** Bytes of walks. */
  readonly walks: number;
  /** Devices and PASIDs. */
  readonly spaces: number;
  /** Stretches of an address space. */
  readonly stretches: number;
  /** Columns of a timeline before anybody zooms; its data only where there is a script. */
  readonly columns: number;
  /** Characters of a text from the trace. */
  readonly characters: number;
}
