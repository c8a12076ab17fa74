import { DmaRecord } from "../../parsers/trace/records.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";

/** An outcome whose verdict is not decided yet: a copy, since what it came in is used again. */
export interface UndecidedOutcome {
  readonly unit: IommuUnit;
  readonly line: number;
  readonly names: RequestNames;
  readonly request: DmaRecord;
  readonly outcome: Outcome;
}

/** Keeps outcomes until their verdicts are decided (`ReplaySink.undecided`): the replay sees to it that they are not many. */
export class UndecidedOutcomes {
  #open: UndecidedOutcome[] = [];

  put(unit: IommuUnit, line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    const copy = new DmaRecord();
    copy.copyFrom(request);
    this.#open.push({ unit, line, names, request: copy, outcome: Object.assign(new Outcome(), outcome) });
  }

  /** Takes out those of an IOMMU, with their verdicts, in their order. */
  decided(unit: IommuUnit, waits: boolean): readonly UndecidedOutcome[] {
    if (this.#open.length === 0) return this.#open;
    const decided = this.#open.filter((one) => one.unit === unit);
    this.#open = this.#open.filter((one) => one.unit !== unit);
    if (waits) for (const { outcome } of decided) outcome.verdict = "stale";
    return decided;
  }
}
