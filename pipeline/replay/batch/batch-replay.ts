import type { BatchMachine } from "../../../parsers/trace/batch/machine.ts";
import type { BatchTaker } from "../../../parsers/trace/record-source.ts";
import { OK } from "../../../walkers/result.ts";
import type { ByteWriter } from "../../output/byte-writer.ts";
import { FIXED_TEXTS } from "../../output/outcome-writer.ts";
import type { Selection } from "../../output/selection.ts";

/** What a replay tells whoever answers its requests by the memo. */
export interface MemoOwner {
  /** Something is due before the next request: it is to be told of it by itself. */
  readonly isDue: boolean;
  /** Requests have been answered and counted in the memo. @param line of the last */
  answered(requests: number, line: number): void;
}

/** Has a batch machine answer requests, and write what they come to, where the memo knows it. */
export class BatchReplay implements BatchTaker {
  readonly machine: BatchMachine;
  readonly #out: ByteWriter;
  readonly #others: boolean;
  readonly #matches: boolean;
  #owner: MemoOwner | null = null;

  /**
   * @param out of the machine's memory (`outputs`)
   * @param only which outcomes are written
   */
  constructor(machine: BatchMachine, out: ByteWriter, only: Selection) {
    this.machine = machine;
    this.#out = out;
    this.#others = only.statuses[OK]!;
    this.#matches = this.#others || only.verdicts.has("match");
    machine.setTexts(FIXED_TEXTS);
  }

  set owner(owner: MemoOwner) {
    this.#owner = owner;
  }

  take(from: number, to: number, line: number): number {
    const out = this.#out;
    const { place } = out;
    if (place === 0 || this.#owner === null || this.#owner.isDue) return from;
    const { calls } = this.machine;
    const next = calls.answer(from, to, line, place, place + out.room, this.#others, this.#matches);
    if (next === from) return from;
    out.advance(calls.written() - place);
    this.#owner.answered(next - from, line + (next - from) - 1);
    return next;
  }
}
