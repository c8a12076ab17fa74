import type { DmaRecord } from "../../parsers/trace/records.ts";
import { FAULT } from "../../walkers/result.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { ErrorLog } from "../output/error-log.ts";
import type { StatsRecord, SummaryRecord } from "../output/records.ts";
import type { OtherRecord, ReplaySink } from "../output/sink.ts";
import { DistinctFaults } from "./distinct-faults.ts";
import { FindingGroups } from "./finding-groups.ts";
import { SpacesCounted } from "./space-counts.ts";
import { UndecidedOutcomes } from "./undecided-outcomes.ts";
import { WrongAnswerGroups } from "./wrong-answers.ts";

/**
 * Adds up what a replay comes to, by device and PASID, by distinct fault and by rule, instead of writing it: memory does
 * not grow with the trace. It is for people; the counters of `stats` and `summary` are kept as they come.
 */
export class SummarySink implements ReplaySink {
  readonly spaces = new SpacesCounted();
  readonly faults = new DistinctFaults();
  readonly answers = new WrongAnswerGroups();
  readonly findings: FindingGroups;
  readonly errors = new ErrorLog();
  readonly stats: StatsRecord[] = [];
  summary: SummaryRecord | null = null;
  readonly #undecided = new UndecidedOutcomes();

  /** @param examples findings of each rule that are kept */
  constructor(examples?: number) {
    this.findings = new FindingGroups(examples);
  }

  outcome(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    this.spaces.of(names, request.pasid).add(line, request.len, outcome);
    if (outcome.status === FAULT) this.faults.add(line, names, request, outcome);
    const { verdict } = outcome;
    if (verdict !== "" && verdict !== "match") this.answers.add(line, names, request, outcome);
  }

  undecided(unit: IommuUnit, line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    this.#undecided.put(unit, line, names, request, outcome);
  }

  decided(unit: IommuUnit, waits: boolean): void {
    for (const { line, names, request, outcome } of this.#undecided.decided(unit, waits))
      this.outcome(line, names, request, outcome);
  }

  record(record: OtherRecord): void {
    switch (record.type) {
      case "finding":
        this.findings.add(record);
        break;
      case "error":
        this.errors.keep(record);
        break;
      case "stats":
        this.stats.push(record);
        break;
      case "summary":
        this.summary = record;
        break;
    }
  }
}
