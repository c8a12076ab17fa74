import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import type { OutcomeRecord, OutputRecord, TraceRecord } from "./records.ts";

/** What a replay has to say beside outcomes. */
export type OtherRecord = Exclude<OutputRecord, OutcomeRecord | TraceRecord>;

/**
 * Takes what a replay comes to, in the order of the input. Calls are synchronous; a request and an outcome are used
 * again after the call, a record is not.
 */
export interface ReplaySink {
  /** @param line line of the request in the input */
  outcome(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void;
  /**
   * As `outcome`, for a verdict that the trace has not decided yet: it is `stale-after-invalidation`, and `stale` where
   * `decided` says of this IOMMU that it waits for its invalidations.
   */
  undecided(unit: IommuUnit, line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void;
  /** @param waits invalidations of the IOMMU act when they are completed; else at once */
  decided(unit: IommuUnit, waits: boolean): void;
  record(record: OtherRecord): void;
}

/** A record as it stands in an output of several traces; `stats` and `summary` say themselves of which they are. */
export function labelled(record: OtherRecord, trace: string | undefined): OtherRecord {
  if (trace === undefined || record.type === "stats" || record.type === "summary") return record;
  const { type, ...rest } = record;
  return { type, trace, ...rest } as OtherRecord;
}
