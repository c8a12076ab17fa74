import { type FeedOptions, LineFeed } from "../line-feed.ts";
import type { BatchTaker, TraceHandler } from "../record-source.ts";
import { RECORD_BYTES, RECORD_END, RECORD_START, TEXT_AT } from "./layout.ts";
import type { BatchMachine } from "./machine.ts";
import { NameTables } from "./name-tables.ts";

const RECORD_WORDS = RECORD_BYTES / 4;

/**
 * A trace, one record a line, whose requests are found many at once. Those that the handler does not take so are told of one
 * by one, as everything else is.
 */
export class BatchFeed extends LineFeed {
  readonly #machine: BatchMachine;
  readonly #taker: BatchTaker;
  readonly #names: NameTables;
  readonly #longest: number;
  // Records that were found: how many, and the first that has not been looked at.
  #count = 0;
  #next = 0;

  constructor(handler: TraceHandler, options: FeedOptions, taker: BatchTaker) {
    super(handler, options, taker.machine.text);
    this.#machine = taker.machine;
    this.#taker = taker;
    this.#names = new NameTables(taker.machine, options.names);
    this.#longest = options.maxLineBytes;
  }

  protected override use(bytes: Uint8Array): void {
    super.use(bytes);
    // Text has moved, or come.
    this.#count = 0;
    this.#next = 0;
  }

  protected override many(start: number, last: number): number {
    const machine = this.#machine;
    if (this.buffer !== machine.text || this.isStrict) return start;
    const { records } = machine;
    const at = TEXT_AT + start;
    if (this.#next >= this.#count || records[this.#next * RECORD_WORDS + RECORD_START / 4] !== at) {
      this.#names.update();
      this.#count = machine.calls.scan(at, TEXT_AT + last, this.#longest);
      this.#next = 0;
    }
    const from = this.#next;
    const to = this.#taker.take(from, this.#count, this.lines + 1);
    // The one behind them is read by itself.
    this.#next = to + 1;
    if (to === from) return start;
    this.lines += to - from;
    return records[(to - 1) * RECORD_WORDS + RECORD_END / 4]! + 1 - TEXT_AT;
  }
}
