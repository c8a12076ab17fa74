import type { TextWindow } from "./batch/windows.ts";
import type { ErrorCode } from "./field.ts";
import { NEWLINE } from "./json-syntax.ts";
import { LineReader } from "./line-reader.ts";
import type { TraceHandler } from "./record-source.ts";
import type { DmaRecord, TraceNames } from "./records.ts";
import { DMA, RecordScanner } from "./scanner.ts";

/** What a trace is read with. */
export interface FeedOptions {
  readonly names: TraceNames;
  readonly maxLineBytes: number;
  /** A record with a name that the contract does not know is an error. */
  readonly strict?: boolean;
}

/** Takes a trace's text piece by piece and tells a handler its records. */
export interface Feed {
  /** Lines read so far. */
  readonly lines: number;
  /** Nothing that may still come can be read, or is wanted. */
  readonly done: boolean;
  /**
   * Makes room for the next piece of text and says where in `buffer` it goes: up to `room` bytes. To be called before
   * `buffer` is looked at, which it may replace.
   */
  reserve(): number;
  readonly buffer: Uint8Array;
  readonly room: number;
  /** Takes `n` bytes that were put at `reserve()`, and works on them for a while. */
  added(n: number): void;
  /** Some of what was taken is still to be worked on: call `work` until it is not, before anything else. */
  readonly busy: boolean;
  work(): void;
  /**
   * Takes the whole lines of a window where they stand, and works on them as `added` does. Nothing of a line may be left
   * over. Absent: it takes no windows.
   */
  lend?(window: TextWindow): void;
  /** The end of the input. */
  finish(): void;
  /** The input broke off: what is left is part of a record only. */
  breakOff(message: string): void;
}

/** What one read asks for. */
const CHUNK_BYTES = 512 * 1024;
/** Room behind the text for the newline that ends the last line, and for reads of whole words. */
export const SLACK_BYTES = 16;

/**
 * How long a feed works at once, in milliseconds: in between, signals get in. It looks at the clock after so many usual
 * records, and after each other one: what that takes is not known.
 */
const SLICE_MS = 50;
const LINES_PER_LOOK = 32;
/** A longer request may be many pages: none of the usual ones. */
const USUAL_LENGTH = 2 ** 20;

/** When work that begins now must pause. */
export function sliceEnd(): number {
  return performance.now() + SLICE_MS;
}

/** A line that goes on for so many bytes behind the limit has no end: what comes is no trace. */
const ENDLESS_BYTES = 2 ** 30;

export function tooLong(what: string, maxBytes: number): string {
  return `${what}: expected at most ${maxBytes} bytes, found more`;
}

/** Cuts text into lines, and has the lines of one kind of stream read: quickly where that can be, else by the book. */
export abstract class LineCutter implements Feed {
  buffer: Uint8Array;
  lines = 0;
  done = false;
  readonly #maxLine: number;
  /** The buffer where lines are not too long for it. */
  readonly #home: Uint8Array;
  /** The unread text is bytes #start to #fill of the buffer. */
  #start = 0;
  #fill = 0;
  /** The last newline that is there; lines up to it can be read. */
  #last = -1;
  /** The line before which the clock is looked at. */
  #lookAt = 0;
  /** In a line that is too long: its bytes are dropped up to the newline. */
  #skipping = false;
  /** Bytes of it that were dropped. */
  #skipped = 0;

  /** @param home where text goes, of CHUNK_BYTES at least; longer lines get another */
  constructor(maxLineBytes: number, home: Uint8Array = new Uint8Array(CHUNK_BYTES + SLACK_BYTES)) {
    this.#maxLine = maxLineBytes;
    this.#home = home;
    this.buffer = home;
  }

  /** The buffer that lines are in from now on. At least SLACK_BYTES follow every newline that ends one. */
  protected abstract use(bytes: Uint8Array): void;
  /** @returns offset of the newline of the usual record at `start`; -1 where `read` must read it */
  protected abstract scan(start: number): number;
  /** Takes lines that can be taken many at once, and counts them. @returns offset of the first that is not taken */
  protected many(start: number, _last: number): number {
    return start;
  }
  /** After `many`: it has not stopped for a line that is to be read, but to have the clock looked at. */
  protected pauses = false;
  /** Takes the record that was scanned last. */
  protected abstract take(line: number): void;
  /** Reads any line: bytes `start` to `end` (exclusive), where a newline is; they are not all white space. */
  protected abstract read(line: number, bytes: Uint8Array, start: number, end: number): void;
  protected abstract fail(line: number, code: ErrorCode, message: string): void;

  /** Nothing more is wanted. */
  protected get stopped(): boolean {
    return false;
  }

  get room(): number {
    return this.buffer.length - SLACK_BYTES - this.#fill;
  }

