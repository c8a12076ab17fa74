import type { DmaRecord } from "../../parsers/trace/records.ts";
import { FAULT } from "../../walkers/result.ts";
import type { StaleSource } from "../caches/history/stale-source.ts";
import type { Analysis } from "../findings/analysis.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Route } from "../iommus/iommus.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { ReplaySink } from "../output/sink.ts";
import { ModelStatistics, Summary } from "../output/statistics.ts";

/** Counts requests: by IOMMU and table model for `stats`, and by verdict for `summary`. */
export class Counters implements Analysis {
  readonly #summary: Summary;
  readonly #byUnit = new Map<IommuUnit, ModelStatistics[]>();
  /** Of the last request: mostly the next one's, too. */
  #last: ModelStatistics | null = null;
  #lastUnit: IommuUnit | null = null;

  constructor(summary: Summary) {
    this.#summary = summary;
  }

  request(
    _line: number,
    { unit, device }: Route,
    record: DmaRecord,
    outcome: Outcome,
    staleSource: StaleSource | null,
  ): void {
    const summary = this.#summary;
    this.#walked(outcome, 1);
    const { verdict } = outcome;
    if (verdict === "match") summary.matches++;
    else if (verdict !== "") {
      Summary.count(summary.verdicts, verdict);
      if (verdict === "stale" && staleSource?.invalidationPending !== true) summary.owed++;
    }
    this.#ofLast(unit, outcome.model).add(device, record.pasid, record.len, outcome);
  }

  /**
   * Counts requests that came to the same. Others of their IOMMU, device, PASID and domain have been counted one by one.
   * @param bytes all their lengths
   */
  alike(unit: IommuUnit, outcome: Outcome, requests: number, matches: number, bytes: number): void {
    this.#summary.matches += matches;
    this.#walked(outcome, requests);
    this.#ofLast(unit, outcome.model).addAlike(requests, bytes, outcome);
  }

  #walked({ status }: Outcome, requests: number): void {
    this.#summary.walked += requests;
    if (status === FAULT) this.#summary.faults += requests;
  }

  #ofLast(unit: IommuUnit, model: string): ModelStatistics {
    let statistics = this.#last;
    if (statistics === null || this.#lastUnit !== unit || statistics.model !== model) {
      statistics = this.#of(unit, model);
      this.#last = statistics;
      this.#lastUnit = unit;
    }
    return statistics;
  }

  /** The counters of one table model, made at its first request. */
  #of(unit: IommuUnit, model: string): ModelStatistics {
    const all = this.#byUnit.get(unit) ?? [];
    this.#byUnit.set(unit, all);
    const known = all.find((statistics) => statistics.model === model);
    if (known !== undefined) return known;
    const made = new ModelStatistics(unit.id, model);
    all.push(made);
    return made;
  }

  /**
   * Writes `stats` and `summary`.
   * @param units in order of declaration
   * @param trace name of the trace, where several are replayed into one output
   */
  report(sink: ReplaySink, units: readonly IommuUnit[], trace: string | undefined): void {
    const label = trace === undefined ? {} : { trace };
    for (const unit of units)
      this.#byUnit.get(unit)?.forEach((statistics, i) => {
        // The caches are those of the IOMMU: they stand once, whatever table formats it walked.
        const caches = i === 0 ? unit.caches?.invalidations.statistics() : undefined;
        sink.record({ ...statistics.record(), ...caches, ...label });
      });
    sink.record({ ...this.#summary.record(), ...label });
  }
}
