import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { HeldValues } from "./held-values.ts";
import { outcomeRecord } from "./outcome-record.ts";
import type { OutputRecord } from "./records.ts";
import { type Selection, selects, selectsRecord } from "./selection.ts";
import { labelled, type OtherRecord, type ReplaySink } from "./sink.ts";

/** Makes an object of each selected record: what its line of NDJSON parses to. */
export class RecordSink implements ReplaySink {
  readonly #held: HeldValues<OutputRecord>;
  readonly #only: Selection;
  readonly #trace: string | undefined;

  /** @param trace stands in every record that is no outcome: those have it from their names; undefined: in none */
  constructor(take: (record: OutputRecord) => void, only: Selection, trace?: string) {
    this.#held = new HeldValues(take);
    this.#only = only;
    this.#trace = trace;
  }

  outcome(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    if (selects(this.#only, outcome)) this.#held.put(outcomeRecord(line, names, request, outcome));
  }

  undecided(unit: IommuUnit, line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    const record = () => (selects(this.#only, outcome) ? outcomeRecord(line, names, request, outcome) : null);
    const atOnce = record();
    outcome.verdict = "stale";
    const waiting = record();
    outcome.verdict = "stale-after-invalidation";
    this.#held.putUndecided(unit, atOnce, waiting);
  }

  decided(unit: IommuUnit, waits: boolean): void {
    this.#held.decided(unit, waits);
  }

  record(record: OtherRecord): void {
    if (selectsRecord(this.#only, record)) this.#held.put(labelled(record, this.#trace));
  }
}