  reserve(): number {
    const home = this.#home;
    const unread = this.#fill - this.#start;
    if (this.buffer !== home && unread <= CHUNK_BYTES / 4) {
      home.set(this.buffer.subarray(this.#start, this.#fill));
      this.buffer = home;
    } else if (this.#start > 0) this.buffer.copyWithin(0, this.#start, this.#fill);
    this.#start = 0;
    this.#fill = unread;
    this.#last = -1;
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
    if (last >= 0) this.#last = from + last;
    this.work();
  }

  /** Works on whole lines that stand elsewhere, `start` to `end` - 1. SLACK_BYTES follow, and nothing is left over here. */
  protected borrow(text: Uint8Array, start: number, end: number): void {
    this.buffer = text;
    this.#start = start;
    this.#fill = end;
    this.#last = end - 1;
    this.work();
  }

  get busy(): boolean {
    return !this.done && this.#start <= this.#last;
  }

  work(): void {
    if (this.busy) this.#lines(this.#last);
    if (this.busy || this.done) return;
    if (this.#skipping) this.#skip();
    else if (this.#fill - this.#start > this.#maxLine) {
      this.#skipping = true;
      this.#skipped = 0;
      this.#tooLong(this.lines + 1);
      this.#skip();
    }
  }

  #skip(): void {
    this.#skipped += this.#fill - this.#start;
    this.#start = this.#fill;
    if (this.#skipped <= ENDLESS_BYTES) return;
    this.done = true;
    this.breakOff(`line: expected an end after ${ENDLESS_BYTES} bytes, found none; nothing after it is read`);
  }

  /** A last line needs no newline. */
  finish(): void {
    if (this.#fill > this.#start || this.#skipping) {
      this.buffer[this.#fill] = NEWLINE;
      this.#lines(this.#fill);
    }
  }

  breakOff(message: string): void {
    if (!this.stopped) this.fail(this.lines + 1, "io", message);
  }

  /** Reads lines up to the newline at `last`: all of them, or as many as it has time for. */
  #lines(last: number): void {
    const bytes = this.buffer;
    this.use(bytes);
    const pause = sliceEnd();
    let p = this.#start;
    this.#lookAt = this.lines + LINES_PER_LOOK;
    while (p <= last) {
      if (this.mustLook) {
        if (performance.now() > pause) break;
        this.#lookAt = this.lines + LINES_PER_LOOK;
      }
      if (!this.#skipping) {
        p = this.many(p, last);
        if (this.stopped) {
          this.done = true;
          break;
        }
        if (p > last) break;
        if (this.pauses) continue;
      }
      const line = ++this.lines;
      let end = this.#skipping ? -1 : this.scan(p);
      if (end >= 0 && end - p <= this.#maxLine) this.take(line);
      else {
        end = bytes.indexOf(NEWLINE, p);
        if (this.#skipping) this.#skipping = false;
        else if (end - p > this.#maxLine) this.#tooLong(line);
        else if (!isBlank(bytes, p, end)) {
          this.read(line, bytes, p, end);
          this.lookSoon();
        }
      }
      p = end + 1;
      if (this.stopped) {
        this.done = true;
        break;
      }
    }
    this.#start = p;
  }

  /** It is time to look at the clock, and whether anything more is wanted. */
  protected get mustLook(): boolean {
    return this.lines >= this.#lookAt;
  }

  /** The record at hand took its time. */
  protected lookSoon(): void {
    this.#lookAt = this.lines;
  }

  #tooLong(line: number): void {
    this.fail(line, "json", tooLong("line", this.#maxLine));
  }
}

/** Whether a request may take its time. */
export function isLong({ len }: DmaRecord): boolean {
  return len > USUAL_LENGTH;
}

/** A trace, one record a line. */
export class LineFeed extends LineCutter {
  readonly #handler: TraceHandler;
  readonly #reader: LineReader;
  readonly #strict: boolean;
  readonly #scanner: RecordScanner;

  /** @param home as for LineCutter */
  constructor(handler: TraceHandler, options: FeedOptions, home?: Uint8Array) {
    super(options.maxLineBytes, home);
    this.#handler = handler;
    const reader = new LineReader(options.names, handler, options.strict);
    this.#reader = reader;
    this.#scanner = new RecordScanner(options.names, reader.dma, reader.mem, reader.harmless);
    this.#strict = options.strict ?? false;
  }

  /** Names that nothing knows are errors: every line is read by the book. */
  protected get isStrict(): boolean {
    return this.#strict;
  }

  protected override get stopped(): boolean {
    return this.#handler.stopped === true;
  }

  protected override use(bytes: Uint8Array): void {
    this.#scanner.use(bytes);
  }

  protected override scan(start: number): number {
    // What is unknown to one type of record is not to another, which the scanner does not tell apart.
    return this.#strict ? -1 : this.#scanner.scan(start);
  }

  protected override take(line: number): void {
    const { dma } = this.#reader;
    if (this.#scanner.type === DMA) {
      this.#handler.dma(line, dma);
      if (isLong(dma)) this.lookSoon();
    } else this.#handler.mem(line, this.#reader.mem);
  }

  protected override read(line: number, bytes: Uint8Array, start: number, end: number): void {
    this.#reader.read(line, bytes, start, end);
  }

  protected override fail(line: number, code: ErrorCode, message: string): void {
    this.#handler.error(line, code, message);
  }
}

function isBlank(bytes: Uint8Array, start: number, end: number): boolean {
  for (let p = start; p < end; p++)
    if (bytes[p] !== 0x20 && bytes[p] !== 0x09 && bytes[p] !== 0x0d) return false;
  return true;
}
