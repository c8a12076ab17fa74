import { CLOSE_BRACE, COMMA, hex64At, hexBytesAt, integerAt, plainTextAt, QUOTE, space } from "./bytes.ts";
import type { FieldEntry, FieldTable } from "./field-table.ts";
import { isShort, type Names } from "./names.ts";
import { ObjectScanner, QUOTE_COLON, SPACE } from "./object-scanner.ts";
import type { TraceNames } from "./records.ts";

const MINUS = 0x2d;

/** Reads the fields of objects whose names, kinds and bounds a table has, and that table says what is made of them. */
export class FieldScanner extends ObjectScanner {
  readonly #names: TraceNames;
  /** Bits of the fields that have been seen, among those that may not be left out. */
  protected seen = 0;
  /** Length of the last device name that was scanned, always one of which `isShort` holds. */
  #deviceLength = 12;

  /** @param harmless as for ObjectScanner */
  constructor(names: TraceNames, harmless: Names | null = null) {
    super(harmless);
    this.#names = names;
  }

  override use(bytes: Uint8Array): void {
    super.use(bytes);
    this.out.bytes = bytes;
  }

  /**
   * Reads the fields of an object into a record.
   * @param brace offset of its opening brace
   * @returns offset of its closing brace, or -1
   */
  protected members<R>(brace: number, table: FieldTable<R>, record: R): number {
    const { bytes } = this;
    this.seen = 0;
    let p = brace;
    do {
      p = this.#member(space(bytes, p + 1), table, record);
      if (p < 0) return -1;
      p = space(bytes, p);
    } while (bytes[p] === COMMA);
    return bytes[p] === CLOSE_BRACE && (this.seen & table.required) === table.required ? p : -1;
  }

  /**
   * Reads a field, from the opening quote of its name. That a value follows the name at once, as it nearly always does,
   * is tested in place: as a call it costs a fifth of the whole scan (test/bench/scanner.ts).
   */
  #member<R>(at: number, table: FieldTable<R>, record: R): number {
    const { bytes, view } = this;
    if (bytes[at] !== QUOTE) return -1;
    const field = table.find(bytes, view, at + 1);
    if (field === null) return this.unknownField(at);
    const quote = at + 1 + field.name.length;
    const p =
      view.getUint16(quote, true) === QUOTE_COLON && bytes[quote + 2]! > SPACE
        ? quote + 2
        : this.valueBehind(quote);
    if (p === 0) return this.unknownField(at);
    const end = this.#value(field, p);
    if (end >= 0) {
      this.seen |= field.required;
      field.take(record, this.out);
    }
    return end;
  }

  /** Reads a value of a field's kind into `out`. */
  #value(field: FieldEntry<never>, at: number): number {
    switch (field.kind) {
      case "hex64":
        return hex64At(this.bytes, at, this.out);
      case "integer":
        return this.#integer(field, at);
      case "device":
        return this.#device(at);
      case "choice":
        return this.#choice(field, at);
      case "name":
        return this.#name(this.#names[field.among], at);
      case "hexBytes": {
        const end = hexBytesAt(this.bytes, at);
        return this.#range(at + 1, end, end + 1);
      }
      case "object":
        return this.object(at);
      case "opaque":
        return this.#opaque(at);
      case "boolean":
        return this.boolean(at);
      case "text": {
        const end = this.bytes[at] === QUOTE ? plainTextAt(this.bytes, at + 1) : -1;
        return this.#range(at + 1, end, end + 1);
      }
      case "any":
        return this.skip(at);
      default:
        return -1;
    }
  }

  /** Reads the object that a field is. */
  protected object(_at: number): number {
    return -1;
  }

  #integer({ least, most }: FieldEntry<never>, at: number): number {
    const p = integerAt(this.bytes, at, this.out);
    const { number } = this.out;
    return number < least || number > most ? -1 : p;
  }

  #choice({ choices }: FieldEntry<never>, at: number): number {
    if (this.bytes[at] !== QUOTE) return -1;
    for (let i = 0; i < choices.length; i++) {
      if (!this.#stands(choices[i]!, at + 1)) continue;
      this.out.number = i;
      return at + 1 + choices[i]!.length;
    }
    return -1;
  }

  #stands(text: string, at: number): boolean {
    for (let i = 0; i < text.length; i++) if (this.bytes[at + i] !== text.charCodeAt(i)) return false;
    return true;
  }

  /**
   * Reads a device name. A name as long as the last one, and known, needs no scan for its end: device names have
   * no character that JSON escapes.
   */
  #device(at: number): number {
    const { bytes, out } = this;
    const { devices } = this.#names;
    const guess = at + 1 + this.#deviceLength;
    if (bytes[at] === QUOTE && bytes[guess] === QUOTE) {
      out.number = devices.findShort(this.view, at + 1, this.#deviceLength);
      if (out.number >= 0) return guess + 1;
    }
    const end = this.textEnd(at);
    if (end < 0) return -1;
    out.number = devices.find(bytes, at + 1, end);
    if (isShort(end - at - 1)) this.#deviceLength = end - at - 1;
    return out.number < 0 ? -1 : end + 1;
  }

  #name(names: Names, at: number): number {
    const end = this.textEnd(at);
    if (end < 0) return -1;
    const length = end - at - 1;
    const known = isShort(length) ? names.findShort(this.view, at + 1, length) : -1;
    this.out.number = known >= 0 ? known : names.intern(this.bytes, at + 1, end);
    return end + 1;
  }

  #opaque(at: number): number {
    const { bytes } = this;
    const c = bytes[at]!;
    if (c === QUOTE) {
      const end = plainTextAt(bytes, at + 1);
      return this.#range(at, end + 1, end + 1);
    }
    const isNumber = c === MINUS || (c >= 0x30 && c <= 0x39);
    const end = isNumber ? this.syntax.value(bytes, at) : -1;
    return this.#range(at, end, end);
  }

  /** @param p where to go on; 0 or less where nothing plain was found */
  #range(start: number, end: number, p: number): number {
    this.out.start = start;
    this.out.end = end;
    return p <= 0 ? -1 : p;
  }
}
