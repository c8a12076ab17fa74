import { type FeedOptions, LineFeed } from "../line-feed.ts";
import type { BatchTaker, TraceHandler } from "../record-source.ts";
import type { FoundRecords } from "./calls.ts";
import { MAX_RECORDS, RECORD_BYTES, RECORD_END, RECORD_START, TEXT_AT } from "./layout.ts";
import type { BatchMachine } from "./machine.ts";
import { NameTables } from "./name-tables.ts";
import type { TextWindow } from "./windows.ts";

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
  /** Records that were found, how many, and the first that has not been looked at. */
  #found: FoundRecords;
  #count = 0;
  #next = 0;
  /** Where in the machine's memory the buffer is; 0: elsewhere. */
  #base = 0;

  constructor(handler: TraceHandler, options: FeedOptions, taker: BatchTaker) {
    super(handler, options, taker.machine.text);
    this.#machine = taker.machine;
    this.#taker = taker;
    this.#names = new NameTables(taker.machine, options.names);
    this.#longest = options.maxLineBytes;
    this.#found = taker.machine.found;
  }

  override reserve(): number {
    const at = super.reserve();
    // Text has moved.
    this.#base = this.buffer === this.#machine.text ? TEXT_AT : 0;
    this.#count = 0;
    return at;
  }

  lend(window: TextWindow): void {
    this.#base = window.at;
    this.#found = window.found;
    this.#names.update();
    // With names that it did not know, more records are found.
    this.#count = window.names === this.#names.entered ? window.count : 0;
    this.#next = 0;
    this.borrow(window.text, window.first, window.end);
  }

  protected override many(start: number, last: number): number {
    if (this.#base === 0 || this.isStrict) return start;
    const at = this.#base + start;
    if (this.#next >= this.#count || this.#found.words[this.#next * RECORD_WORDS + RECORD_START / 4] !== at) {
      const { found, calls } = this.#machine;
      this.#names.update();
      this.#found = found;
      this.#count = calls.scan(at, this.#base + last, this.#longest, found.at, MAX_RECORDS);
      this.#next = 0;
    }
    const from = this.#next;
    const end = Math.min(this.#count, from + MAX_RECORDS);
    const to = this.#taker.take(this.#found, from, end, this.lines + 1);
    // The one behind them is read by itself.
    this.#next = to + 1;
    if (to === from) return start;
    this.lines += to - from;
    return this.#found.words[(to - 1) * RECORD_WORDS + RECORD_END / 4]! + 1 - this.#base;
  }
}
