/**
 * JSON syntax on bytes (RFC 8259), within one line: it skips values without making them, finds members, and says
 * precisely where and why a line is not JSON. It never recurses, so depth costs memory only.
 *
 * A line ends at a newline byte, which is never white space here: every scan stops there, so the caller
 * guarantees a newline after the text and no length is checked.
 */
import { quote } from "./show.ts";

export const NEWLINE = 10;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OBJECT = 0;
const ARRAY = 1;

const LITERALS: Readonly<Record<number, string>> = { 116: "true", 102: "false", 110: "null" };

export class JsonSyntax {
  /** After a failure: the offset of the first byte that is wrong, and what was expected there. */
  failedAt = 0;
  expected = "";
  /** After a failure: it is within a string. */
  inString = false;
  #nesting = new Uint8Array(64);

  /**
   * Skips one value.
   * @param at offset of its first byte (no white space)
   * @returns offset after it, or -1 where it is not JSON: see `failedAt` and `expected`
   */
  value(bytes: Uint8Array, at: number): number {
    let depth = 0;
    let p = at;
    for (;;) {
      // Here a value starts at p.
      const c = bytes[p]!;
      if (c === 0x7b || c === 0x5b) {
        depth = this.#open(c === 0x7b ? OBJECT : ARRAY, depth);
        p = skipSpace(bytes, p + 1);
        if (bytes[p] === c + 2) {
          p++;
          depth--;
        } else {
          if (c === 0x7b) {
            p = this.#key(bytes, p, 'a field name or "}"');
            if (p < 0) return -1;
          } else if (!startsValue(bytes[p]!)) return this.#fail(p, 'a value or "]"');
          continue;
        }
      } else {
        p = this.#scalar(bytes, p, c);
        if (p < 0) return -1;
      }
      // Here a value has ended at p.
      for (;;) {
        if (depth === 0) return p;
        p = skipSpace(bytes, p);
        const inside = this.#nesting[depth - 1]!;
        const close = inside === OBJECT ? 0x7d : 0x5d;
        if (bytes[p] === close) {
          p++;
          depth--;
          continue;
        }
        if (bytes[p] !== 0x2c) return this.#fail(p, inside === OBJECT ? '"," or "}"' : '"," or "]"');
        p = skipSpace(bytes, p + 1);
        if (inside === OBJECT) {
          p = this.#key(bytes, p, "a field name");
          if (p < 0) return -1;
        }
        break;
      }
    }
  }

