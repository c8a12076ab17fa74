import { COLON, isAscii, plainTextAt, QUOTE, Scalars, space, wordOf } from "./bytes.ts";
import { JsonSyntax } from "./json-syntax.ts";
import type { Names } from "./names.ts";

/** The last byte that may be white space. */
export const SPACE = 0x20;

/** What must follow a line, for reads of whole words. */
export const BYTES_BEHIND = 12;

/** Masks for words of three and of two bytes. */
export const THREE = 0xff_ffff;
export const TWO = 0xffff;

/** A quote and a colon. */
export const QUOTE_COLON = 0x3a22;
const VALUE_TRUE = wordOf("true");
const VALUE_FALS = wordOf("fals");

/**
 * What scanners of objects have in common. Positions are offsets in `bytes`; a method that reads something returns
 * the offset after it, or -1 where it is not plain: then LineReader must read the line.
 */
export class ObjectScanner {
  protected bytes: Uint8Array = new Uint8Array(0);
  protected view: DataView = new DataView(new ArrayBuffer(0));
  protected readonly syntax = new JsonSyntax();
  /** Where values that are numbers are left. */
  protected readonly out = new Scalars();
  /** Names of unknown fields that may be stepped over; null: all. */
  readonly #harmless: Names | null;

  constructor(harmless: Names | null = null) {
    this.#harmless = harmless;
  }

  /** The buffer to read from now on. At least BYTES_BEHIND bytes must follow every newline in it that ends a line. */
  use(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /**
   * Where a field's value begins.
   * @param end where the closing quote of the field's name should be
   * @returns 0 where it is not: the name goes on, and is another one
   */
  protected valueBehind(end: number): number {
    const bytes = this.bytes;
    if (bytes[end] !== QUOTE) return 0;
    const colon = space(bytes, end + 1);
    return bytes[colon] === COLON ? space(bytes, colon + 1) : 0;
  }

  /** Skips a field that means nothing here, from the opening quote of its name. */
  protected unknownField(at: number): number {
    const quote = plainTextAt(this.bytes, at + 1);
    const harmless = this.#harmless;
    if (harmless !== null && quote > 0 && harmless.find(this.bytes, at + 1, quote) < 0) return -1;
    const p = quote < 0 ? 0 : this.valueBehind(quote);
    return p === 0 ? -1 : this.skip(p);
  }

  /** Reads true as 1, false as 0 into `out.number`. */
  protected boolean(at: number): number {
    const word = this.view.getInt32(at, true);
    this.out.number = word === VALUE_TRUE ? 1 : 0;
    if (word === VALUE_TRUE) return at + 4;
    return word === VALUE_FALS && this.bytes[at + 4] === 0x65 ? at + 5 : -1;
  }

  /** Offset of the closing quote of a plain string that is not empty, or -1. */
  protected textEnd(at: number): number {
    if (this.bytes[at] !== QUOTE) return -1;
    const end = plainTextAt(this.bytes, at + 1);
    return end === at + 1 ? -1 : end;
  }

  /** Skips a value that means nothing here. */
  protected skip(at: number): number {
    const p = this.syntax.value(this.bytes, at);
    return p >= 0 && isAscii(this.bytes, at, p) ? p : -1;
  }
}
