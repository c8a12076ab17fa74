import { DmaRecord } from "../../parsers/trace/records.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";

/** An outcome whose verdict is not decided yet: a copy, since what it came in is used again. */
export interface UndecidedOutcome {
  readonly line: number;
  readonly names: RequestNames;
  readonly request: DmaRecord;
  readonly outcome: Outcome;
}

/** Keeps outcomes until their verdicts are decided (`ReplaySink.undecided`): the replay sees to it that they are not many. */
export class UndecidedOutcomes {
  readonly #open = new Map<IommuUnit, UndecidedOutcome[]>();

  put(unit: IommuUnit, line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    const copy = new DmaRecord();
    copy.copyFrom(request);
    const one = { line, names, request: copy, outcome: Object.assign(new Outcome(), outcome) };
    const open = this.#open.get(unit);
    if (open === undefined) this.#open.set(unit, [one]);
    else open.push(one);
  }

  /** Takes out those of an IOMMU, with their verdicts, in their order. */
  decided(unit: IommuUnit, waits: boolean): readonly UndecidedOutcome[] {
    const decided = this.#open.get(unit) ?? [];
    this.#open.delete(unit);
    if (waits) for (const { outcome } of decided) outcome.verdict = "stale";
    return decided;
  }
}
