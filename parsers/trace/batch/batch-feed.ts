import { type FeedOptions, isLong, LineFeed } from "../line-feed.ts";
import type { BatchTaker, TraceHandler } from "../record-source.ts";
import { DmaRecord, MemRecord, type TraceNames } from "../records.ts";
import type { FoundRecords } from "./calls.ts";
import { fillFoundDma, fillFoundMem, foundCommand } from "./found-records.ts";
import {
  HAS_FAULT,
  HAS_OBSERVED,
  MAX_RECORDS,
  PLAIN_COMMAND,
  PLAIN_REQUEST,
  PLAIN_WRITE,
  RECORD_BYTES,
  RECORD_END,
  RECORD_FLAGS,
  RECORD_START,
  TEXT_AT,
} from "./layout.ts";
import type { BatchMachine } from "./machine.ts";
import { NameTables } from "./name-tables.ts";
import type { TextWindow } from "./windows.ts";

const RECORD_WORDS = RECORD_BYTES / 4;

/**
 * A trace, one record a line, whose requests, writes and commands are found many at once. Requests that the handler does not
 * take so are told of one by one, as everything else is.
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

  readonly #handler: TraceHandler;
  readonly #traceNames: TraceNames;
  readonly #dma = new DmaRecord();
  readonly #mem = new MemRecord();

  constructor(handler: TraceHandler, options: FeedOptions, taker: BatchTaker) {
    super(handler, options, taker.machine.text);
    this.#handler = handler;
    this.#traceNames = options.names;
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
    this.pauses = false;
    if (this.#base === 0 || this.isStrict) return start;
    const at = this.#base + start;
    if (this.#next >= this.#count || this.#found.words[this.#next * RECORD_WORDS + RECORD_START / 4] !== at) {
      const { found, calls } = this.#machine;
      this.#names.update();
      this.#found = found;
      this.#count = calls.scan(at, this.#base + last, this.#longest, found.at, MAX_RECORDS);
      this.#next = 0;
    }
    return this.#take(start);
  }

  /** Has records taken, from the next one on. @returns offset of the first line that is to be read by itself */
  #take(start: number): number {
    const { words } = this.#found;
    const from = this.#next;
    const end = Math.min(this.#count, from + MAX_RECORDS);
    let next = from;
    while (next < end) {
      const to = this.#taker.take(this.#found, next, end, this.lines + 1);
      this.lines += to - next;
      next = to;
      if (to === end || !this.#tell(words, to)) break;
      next++;
      // What came of it may have taken its time, or be the end.
      this.pauses = this.mustLook;
      if (this.pauses) break;
    }
    // The one behind them is read by itself.
    this.#next = this.pauses ? next : next + 1;
    return next === from ? start : words[(next - 1) * RECORD_WORDS + RECORD_END / 4]! + 1 - this.#base;
  }

  /** Tells of one record that is all there. @returns false where its line is to be read */
  #tell(words: Int32Array, number: number): boolean {
    const flags = words[number * RECORD_WORDS + RECORD_FLAGS / 4]!;
    if ((flags & (PLAIN_WRITE | PLAIN_COMMAND)) === 0) {
      if ((flags & PLAIN_REQUEST) === 0 || (flags & (HAS_OBSERVED | HAS_FAULT)) !== 0) return false;
      const dma = this.#dma;
      dma.bytes = this.buffer;
      fillFoundDma(dma, words, number, this.#base);
      this.#handler.dma(++this.lines, dma);
      if (isLong(dma)) this.lookSoon();
    } else if ((flags & PLAIN_WRITE) !== 0) {
      const mem = this.#mem;
      mem.bytes = this.buffer;
      fillFoundMem(mem, words, number, this.#base);
      this.#handler.mem(++this.lines, mem);
    } else {
      this.#handler.record(++this.lines, foundCommand(words, number, this.#traceNames));
      this.lookSoon();
    }
    return true;
  }
}
