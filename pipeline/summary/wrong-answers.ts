import type { DmaRecord } from "../../parsers/trace/records.ts";
import { type Difference, type Outcome, VERDICTS, type Verdict } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { outcomeRecord } from "../output/outcome-record.ts";
import type { OutcomeRecord } from "../output/records.ts";

/** Verdicts that somebody must know of, the worst first: of the IOMMU, of the driver, of nobody that is known. */
export const WRONG_VERDICTS = [
  "mismatch",
  "stale-after-invalidation",
  "stale",
  "unflushed",
  "hazard",
] as const satisfies readonly Verdict[];
export type WrongVerdict = (typeof WRONG_VERDICTS)[number];

/** Devices and PASIDs that are counted of each. */
const MOST_SPACES = 1 << 12;

/** Answers that memory as it is does not give, or need not have given, in one way. */
export interface WrongAnswers {
  readonly verdict: WrongVerdict;
  /** What differs first; "" where the verdict says all. */
  readonly difference: Difference | "";
  /** The first of them, as memory answers it. */
  readonly first: OutcomeRecord;
  /** What was observed of it, as the trace gives it; "" where nothing was. */
  readonly observed: string;
  count: number;
  /** Pairs of a device and a PASID that they are of, as far as they are counted. */
  readonly spaces: Set<string>;
}

/** Groups of wrong answers: by verdict and what differs. */
export class WrongAnswerGroups {
  readonly #byKey = new Map<string, WrongAnswers>();

  add(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    const { verdict, difference } = outcome;
    if (!isWrong(verdict)) return;
    const key = `${verdict} ${difference}`;
    let group = this.#byKey.get(key);
    if (group === undefined) {
      const first = outcomeRecord(line, names, request, outcome);
      const observed = request.observedText();
      group = { verdict, difference, first, observed, count: 0, spaces: new Set() };
      this.#byKey.set(key, group);
    }
    group.count++;
    if (group.spaces.size < MOST_SPACES) group.spaces.add(`${names.index} ${request.pasid}`);
  }

  /** The worst verdict first, and of each the most. */
  worstFirst(): WrongAnswers[] {
    return [...this.#byKey.values()].sort(
      (a, b) => WRONG_VERDICTS.indexOf(a.verdict) - WRONG_VERDICTS.indexOf(b.verdict) || b.count - a.count,
    );
  }
}

export function isWrong(verdict: Verdict | ""): verdict is WrongVerdict {
  return (WRONG_VERDICTS as readonly string[]).includes(verdict);
}

/** Counts of verdicts, those that something is wrong with first. */
export function byWorst(verdicts: Readonly<Record<string, number>>): [Verdict, number][] {
  const order: readonly Verdict[] = [...new Set<Verdict>([...WRONG_VERDICTS, ...VERDICTS])];
  return order.flatMap((verdict): [Verdict, number][] =>
    verdicts[verdict] === undefined ? [] : [[verdict, verdicts[verdict]]],
  );
}
