import { sniffLog } from "../log-input.ts";
import { JsonSyntax, NEWLINE, skipSpace } from "./json-syntax.ts";
import { afterMark } from "./utf8.ts";

/**
 * How a trace's records are laid out: one a line, or as a JSON document over any number of lines; or, where it is no
 * trace, a log that one can be made of, or such a log of QEMU's in binary.
 */
export type StreamLayout = "lines" | "document" | "log" | "simple-trace";

const QUOTE = 0x22;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;

/**
 * Tells line-delimited records from an array of records, from pretty-printed ones and from ones that stand
 * behind one another without newlines. A broken first line must not make a document of a line-delimited trace:
 * where the first line is only the beginning of something, the second one decides.
 *
 * It is asked again each time that more of the input is there, and goes on where it was: no byte is looked at more
 * than a few times, however the input comes.
 */
export class LayoutSniffer {
  readonly #first = new LineFinder();
  #second: LineFinder | null = null;
  /** The line behind one that may begin an array. */
  readonly #behind = new LineFinder();

  /**
   * @param bytes the start of the input, of which `length` bytes are there; a byte behind them is written to
   * @param atEnd the input has no more
   * @returns undefined where more is needed to tell
   */
  sniff(bytes: Uint8Array, length: number, atEnd: boolean): StreamLayout | undefined {
    if (this.#second !== null) return this.#bySecond(this.#second, bytes, length, atEnd);
    const first = this.#first;
    if (first.from === 0 && bytes[0] === 0xef && length < 3 && !atEnd) return undefined;
    if (first.from === 0) first.from = afterMark(bytes, 0);
    if (!first.begins(bytes, length)) return atEnd ? "lines" : undefined;
    if (bytes[first.from] === OPEN_BRACKET) {
      if (length < first.from + LONGEST_STAMP && !atEnd) return undefined;
      if (!isStamp(bytes, first.from, length)) return this.#byArray(bytes, length, atEnd);
    }
    if (bytes[first.from] !== OPEN_BRACE) return sniffLog(bytes, first.from, length, atEnd);
    if (!first.ends(bytes, length, atEnd)) return undefined;
    const syntax = new JsonSyntax();
    const after = syntax.value(bytes, first.from);
    if (after >= 0) return bytes[skipSpace(bytes, after)] === OPEN_BRACE ? "document" : "lines";
    if (syntax.failedAt !== first.end || syntax.inString) return "lines";
    this.#second = new LineFinder();
    this.#second.from = first.end + 1;
    return this.#bySecond(this.#second, bytes, length, atEnd);
  }

  #bySecond(second: LineFinder, bytes: Uint8Array, length: number, atEnd: boolean): StreamLayout | undefined {
    if (!second.begins(bytes, length)) return atEnd ? "lines" : undefined;
    const next = skipSpace(bytes, second.from + 1);
    if (next >= length && !atEnd) return undefined;
    // An object and a name: nothing that is pretty-printed begins a line so.
    return bytes[second.from] === OPEN_BRACE && bytes[next] === QUOTE ? "lines" : "document";
  }

  /** The first line begins as an array does: one, unless nothing of an array follows the bracket. */
  #byArray(bytes: Uint8Array, length: number, atEnd: boolean): StreamLayout | undefined {
    const first = this.#first;
    const next = skipBlanks(bytes, first.from + 1, length);
    if (next === length) return atEnd ? "document" : undefined;
    if (ELEMENT.has(bytes[next]!)) return "document";
    if (!first.ends(bytes, length, atEnd)) return undefined;
    const second = this.#behind;
    second.from = Math.max(second.from, first.end + 1);
    if (!second.begins(bytes, length)) return atEnd ? "document" : undefined;
    if (!second.ends(bytes, length, atEnd)) return undefined;
    if (isRecord(bytes, second.from, second.end)) return "lines";
    return sniffLog(bytes, first.from, length, true) === "log" ? "log" : "document";
  }
}

/** Finds a line that is not blank. */
class LineFinder {
  /** Where it begins, as far as white space before it is known. */
  from = 0;
  /** Its newline, once it has been found. */
  end = -1;
  /** There is no newline from `from` to here. */
  #searched = 0;

  /** Moves `from` to the first byte that is not white space. */
  begins(bytes: Uint8Array, length: number): boolean {
    let p = this.from;
    while (p < length && isBlank(bytes[p]!)) p++;
    this.from = p;
    return p < length;
  }

  /** Looks for its newline; the end of the input is one. */
  ends(bytes: Uint8Array, length: number, atEnd: boolean): boolean {
    if (this.end >= 0) return true;
    this.end = bytes.subarray(0, length).indexOf(NEWLINE, Math.max(this.from, this.#searched));
    this.#searched = length;
    if (this.end < 0 && atEnd) {
      bytes[length] = NEWLINE;
      this.end = length;
    }
    return this.end >= 0;
  }
}

/** What an array of records may have behind its bracket. */
const ELEMENT: ReadonlySet<number> = new Set([OPEN_BRACE, OPEN_BRACKET, 0x5d]);

function skipBlanks(bytes: Uint8Array, from: number, to: number): number {
  let p = from;
  while (p < to && isBlank(bytes[p]!)) p++;
  return p;
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === NEWLINE || byte === 0x09 || byte === 0x0d;
}

/** Whether a kernel's time stamp stands here: it begins like an array. */
function isStamp(bytes: Uint8Array, start: number, length: number): boolean {
  const text = String.fromCharCode(...bytes.subarray(start, Math.min(length, start + LONGEST_STAMP)));
  return STAMP.test(text);
}

/** Seconds since boot, or the day and time that `dmesg --ctime` makes of them. */
const STAMP = /^\[(?: *\d+\.\d{6}\]|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z])/;
const LONGEST_STAMP = 24;

/** A whole object with a `type`. */
function isRecord(bytes: Uint8Array, start: number, end: number): boolean {
  const syntax = new JsonSyntax();
  return (
    bytes[start] === OPEN_BRACE &&
    syntax.explain(bytes, start, end) === null &&
    syntax.member(bytes, start, "type") >= 0
  );
}
