import type { LogSink } from "../../parsers/logs/log-import.ts";
import type { RecordPicker } from "../filter/record-picker.ts";

/** Takes text of a trace: whole lines. */
export type WriteText = (text: string) => Promise<void> | void;

/** Told of each record, before it is written. */
export type RecordListener = (type: string, text: string) => void;

/** Collects records, and writes them a chunk at a time. */
export class TraceWriter implements LogSink {
  readonly #write: WriteText;
  readonly #listener: RecordListener | undefined;
  readonly #picker: RecordPicker | undefined;
  #lines: string[] = [];

  constructor(write: WriteText, listener: RecordListener | undefined, picker: RecordPicker | undefined) {
    this.#write = write;
    this.#listener = listener;
    this.#picker = picker;
  }

  record(line: number, type: string, text: string): void {
    if (this.#picker?.wants(line, type, text) === false) return;
    this.#listener?.(type, text);
    this.#lines.push(text, "\n");
  }

  async flush(): Promise<void> {
    if (this.#lines.length === 0) return;
    const text = this.#lines.join("");
    this.#lines = [];
    await this.#write(text);
  }
}
