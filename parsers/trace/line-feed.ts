import { NEWLINE } from "./json-syntax.ts";
import { LineReader, type TraceHandler } from "./line-reader.ts";
import type { TraceNames } from "./records.ts";
import { DMA, RecordScanner } from "./scanner.ts";

/** What a trace is read with. */
export interface FeedOptions {
  readonly names: TraceNames;
  readonly maxLineBytes: number;
}

/** Takes a trace's text piece by piece and tells a handler its records. */
export interface Feed {
  /** Lines read so far. */
  readonly lines: number;
  /** Nothing that may still come can be read. */
  readonly done: boolean;
  /**
   * Makes room for the next piece of text and says where in `buffer` it goes: up to `room` bytes. To be called before
   * `buffer` is looked at, which it may replace.
   */
  reserve(): number;
  readonly buffer: Uint8Array;
  readonly room: number;
  /** Takes `n` bytes that were put at `reserve()`. */
  added(n: number): void;
  /** The end of the input. */
  finish(): void;
  /** The input broke off: what is left is part of a record only. */
  breakOff(message: string): void;
}

/** What one read asks for. */
const CHUNK_BYTES = 1024 * 1024;
/** Room behind the text for the newline that ends the last line, and for reads of whole words. */
export const SLACK_BYTES = 16;

export function tooLong(what: string, maxBytes: number): string {
  return `${what}: expected at most ${maxBytes} bytes, found more`;
}

/** One record a line: cuts the text into lines and reads each, by the scanner where it can. */
export class LineFeed implements Feed {
  buffer: Uint8Array = new Uint8Array(CHUNK_BYTES + SLACK_BYTES);
  lines = 0;
  readonly done = false;
  readonly #handler: TraceHandler;
  readonly #reader: LineReader;
  readonly #scanner: RecordScanner;
  readonly #maxLine: number;
  /** The unread text is bytes #start to #fill of the buffer. */
  #start = 0;
  #fill = 0;
  /** In a line that is too long: its bytes are dropped up to the newline. */
  #skipping = false;

  constructor(handler: TraceHandler, options: FeedOptions) {
    this.#handler = handler;
    this.#reader = new LineReader(options.names, handler);
    this.#scanner = new RecordScanner(options.names, this.#reader.dma, this.#reader.mem);
    this.#maxLine = options.maxLineBytes;
  }

  get room(): number {
    return this.buffer.length - SLACK_BYTES - this.#fill;
  }

  reserve(): number {
    if (this.#start > 0) {
      this.buffer.copyWithin(0, this.#start, this.#fill);
      this.#fill -= this.#start;
      this.#start = 0;
    }
    if (this.room < CHUNK_BYTES / 2) {
      const larger = new Uint8Array(this.buffer.length * 2);
      larger.set(this.buffer.subarray(0, this.#fill));
      this.buffer = larger;
    }
    return this.#fill;
  }

  added(n: number): void {
    const from = this.#fill;
    this.#fill += n;
    const last = this.buffer.subarray(from, this.#fill).lastIndexOf(NEWLINE);
    if (last >= 0) this.#lines(from + last);
    if (this.#skipping) this.#start = this.#fill;
    else if (this.#fill - this.#start > this.#maxLine) {
      this.#skipping = true;
      this.#tooLong(this.lines + 1);
      this.#start = this.#fill;
    }
  }

  /** A last line needs no newline. */
  finish(): void {
    if (this.#fill > this.#start || this.#skipping) {
      this.buffer[this.#fill] = NEWLINE;
      this.#lines(this.#fill);
    }
  }

  breakOff(message: string): void {
    this.#handler.error(this.lines + 1, "io", message);
  }

  /** Reads all lines up to the newline at `last`. */
  #lines(last: number): void {
    const bytes = this.buffer;
    const scanner = this.#scanner;
    const reader = this.#reader;
    const handler = this.#handler;
    scanner.use(bytes);
    let p = this.#start;
    while (p <= last) {
      const line = ++this.lines;
      let end = this.#skipping ? -1 : scanner.scan(p);
      if (end >= 0 && end - p <= this.#maxLine) {
        if (scanner.type === DMA) handler.dma(line, reader.dma);
        else handler.mem(line, reader.mem);
      } else {
        end = bytes.indexOf(NEWLINE, p);
        if (this.#skipping) this.#skipping = false;
        else if (end - p > this.#maxLine) this.#tooLong(line);
        else if (!isBlank(bytes, p, end)) reader.read(line, bytes, p, end);
      }
      p = end + 1;
    }
    this.#start = p;
  }

  #tooLong(line: number): void {
    this.#handler.error(line, "json", tooLong("line", this.#maxLine));
  }
}

function isBlank(bytes: Uint8Array, start: number, end: number): boolean {
  for (let p = start; p < end; p++)
    if (bytes[p] !== 0x20 && bytes[p] !== 0x09 && bytes[p] !== 0x0d) return false;
  return true;
}
