import { NEWLINE } from "../trace/json-syntax.ts";
import { SLACK_BYTES } from "../trace/line-feed.ts";
import { LineReader } from "../trace/line-reader.ts";
import type { TraceHandler } from "../trace/record-source.ts";
import type { TraceNames } from "../trace/records.ts";
import { DMA, RecordScanner } from "../trace/scanner.ts";
import type { LogSink } from "./log-import.ts";

/** The most bytes of UTF-8 that a unit of a string takes. */
const MOST_UTF8 = 3;
const FIRST_BYTES = 4096;

/**
 * Hands the records of a log to whoever replays traces, by the log's own line numbers. They are read like those of a
 * trace: a log and the trace that is imported from it cannot mean different things.
 */
export class HandlerSink implements LogSink {
  readonly #handler: TraceHandler;
  readonly #reader: LineReader;
  readonly #scanner: RecordScanner;
  #bytes = Buffer.alloc(0);

  constructor(handler: TraceHandler, names: TraceNames) {
    this.#handler = handler;
    this.#reader = new LineReader(names, handler);
    this.#scanner = new RecordScanner(names, this.#reader.dma, this.#reader.mem);
    this.#grow(FIRST_BYTES);
  }

  record(line: number, _type: string, text: string): void {
    if (this.#handler.stopped === true) return;
    const most = text.length * MOST_UTF8 + SLACK_BYTES;
    if (most > this.#bytes.length) this.#grow(most);
    const end = this.#bytes.write(text, "utf8");
    this.#bytes[end] = NEWLINE;
    if (this.#scanner.scan(0) < 0) this.#reader.read(line, this.#bytes, 0, end);
    else if (this.#scanner.type === DMA) this.#handler.dma(line, this.#reader.dma);
    else this.#handler.mem(line, this.#reader.mem);
  }

  #grow(bytes: number): void {
    this.#bytes = Buffer.alloc(2 ** Math.ceil(Math.log2(bytes)));
    this.#scanner.use(this.#bytes);
  }
}
