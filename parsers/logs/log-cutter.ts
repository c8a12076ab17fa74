import { NEWLINE } from "../trace/json-syntax.ts";
import type { Feed } from "../trace/line-feed.ts";
import { NeedleFinder } from "./needle-finder.ts";

/** What one read asks for. A multiple of four. */
const CHUNK_BYTES = 512 * 1024;
/** The longest line of a log that is looked at: the longest messages have a few hundred bytes. */
const MAX_LINE_BYTES = 64 * 1024;

/** Told about the lines of a log that may concern it. */
export interface LineTaker {
  /** Lines from here on that are wanted whatever is in them. */
  readonly wanted: number;
  /** Nothing more is wanted. */
  readonly stopped?: boolean;
  /** @param raw the line without its newline; what is no UTF-8 stands as U+FFFD */
  line(number: number, raw: string): void;
  /** The log says that so many of its events are missing here. */
  dropped?(number: number, count: number): void;
  /** A line of interest is longer than any message is. */
  longLine(number: number): void;
  /** @param lines lines of the whole log */
  finish(lines: number): void;
  /** The input broke off. */
  breakOff(line: number, message: string): void;
}

/** Cuts a log into lines, and gives those on that hold a needle or are wanted. The others cost next to nothing. */
export class LogCutter implements Feed {
  buffer = new Uint8Array(CHUNK_BYTES);
  lines = 0;
  /** Offset in the log of the line that is given on. */
  position = 0;
  readonly #taker: LineTaker;
  readonly #finder: NeedleFinder;
  #text = Buffer.from(this.buffer.buffer);
  #pairs = new Uint16Array(this.buffer.buffer);
  /** The unread text is bytes 0 to #fill of the buffer: whole lines are read as they come. */
  #fill = 0;
  /** Offset in the log of the buffer's first byte. */
  #offset = 0;
  /** In a line that is too long: what of it has come is dropped. */
  #skipping = false;

  constructor(taker: LineTaker, needles: readonly string[]) {
    this.#taker = taker;
    this.#finder = new NeedleFinder(needles);
  }

  get done(): boolean {
    return this.#taker.stopped === true;
  }

  /** A piece is worked on at once: it takes some milliseconds. */
  get busy(): boolean {
    return false;
  }

  work(): void {}

  get room(): number {
    return this.buffer.length - this.#fill;
  }

  reserve(): number {
    return this.#fill;
  }

  added(n: number): void {
    this.#fill += n;
    const end = this.buffer.subarray(0, this.#fill).lastIndexOf(NEWLINE) + 1;
    if (end > 0) {
      this.#read(end);
      this.buffer.copyWithin(0, end, this.#fill);
      this.#fill -= end;
      this.#offset += end;
    }
    if (this.#fill <= MAX_LINE_BYTES) return;
    if (!this.#skipping) this.#tooLong(this.lines + 1, 0, this.#fill);
    this.#skipping = true;
    this.#offset += this.#fill;
    this.#fill = 0;
  }

  /** A last line needs no newline. */
  finish(): void {
    if (this.#fill > 0 || this.#skipping) {
      this.buffer[this.#fill] = NEWLINE;
      this.#read(this.#fill + 1);
      this.#fill = 0;
    }
    this.#taker.finish(this.lines);
  }

  breakOff(message: string): void {
    if (this.done) return;
    this.#taker.finish(this.lines);
    this.#taker.breakOff(this.lines + 1, message);
  }

  /** Reads bytes 0 to `to` (exclusive), whole lines. */
  #read(to: number): void {
    const bytes = this.buffer;
    const taker = this.#taker;
    let p = 0;
    if (this.#skipping) {
      p = bytes.indexOf(NEWLINE) + 1;
      this.lines++;
      this.#skipping = false;
    }
    while (p < to && !this.done) {
      let start = p;
      if (taker.wanted === 0) {
        const hit = this.#finder.find(bytes, this.#pairs, p, to);
        this.lines += this.#finder.newlines;
        if (hit < 0) break;
        start = hit === 0 ? 0 : bytes.lastIndexOf(NEWLINE, hit - 1) + 1;
      }
      const end = bytes.indexOf(NEWLINE, start);
      this.lines++;
      this.position = this.#offset + start;
      if (end - start > MAX_LINE_BYTES) this.#tooLong(this.lines, start, end);
      else taker.line(this.lines, this.#text.toString("utf8", start, end));
      p = end + 1;
    }
  }

  #tooLong(number: number, start: number, end: number): void {
    if (this.#finder.find(this.buffer, this.#pairs, start, end) >= 0) this.#taker.longLine(number);
  }
}
