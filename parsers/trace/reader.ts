/**
 * The front door of trace reading: bytes in, records out to a handler, in order and without an allocation per
 * record. Line numbers count from 1.
 */
import { isTraceError } from "./errors.ts";
import { NEWLINE } from "./json-syntax.ts";
import { LineReader, type TraceHandler } from "./line-reader.ts";
import { TraceNames } from "./records.ts";
import { DMA, RecordScanner } from "./scanner.ts";
import type { ByteSource } from "./source.ts";

export type { ErrorCode } from "./field.ts";
export type { TraceHandler } from "./line-reader.ts";

/** Longest line (or record of a JSON document) that is read, in bytes, unless the caller says otherwise. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;
/** What one read asks for. */
const CHUNK_BYTES = 1024 * 1024;
/** Room behind the text for the newline that ends the last line, and for reads of whole words. */
const SLACK_BYTES = 16;

export interface ReadOptions {
  /** The numbers of names; give one to look them up in the handler. Default: a new one. */
  readonly names?: TraceNames;
  readonly maxLineBytes?: number;
  /**
   * Called after each chunk of about 1 MiB with the bytes of the input taken so far; the next chunk is read when
   * it has settled, so a caller drains its output here.
   */
  readonly onChunk?: (bytesRead: number) => void | Promise<void>;
}

export interface ReadTotals {
  /** Lines of the input, blank ones included. */
  readonly lines: number;
  /** Bytes of the input (before decompression). */
  readonly bytes: number;
}

/**
 * Reads a trace to its end. A record that cannot be used goes to `handler.error` and reading goes on; so does an
 * input that breaks off ("io"), after all complete records before it. Closes the source.
 * @throws what the handler or `onChunk` throws
 */
export async function readTrace(
  source: ByteSource,
  handler: TraceHandler,
  options: ReadOptions = {},
): Promise<ReadTotals> {
  const lines = new LineFeed(handler, options);
  try {
    for (;;) {
      let n: number;
      try {
        n = await source.read(lines.buffer, lines.reserve(), lines.room);
      } catch (error) {
        if (!isTraceError(error)) throw error;
        lines.breakOff(error.message);
        break;
      }
      if (n === 0) {
        lines.finish();
        break;
      }
      lines.added(n);
      await options.onChunk?.(source.consumed);
    }
    return { lines: lines.count, bytes: source.consumed };
  } finally {
    await source.close();
  }
}

/** Cuts a stream of bytes into lines. */
class LineFeed {
  buffer: Uint8Array = new Uint8Array(CHUNK_BYTES + SLACK_BYTES);
  /** Lines ended so far. */
  count = 0;
  readonly #handler: TraceHandler;
  readonly #reader: LineReader;
  readonly #scanner: RecordScanner;
  readonly #maxLine: number;
  /** The unread text is bytes #start to #fill of the buffer. */
  #start = 0;
  #fill = 0;
  /** In a line that is too long: its bytes are dropped up to the newline. */
  #skipping = false;
  /** Nothing has been taken yet: a byte order mark may come. */
  #first = true;

  constructor(handler: TraceHandler, options: ReadOptions) {
    this.#handler = handler;
    const names = options.names ?? new TraceNames();
    this.#reader = new LineReader(names, handler);
    this.#scanner = new RecordScanner(names, this.#reader.dma, this.#reader.mem);
    this.#maxLine = options.maxLineBytes ?? MAX_LINE_BYTES;
  }

  /** How many bytes may be put at `reserve()`. */
  get room(): number {
    return this.buffer.length - SLACK_BYTES - this.#fill;
  }

  /** Makes room for more text and says where it goes in `buffer`. */
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

  /** Takes `n` bytes that were put at `reserve()`. */
  added(n: number): void {
    const from = this.#fill;
    this.#fill += n;
    if (this.#first && !this.#skipMark()) return;
    const last = this.buffer.subarray(from, this.#fill).lastIndexOf(NEWLINE);
    if (last >= 0) this.#lines(from + last);
    if (this.#skipping) this.#start = this.#fill;
    else if (this.#fill - this.#start > this.#maxLine) {
      this.#skipping = true;
      this.#tooLong(this.count + 1);
      this.#start = this.#fill;
    }
  }

  /** The end of the input: a last line needs no newline. */
  finish(): void {
    if (this.#first) this.#skipMark(true);
    if (this.#fill > this.#start || this.#skipping) {
      this.buffer[this.#fill] = NEWLINE;
      this.#lines(this.#fill);
    }
  }

  /** The input broke off: what is left is part of a line only. */
  breakOff(message: string): void {
    this.#handler.error(this.count + 1, "io", message);
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
      const line = ++this.count;
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
    this.#handler.error(line, "json", `line: expected at most ${this.#maxLine} bytes, found more`);
  }

  /** Skips a byte order mark at the start of the input; false where more bytes must come to see. */
  #skipMark(atEnd = false): boolean {
    const b = this.buffer;
    if (!atEnd && this.#fill < 3 && b[0] === 0xef) return false;
    this.#first = false;
    if (this.#fill >= 3 && b[0] === 0xef && b[1] === 0xbb && b[2] === 0xbf) this.#start = 3;
    return true;
  }
}

function isBlank(bytes: Uint8Array, start: number, end: number): boolean {
  for (let p = start; p < end; p++)
    if (bytes[p] !== 0x20 && bytes[p] !== 0x09 && bytes[p] !== 0x0d) return false;
  return true;
}
