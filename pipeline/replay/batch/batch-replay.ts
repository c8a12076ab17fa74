import type { FoundRecords } from "../../../parsers/trace/batch/calls.ts";
import { fillFoundDma } from "../../../parsers/trace/batch/found-records.ts";
import {
  ANSWER_FAULTS,
  HAS_FAULT,
  RECORD_ANSWER,
  RECORD_BYTES,
  RECORD_FLAGS,
  SELECT_FAULT_MATCHES,
  SELECT_FAULTS,
  SELECT_OK,
  SELECT_OK_MATCHES,
} from "../../../parsers/trace/batch/layout.ts";
import type { BatchMachine } from "../../../parsers/trace/batch/machine.ts";
import type { BatchTaker } from "../../../parsers/trace/record-source.ts";
import { DmaRecord } from "../../../parsers/trace/records.ts";
import { FAULT, OK } from "../../../walkers/result.ts";
import type { ByteWriter } from "../../output/byte-writer.ts";
import { FIXED_TEXTS } from "../../output/outcome-writer.ts";
import type { Selection } from "../../output/selection.ts";

/** What a replay tells whoever answers its requests by the memo. */
export interface MemoOwner {
  /** Something is due before the next request: it is to be told of it by itself. */
  readonly isDue: boolean;
  /** Of faults it is enough to be told afterwards. */
  readonly isCalm: boolean;
  /** Requests have been answered and counted in the memo. @param line of the last */
  answered(requests: number, line: number): void;
  /** One of them with a fault. @param tail its number in the memo */
  faulted(line: number, record: DmaRecord, tail: number): void;
}

/** Has a batch machine answer requests, and write what they come to, where the memo knows it. */
export class BatchReplay implements BatchTaker {
  readonly machine: BatchMachine;
  readonly #out: ByteWriter;
  readonly #select: number;
  readonly #record = new DmaRecord();
  #owner: MemoOwner | null = null;

  /**
   * @param out of the machine's memory (`outputs`)
   * @param only which outcomes are written
   */
  constructor(machine: BatchMachine, out: ByteWriter, only: Selection) {
    this.machine = machine;
    this.#out = out;
    const matches = only.verdicts.has("match");
    const { [OK]: ok = false, [FAULT]: faults = false } = only.statuses;
    this.#select =
      (ok ? SELECT_OK : 0) |
      (ok || matches ? SELECT_OK_MATCHES : 0) |
      (faults ? SELECT_FAULTS : 0) |
      (faults || matches ? SELECT_FAULT_MATCHES : 0);
    machine.setTexts(FIXED_TEXTS);
  }

  set owner(owner: MemoOwner) {
    this.#owner = owner;
  }

  take(found: FoundRecords, from: number, to: number, line: number): number {
    const owner = this.#owner;
    const { place } = this.#out;
    if (place === 0 || owner === null || owner.isDue) return from;
    const { calls } = this.machine;
    const select = this.#select | (owner.isCalm ? ANSWER_FAULTS : 0);
    const next = calls.answer(found.at, from, to, line, place, place + this.#out.room, select);
    if (next === from) return from;
    this.#out.advance(calls.written() - place);
    const faults = calls.faulted();
    for (let i = 0; i < faults; i++) this.#faulted(owner, found.words, this.machine.faulted[i]!, line - from);
    owner.answered(next - from, line + (next - from) - 1);
    return next;
  }

  /** @param base line of a record less its number */
  #faulted(owner: MemoOwner, words: Int32Array, number: number, base: number): void {
    const record = this.#record;
    const at = number * (RECORD_BYTES / 4);
    fillFoundDma(record, words, number, 0);
    record.observed.present = (words[at + RECORD_FLAGS / 4]! & HAS_FAULT) !== 0;
    record.observed.result = FAULT;
    owner.faulted(base + number, record, words[at + RECORD_ANSWER / 4]!);
  }
}
