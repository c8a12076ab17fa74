import type { DmaRecord } from "../../parsers/trace/records.ts";
import { FAULT } from "../../walkers/result.ts";
import type { Difference, Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { outcomeRecord } from "../output/outcome-record.ts";
import type { OutcomeRecord } from "../output/records.ts";
import { isWrong, WRONG_VERDICTS, type WrongVerdict } from "../summary/wrong-answers.ts";

/** Kinds that are told apart; further ones are only in the counts of the verdicts. */
const MOST_KINDS = 1 << 12;
/** Characters of what was observed that are kept: it may hold fields of any length. */
const MOST_OBSERVED = 2000;

/** Answers to one device and PASID that memory does not give, alike in what memory gives and in what was observed. */
export interface WrongAnswerKind {
  readonly verdict: WrongVerdict;
  /** What differs first; "" where the verdict says all. */
  readonly difference: Difference | "";
  /** The first of them, as memory answers it. */
  readonly first: OutcomeRecord;
  /** What was observed of it, as JSON text; "" where nothing was. */
  readonly observed: string;
  count: number;
}

/** The kinds of wrong answers of a replay, in bounded memory. */
export class AnswerKinds {
  readonly #byKey = new Map<string, WrongAnswerKind>();

  /** Kinds so far. */
  get size(): number {
    return this.#byKey.size;
  }

  add(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    const { verdict, difference, status } = outcome;
    if (!isWrong(verdict)) return;
    const { present, result, hasCode, code } = request.observed;
    const memory = status === FAULT ? outcome.fault!.name : status;
    const seen = present ? `${result} ${hasCode ? code : ""}` : "";
    const key = `${names.index} ${request.pasid} ${verdict} ${difference} ${memory} ${seen}`;
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      known.count++;
      return;
    }
    if (this.#byKey.size === MOST_KINDS) return;
    const first = outcomeRecord(line, names, request, outcome);
    const observed = request.observedText().slice(0, MOST_OBSERVED);
    this.#byKey.set(key, { verdict, difference, first, observed, count: 1 });
  }

  /** The worst verdict first, and of each the most frequent. */
  worstFirst(): WrongAnswerKind[] {
    const rank = ({ verdict }: WrongAnswerKind) => WRONG_VERDICTS.indexOf(verdict);
    return [...this.#byKey.values()].sort((a, b) => rank(a) - rank(b) || b.count - a.count);
  }
}
