import { NEWLINE } from "../json-syntax.ts";
import type { FoundRecords } from "./calls.ts";
import {
  RECORD_BYTES,
  WINDOW_BYTES,
  WINDOW_COUNT,
  WINDOW_LENGTH,
  WINDOW_NAMES,
  WINDOW_RECORDS,
  WINDOW_RECORDS_AT,
  WINDOW_TEXT_AT,
  WINDOW_TEXT_BYTES,
  WINDOW_WORDS,
  WINDOWS,
  WINDOWS_AT,
} from "./layout.ts";

/** A text of the trace, as it comes: between two lines that are cut, whole ones, whose records another thread has found. */
export class TextWindow {
  /** Where the text is in the memory. */
  readonly at: number;
  readonly text: Uint8Array;
  /** From its first whole line on; not all where there are many. */
  readonly found: FoundRecords;
  readonly #head: Int32Array;

  constructor(buffer: SharedArrayBuffer, number: number) {
    const at = WINDOWS_AT + number * WINDOW_BYTES;
    this.#head = new Int32Array(buffer, at, WINDOW_WORDS);
    this.at = at + WINDOW_TEXT_AT;
    // With room behind it, for reads of whole words.
    this.text = new Uint8Array(buffer, this.at, WINDOW_BYTES - WINDOW_TEXT_AT);
    const records = at + WINDOW_RECORDS_AT;
    this.found = {
      at: records,
      words: new Int32Array(buffer, records, (WINDOW_RECORDS * RECORD_BYTES) / 4),
    };
  }

  static all(buffer: SharedArrayBuffer): TextWindow[] {
    return Array.from({ length: WINDOWS }, (_, number) => new TextWindow(buffer, number));
  }

  /** Bytes that it takes. */
  get room(): number {
    return WINDOW_TEXT_BYTES;
  }

  /** Bytes of text; 0: the input has ended. Sets that nothing was found in it yet, too. */
  get length(): number {
    return this.#head[WINDOW_LENGTH]!;
  }

  set length(bytes: number) {
    this.#head[WINDOW_LENGTH] = bytes;
    this.#head[WINDOW_COUNT] = 0;
  }

  /** Where its whole lines begin: behind the first newline, or at its end. */
  get first(): number {
    const first = this.text.subarray(0, this.length).indexOf(NEWLINE) + 1;
    return first === 0 ? this.length : first;
  }

  /** Where they end: behind the last newline. */
  get end(): number {
    return Math.max(this.first, this.text.subarray(0, this.length).lastIndexOf(NEWLINE) + 1);
  }

  /** How many records were found. */
  get count(): number {
    return this.#head[WINDOW_COUNT]!;
  }

  /** How many names were known then. */
  get names(): number {
    return this.#head[WINDOW_NAMES]!;
  }

  scanned(count: number, names: number): void {
    this.#head[WINDOW_COUNT] = count;
    this.#head[WINDOW_NAMES] = names;
  }
}
