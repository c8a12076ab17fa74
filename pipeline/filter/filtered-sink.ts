import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import type { OtherRecord, ReplaySink } from "../output/sink.ts";
import type { ReplayFilter } from "./replay-filter.ts";

/** Passes on what a filter wants. Findings have been looked at where they are counted, errors are always wanted. */
export class FilteredSink implements ReplaySink {
  readonly #sink: ReplaySink;
  readonly #filter: ReplayFilter;

  constructor(sink: ReplaySink, filter: ReplayFilter) {
    this.#sink = sink;
    this.#filter = filter;
  }

  outcome(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    if (this.#filter.outcome(line, names, request, outcome))
      this.#sink.outcome(line, names, request, outcome);
    else this.#filter.leftOut++;
  }

  undecided(unit: IommuUnit, line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    if (this.#filter.outcome(line, names, request, outcome))
      this.#sink.undecided(unit, line, names, request, outcome);
    else this.#filter.leftOut++;
  }

  decided(unit: IommuUnit, waits: boolean): void {
    this.#sink.decided(unit, waits);
  }

  record(record: OtherRecord): void {
    if (record.type !== "mark" || this.#filter.mark(record.line)) this.#sink.record(record);
  }
}
