import { DmaRecord } from "../../parsers/trace/records.ts";
import { FAULT } from "../../walkers/result.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { ErrorLog } from "../output/error-log.ts";
import type { StatsRecord, SummaryRecord } from "../output/records.ts";
import type { OtherRecord, ReplaySink } from "../output/sink.ts";
import { DistinctFaults } from "./distinct-faults.ts";
import { FindingGroups } from "./finding-groups.ts";
import { SpacesCounted } from "./space-counts.ts";
import { WrongAnswerGroups } from "./wrong-answers.ts";

/** An outcome whose verdict is not decided yet. */
interface Undecided {
  readonly unit: IommuUnit;
  readonly line: number;
  readonly names: RequestNames;
  readonly request: DmaRecord;
  readonly outcome: Outcome;
}

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
  #undecided: Undecided[] = [];

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
    const copy = new DmaRecord();
    copy.copyFrom(request);
    const kept = Object.assign(new Outcome(), outcome);
    this.#undecided.push({ unit, line, names, request: copy, outcome: kept });
  }

  decided(unit: IommuUnit, waits: boolean): void {
    if (this.#undecided.length === 0) return;
    const open = this.#undecided;
    this.#undecided = open.filter((one) => one.unit !== unit);
    for (const { unit: of, line, names, request, outcome } of open) {
      if (of !== unit) continue;
      if (waits) outcome.verdict = "stale";
      this.outcome(line, names, request, outcome);
    }
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
