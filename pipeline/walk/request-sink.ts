import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { ErrorLog } from "../output/error-log.ts";
import { outcomeRecord } from "../output/outcome-record.ts";
import type { OutcomeRecord } from "../output/records.ts";
import type { OtherRecord, ReplaySink } from "../output/sink.ts";

/** Keeps what a replay says of one request, and the errors before it. */
export class RequestSink implements ReplaySink {
  readonly errors = new ErrorLog();
  /** The request that comes is the one. */
  wanted = false;
  outcomeRecord: OutcomeRecord | null = null;
  /** Whose invalidations its verdict depends on, and what it is if that IOMMU waits for them. */
  #unit: IommuUnit | null = null;
  #waiting: OutcomeRecord | null = null;

  /** Its verdict is what it stays. */
  get decidedAll(): boolean {
    return this.#unit === null;
  }

  outcome(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    if (this.wanted) this.outcomeRecord = outcomeRecord(line, names, request, outcome);
  }

  undecided(unit: IommuUnit, line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    if (!this.wanted) return;
    this.outcomeRecord = outcomeRecord(line, names, request, outcome);
    this.#waiting = { ...this.outcomeRecord, verdict: "stale" };
    this.#unit = unit;
  }

  decided(unit: IommuUnit, waits: boolean): void {
    if (unit !== this.#unit) return;
    if (waits) this.outcomeRecord = this.#waiting;
    this.#unit = null;
  }

  record(record: OtherRecord): void {
    if (record.type === "error" && (this.wanted || this.outcomeRecord === null)) this.errors.keep(record);
  }
}
