/**
 * The library: what `import … from "pasid-replay"` gives.
 *
 * - `replay` and `replayBytes`: a whole trace into output records, or into NDJSON; `overview`: into one record.
 * - `Memory` and `Iommu`: one request through tables in a memory that you build or open.
 * - `inspect`: the tables of a trace; `diff`: where two recordings, or two replays, differ.
 * - `importLogs`: a trace of what a kernel's or an emulator's logs say.
 * - `explain`, `explainRecord`, `explainEntry`, `structures` and `decode`: what faults, fault records, table entries and commands
 *   say.
 * - `report`: a page, or Markdown, of what traces come to.
 * - `capabilities` and `check`: what a host's IOMMUs can do, and whether a PASID table belongs on one.
 *
 * Addresses and register values are bigint here; everything else is a number.
 */
import { readyZstd } from "../../parsers/zstd.ts";

export type { SnapshotFormat } from "../../parsers/memory/snapshot-formats.ts";
export { isTraceError, TraceError, type TraceErrorCode } from "../../parsers/trace/errors.ts";
export type { CommandProblem } from "../../walkers/commands/command-set.ts";
export { FAULT_REASONS, type Fault, type FaultReason } from "../../walkers/fault.ts";
export type { DecodedField, Layout, LayoutField as Field } from "../../walkers/layout.ts";
export type { IommuModel, TableModel } from "../../walkers/models.ts";
export type { PropertyValue } from "../../walkers/registers.ts";
export type { DiffErrorRecord, DiffRecord } from "../diff/difference.ts";
export type { DiffSummaryRecord } from "../diff/summary-record.ts";
export type { FilterWords } from "../filter/filter-words.ts";
export type { MemoryFile } from "../import/memory-files.ts";
export type { Difference, Verdict } from "../iommus/outcome.ts";
export type {
  ErrorRecord,
  FindingRecord,
  MarkRecord,
  OutcomeRecord,
  OutputRecord,
  StatsRecord,
  SummaryRecord,
  TraceRecord,
} from "../output/records.ts";
export type { SelectionName } from "../output/selection.ts";
export type { ReportFormat } from "../report-page/view.ts";
export type { OverviewRecord } from "../summary/overview.ts";
export type { PaGranularity } from "../verdicts/pa-granularity.ts";
export type { PageWalk, WalkStep } from "../walk/page-walk.ts";
export { capabilities, type FoundCapabilities, type IommuCapabilities } from "./capabilities.ts";
export { type BindingFinding, check } from "./check.ts";
export { decode, type QueueCommand } from "./decode.ts";
export { type CompareOptions, diff } from "./diff-stream.ts";
export {
  type ExplainedEntry,
  type ExplainedFault,
  type ExplainedRecord,
  explain,
  explainEntry,
  explainRecord,
  structures,
} from "./explain.ts";
export {
  type ImportedTrace,
  type ImportOptions,
  type ImportSummary,
  importLogs,
  type LostFromLog,
  logFormats,
} from "./import-stream.ts";
export { type InspectionRecord, type InspectOptions, inspect } from "./inspect-stream.ts";
export {
  type Faulted,
  type Interrupt,
  Iommu,
  type IommuSettings,
  type PasidTable,
  type Request,
  type Translated,
  type WalkOutcome,
} from "./iommu.ts";
export { LibraryError, type LibraryErrorCode } from "./library-error.ts";
export { Memory, type MemoryFileOptions } from "./memory.ts";
export { overview, replay, replayBytes } from "./replay-stream.ts";
export { type Report, type ReportOptions, report } from "./report.ts";
export type { StreamOptions } from "./stream-options.ts";
export type { TraceInput } from "./trace-input.ts";

// `Memory.fromFile` waits for nothing.
await readyZstd();
