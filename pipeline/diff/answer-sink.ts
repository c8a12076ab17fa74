import { DmaRecord } from "../../parsers/trace/records.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { ByteWriter } from "../output/byte-writer.ts";
import { HeldValues } from "../output/held-values.ts";
import { END_BYTES, OutcomeWriter } from "../output/outcome-writer.ts";
import type { ErrorRecord } from "../output/records.ts";
import type { OtherRecord, ReplaySink } from "../output/sink.ts";
import type { RequestFields } from "./request-queue.ts";

/** Who compares: takes requests with the texts of their answers, and what could not be used. */
export interface AnswerTaker {
  /** The answer is bytes `start` to `end` (exclusive); as the request, it is valid during the call only. */
  answer(line: number, request: RequestFields, bytes: Uint8Array, start: number, end: number): void;
  complaint(error: ErrorRecord): void;
}

interface HeldAnswer {
  readonly line: number;
  readonly request: DmaRecord;
  readonly text: Uint8Array;
}

/** Gives what our walk answers, as the text that the queue of a comparison keeps. */
export class AnswerSink implements ReplaySink {
  readonly #taker: AnswerTaker;
  readonly #text = new ByteWriter(1 << 12);
  readonly #writer = new OutcomeWriter(this.#text);
  readonly #held = new HeldValues<HeldAnswer>(({ line, request, text }) =>
    this.#taker.answer(line, request, text, 0, text.length),
  );

  constructor(taker: AnswerTaker) {
    this.#taker = taker;
  }

  outcome(line: number, _names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    if (!this.#held.isEmpty) {
      this.#held.put(this.#copy(line, request, outcome));
      return;
    }
    const end = this.#write(outcome);
    this.#taker.answer(line, request, this.#text.bytes, 0, end);
  }

  undecided(unit: IommuUnit, line: number, _names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    const atOnce = this.#copy(line, request, outcome);
    outcome.verdict = "stale";
    const waiting = this.#copy(line, request, outcome);
    outcome.verdict = "stale-after-invalidation";
    this.#held.putUndecided(unit, atOnce, waiting);
  }

  decided(unit: IommuUnit, waits: boolean): void {
    this.#held.decided(unit, waits);
  }

  record(record: OtherRecord): void {
    if (record.type === "error") this.#taker.complaint(record);
  }

  /** Writes an answer to the start of the text; @returns where it ends */
  #write(outcome: Outcome): number {
    this.#text.clear();
    this.#writer.writeAnswer(outcome);
    return this.#text.length - END_BYTES;
  }

  #copy(line: number, request: DmaRecord, outcome: Outcome): HeldAnswer {
    const copy = new DmaRecord();
    copy.copyFrom(request);
    const end = this.#write(outcome);
    return { line, request: copy, text: new Uint8Array(this.#text.bytes.subarray(0, end)) };
  }
}