  /**
   * Skips a string, quotes included.
   * @param at offset of its opening quote
   */
  string(bytes: Uint8Array, at: number): number {
    let p = at + 1;
    for (;;) {
      const c = bytes[p]!;
      if (c === QUOTE) return p + 1;
      if (c < 0x20)
        return this.#failString(
          p,
          c === NEWLINE ? "the string's closing quote" : "no control character in a string",
        );
      if (c !== BACKSLASH) {
        p++;
        continue;
      }
      const kind = bytes[p + 1]!;
      if (kind === 0x75) {
        for (let i = 2; i < 6; i++)
          if (!isHex(bytes[p + i]!)) return this.#failString(p + i, "4 hex digits after \\u");
        p += 6;
      } else {
        if (!'"\\/bfnrt'.includes(String.fromCharCode(kind))) return this.#failString(p + 1, "an escape");
        p += 2;
      }
    }
  }

  /**
   * Says why a line is not one JSON value.
   * @param end offset of its newline
   * @returns null where it is one
   */
  explain(bytes: Uint8Array, start: number, end: number): string | null {
    if (this.whole(bytes, start, end)) return null;
    return `column ${this.failedAt - start + 1}: ${this.complaint(bytes, end)}`;
  }

  /** Whether a line is one JSON value. @param end offset of its newline */
  whole(bytes: Uint8Array, start: number, end: number): boolean {
    const after = this.value(bytes, skipSpace(bytes, start));
    if (after < 0) return false;
    const rest = skipSpace(bytes, after);
    if (rest === end) return true;
    this.#fail(rest, "the end of the line after the record");
    return false;
  }

  /** After a failure: what was expected and found there, in a text up to `end`. */
  complaint(bytes: Uint8Array, end: number): string {
    return `expected ${this.expected}, found ${foundAt(bytes, this.failedAt, end)}`;
  }

  /**
   * Finds a member of an object that is known to be well-formed; the last one of this name, as JSON.parse does.
   * @param at offset of the object's brace
   * @returns offset of its value, or -1
   */
  member(bytes: Uint8Array, at: number, name: string): number {
    let found = -1;
    let p = skipSpace(bytes, at + 1);
    while (bytes[p] === QUOTE) {
      const afterKey = this.string(bytes, p);
      const same = isName(bytes, p, afterKey, name);
      p = skipSpace(bytes, skipSpace(bytes, afterKey) + 1);
      if (same) found = p;
      p = skipSpace(bytes, this.value(bytes, p));
      if (bytes[p] === 0x2c) p = skipSpace(bytes, p + 1);
    }
    return found;
  }

  /** A field name and its colon; returns the offset of the value. */
  #key(bytes: Uint8Array, at: number, expected: string): number {
    if (bytes[at] !== QUOTE) return this.#fail(at, expected);
    const end = this.string(bytes, at);
    if (end < 0) return -1;
    const colon = skipSpace(bytes, end);
    if (bytes[colon] !== 0x3a) return this.#fail(colon, '":"');
    return skipSpace(bytes, colon + 1);
  }

  #scalar(bytes: Uint8Array, at: number, c: number): number {
    if (c === QUOTE) return this.string(bytes, at);
    if (c === 0x2d || (c >= 0x30 && c <= 0x39)) return this.#number(bytes, at);
    const literal = LITERALS[c];
    if (literal === undefined) return this.#fail(at, "a value");
    for (let i = 1; i < literal.length; i++)
      if (bytes[at + i] !== literal.charCodeAt(i)) return this.#fail(at, "a value");
    return at + literal.length;
  }

  #number(bytes: Uint8Array, at: number): number {
    let p = at;
    if (bytes[p] === 0x2d) p++;
    if (bytes[p] === 0x30) p++;
    else {
      p = skipDigits(bytes, p);
      if (!isDigit(bytes[p - 1]!)) return this.#fail(p, "a digit");
    }
    if (bytes[p] === 0x2e) {
      p = skipDigits(bytes, p + 1);
      if (!isDigit(bytes[p - 1]!)) return this.#fail(p, "a digit");
    }
    if (bytes[p] === 0x65 || bytes[p] === 0x45) {
      p++;
      if (bytes[p] === 0x2b || bytes[p] === 0x2d) p++;
      p = skipDigits(bytes, p);
      if (!isDigit(bytes[p - 1]!)) return this.#fail(p, "a digit");
    }
    return p;
  }

  #open(kind: number, depth: number): number {
    if (depth === this.#nesting.length) {
      const nesting = new Uint8Array(depth * 2);
      nesting.set(this.#nesting);
      this.#nesting = nesting;
    }
    this.#nesting[depth] = kind;
    return depth + 1;
  }

  #failString(at: number, expected: string): -1 {
    this.#fail(at, expected);
    this.inString = true;
    return -1;
  }

  #fail(at: number, expected: string): -1 {
    this.failedAt = at;
    this.expected = expected;
    this.inString = false;
    return -1;
  }
}

/** Skips white space within a line. */
export function skipSpace(bytes: Uint8Array, at: number): number {
  let p = at;
  while (bytes[p] === 0x20 || bytes[p] === 0x09 || bytes[p] === 0x0d) p++;
  return p;
}

function skipDigits(bytes: Uint8Array, at: number): number {
  let p = at;
  while (isDigit(bytes[p]!)) p++;
  return p;
}

function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

function isHex(c: number): boolean {
  return isDigit(c) || (c >= 0x41 && c <= 0x46) || (c >= 0x61 && c <= 0x66);
}

function startsValue(c: number): boolean {
  return c === QUOTE || c === 0x7b || c === 0x5b || c === 0x2d || isDigit(c) || LITERALS[c] !== undefined;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Whether the string, quotes included, in bytes `start` to `end` (exclusive) is an ASCII name. */
function isName(bytes: Uint8Array, start: number, end: number, name: string): boolean {
  let p = start + 1;
  for (let i = 0; i < name.length; i++, p++) {
    if (bytes[p] === BACKSLASH) return JSON.parse(decoder.decode(bytes.subarray(start, end))) === name;
    if (bytes[p] !== name.charCodeAt(i)) return false;
  }
  return p === end - 1;
}

function foundAt(bytes: Uint8Array, at: number, end: number): string {
  if (at >= end) return "the end of the line";
  let stop = at + 1;
  while (stop < end && (bytes[stop]! & 0xc0) === 0x80) stop++;
  return quote(decoder.decode(bytes.subarray(at, stop)));
}
