/** The output records of the pasid-trace contract, version 1, as objects: what one line of output parses to. */
import type { AddressType } from "../../parsers/trace/accesses.ts";
import type { ErrorCode } from "../../parsers/trace/reader.ts";
import type { FaultReason } from "../../walkers/fault.ts";
import type { TableModel } from "../../walkers/models.ts";
import type { FaultClass } from "../../walkers/result.ts";
import type { Severity } from "../../walkers/tables/rule.ts";
import type { CacheStatistics } from "../caches/taken-invalidations.ts";
import type { Difference, Verdict } from "../iommus/outcome.ts";
import type { ModelCounters, ReplayCounters } from "./statistics.ts";

/** What became of one request. A field that does not apply is left out. */
export interface OutcomeRecord {
  readonly type: "outcome";
  /** Path of the trace, where several are replayed into one output. */
  readonly trace?: string;
  /** Line of the request in the input. */
  readonly line: number;
  readonly seq?: number;
  /** As the input gives it. */
  readonly ts?: number | string;
  readonly iommu?: string;
  readonly dev: string;
  readonly pasid?: number;
  /** Input address, hex. */
  readonly addr: string;
  /** Bytes. */
  readonly len: number;
  readonly access: "r" | "w" | "rw" | "x";
  readonly priv?: boolean;
  readonly at?: AddressType;
  readonly model: TableModel;
  readonly result: "ok" | "fault" | "msi";
  /** ok: physical address of the first byte, hex. */
  readonly pa?: string;
  /** ok: bytes that one TLB entry of this translation would map. */
  readonly page?: number;
  /** ok: rights that the walk grants: "rwx" with "-" for what is denied. */
  readonly perm?: string;
  /** VT-d DID, AMD DomainID, Arm VMID, RISC-V GSCID. */
  readonly domain?: number;
  /** Arm ASID, RISC-V PSCID. */
  readonly asid?: number;
  readonly passthrough?: true;
  /** ok: physical runs [address, bytes], where there is more than one. */
  readonly sg?: readonly (readonly [pa: string, len: number])[];
  readonly reason?: FaultReason;
  /** fault: the native fault code, hex, and the specification's name for it. */
  readonly code?: string;
  readonly name?: string;
  readonly stage?: 1 | 2;
  readonly level?: number;
  readonly class?: Exclude<FaultClass, "">;
  /** fault: where the failing entry is, and its 64-bit value, hex. */
  readonly entry_addr?: string;
  readonly entry?: string;
  /** false: this fault writes no record. */
  readonly recorded?: false;
  /** The fetch left all recorded memory. */
  readonly hole?: true;
  /** Where the fault is, if not at `addr`, hex. */
  readonly fault_addr?: string;
  /** Flag bits of the native fault record, hex. */
  readonly flags?: string;
  /** fault: a code that is as right, where the specification does not say which of two conditions is reported, hex. */
  readonly other_code?: string;
  /** Memory reads of an uncached walk. */
  readonly reads: number;
  /** A result that is as right, where the specification can be read in two ways. */
  readonly other_result?: OutcomeRecord["result"];
  readonly verdict?: Verdict;
  readonly diff?: Difference;
  /** stale, stale-after-invalidation, unflushed, hazard: line of the change that a cache, or the IOMMU, has not seen. */
  readonly changed_line?: number;
}

/** A record of the input that could not be used. */
export interface ErrorRecord {
  readonly type: "error";
  readonly trace?: string;
  readonly line: number;
  readonly code: ErrorCode;
  /** Field, what was expected, what was found. */
  readonly message: string;
}

/** Something worth a look; a rule may add fields of its own. */
export interface FindingRecord {
  readonly type: "finding";
  readonly trace?: string;
  readonly line: number;
  readonly severity: Severity;
  readonly rule: string;
  readonly iommu?: string;
  readonly dev?: string;
  readonly pasid?: number;
  readonly message: string;
  // ── of a table entry ──
  readonly pasids?: readonly [number, number];
  readonly structure?: string;
  readonly index?: number;
  readonly entry_addr?: string;
  readonly field?: string;
  readonly bits?: string;
  readonly value?: string;
  readonly source?: string;
  // ── of caches and commands ──
  readonly changed_line?: number;
  readonly until_line?: number;
  readonly first_line?: number;
  readonly issued_line?: number;
  readonly request_line?: number;
  readonly invalidated_line?: number;
  readonly fault_line?: number;
  readonly reused_line?: number;
  readonly requests?: number;
  readonly answered?: number;
  readonly latent?: true;
  readonly old?: string;
  readonly new?: string;
  readonly cache?: string;
  readonly command?: string;
  readonly command_register?: string;
  readonly register?: string;
  readonly data?: readonly string[];
  readonly forgotten?: number;
  // ── of what is not in the trace ──
  readonly what?: string;
  // ── of that, and of names ──
  readonly count?: number;
}

/** A label of the input. */
export interface MarkRecord {
  readonly type: "mark";
  readonly trace?: string;
  readonly line: number;
  readonly label: string;
}

/** Opens the output of one of several traces. */
export interface TraceRecord {
  readonly type: "trace";
  readonly path: string;
  /** Why it was not replayed. */
  readonly error?: string;
  /** Of `merge`: the counters are those of all traces together. */
  readonly merged?: true;
}

/** Counters of one IOMMU and table model. `trace` stands where several traces are replayed into one output. */
export type StatsRecord = ModelCounters & CacheStatistics & { readonly trace?: string };
/** Counters of a whole replay. */
export type SummaryRecord = ReplayCounters & { readonly trace?: string };

/** Counts of several replays together. */
export interface TotalRecord extends Omit<ReplayCounters, "type"> {
  readonly type: "total";
  /** Traces that were replayed, and those that could not be. */
  readonly traces: number;
  readonly failed?: number;
  /** Traces of which `merge` expected an output and found none. */
  readonly missing?: number;
}

/** Any record that a replay writes. */
export type OutputRecord =
  | OutcomeRecord
  | ErrorRecord
  | FindingRecord
  | MarkRecord
  | TraceRecord
  | StatsRecord
  | SummaryRecord;
