/**
 * Records that are not one a line: an array of records, or records that are pretty-printed or stand behind one another.
 * Each is read as any line is, so the messages and the values are the same, and a number keeps all of its digits.
 */
import type { Feed, FeedOptions } from "./line-feed.ts";
import { sliceEnd } from "./line-feed.ts";
import { LineReader } from "./line-reader.ts";
import { type CutHandler, RecordCutter } from "./record-cutter.ts";
import type { TraceHandler } from "./record-source.ts";
import { DMA, RecordScanner } from "./scanner.ts";

const CHUNK_BYTES = 64 * 1024;

export class DocumentFeed implements Feed, CutHandler {
  readonly buffer: Uint8Array = new Uint8Array(CHUNK_BYTES);
  readonly room = CHUNK_BYTES;
  done = false;
  readonly #handler: TraceHandler;
  readonly #reader: LineReader;
  readonly #scanner: RecordScanner;
  readonly #strict: boolean;
  readonly #cutter: RecordCutter;
  /** What of the buffer is still to be cut. */
  #from = 0;
  #to = 0;

  constructor(handler: TraceHandler, options: FeedOptions) {
    this.#handler = handler;
    const reader = new LineReader(options.names, handler, options.strict);
    this.#reader = reader;
    this.#scanner = new RecordScanner(options.names, reader.dma, reader.mem, reader.harmless);
    this.#strict = options.strict ?? false;
    this.#cutter = new RecordCutter(this, options.maxLineBytes);
  }

  get lines(): number {
    return this.#cutter.line;
  }

  get busy(): boolean {
    return !this.done && this.#from < this.#to;
  }

  reserve(): number {
    return 0;
  }

  added(n: number): void {
    this.#from = 0;
    this.#to = n;
    this.work();
  }

  work(): void {
    const pause = sliceEnd();
    while (this.busy) {
      this.#from = this.#cutter.push(this.buffer, this.#from, this.#to);
      if (performance.now() > pause) return;
    }
  }

  finish(): void {
    this.#cutter.finish();
  }

  breakOff(message: string): void {
    if (this.#handler.stopped !== true) this.#handler.error(this.lines, "io", message);
  }

  value(line: number, bytes: Uint8Array, end: number): void {
    if (this.done) return;
    this.#scanner.use(bytes);
    if (this.#strict || this.#scanner.scan(0) < 0) this.#reader.read(line, bytes, 0, end);
    else if (this.#scanner.type === DMA) this.#handler.dma(line, this.#reader.dma);
    else this.#handler.mem(line, this.#reader.mem);
    this.done = this.#handler.stopped === true;
  }

  wrong(line: number, message: string): void {
    if (!this.done) this.#handler.error(line, "json", message);
  }
}
