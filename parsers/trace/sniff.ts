import { sniffLog } from "../log-input.ts";
import { JsonSyntax, NEWLINE, skipSpace } from "./json-syntax.ts";

/**
 * How a trace's records are laid out: one a line, or as a JSON document over any number of lines; or, where it is no
 * trace, a log that one can be made of, or such a log of QEMU's in binary.
 */
export type StreamLayout = "lines" | "document" | "log" | "simple-trace";

const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;

/**
 * Tells line-delimited records from an array of records, from pretty-printed ones and from ones that stand
 * behind one another without newlines. A broken first line must not make a document of a line-delimited trace:
 * where the first line is the beginning of an object, the second one decides.
 *
 * @param bytes the start of the input, of which `length` bytes are there; a byte behind them is written to
 * @param atEnd the input has no more
 * @returns undefined where more is needed to tell
 */
export function sniffLayout(bytes: Uint8Array, length: number, atEnd: boolean): StreamLayout | undefined {
  if (bytes[0] === 0xef && length < 3 && !atEnd) return undefined;
  const first = lineFrom(bytes, afterMark(bytes), length, atEnd);
  if (first === undefined) return atEnd ? "lines" : undefined;
  if (bytes[first.start] === OPEN_BRACKET) return "document";
  if (bytes[first.start] !== OPEN_BRACE) return sniffLog(bytes, first.start, length, atEnd);
  if (first.end < 0) return undefined;
  const syntax = new JsonSyntax();
  const after = syntax.value(bytes, first.start);
  if (after >= 0) return bytes[skipSpace(bytes, after)] === OPEN_BRACE ? "document" : "lines";
  if (syntax.failedAt !== first.end || syntax.inString) return "lines";
  const second = lineFrom(bytes, first.end + 1, length, atEnd);
  if (second === undefined) return atEnd ? "lines" : undefined;
  if (second.end < 0) return undefined;
  return isRecord(bytes, second.start, second.end) ? "lines" : "document";
}

/** A whole object with a `type`. */
function isRecord(bytes: Uint8Array, start: number, end: number): boolean {
  const syntax = new JsonSyntax();
  return (
    bytes[start] === OPEN_BRACE &&
    syntax.explain(bytes, start, end) === null &&
    syntax.member(bytes, start, "type") >= 0
  );
}

/** Offset behind a byte order mark. */
function afterMark(bytes: Uint8Array): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

/** The first line that is not blank: its first byte that is not white space, and its newline; -1 where it has not come yet. */
function lineFrom(
  bytes: Uint8Array,
  from: number,
  length: number,
  atEnd: boolean,
): { start: number; end: number } | undefined {
  let start = from;
  while (start < length && (bytes[start] === NEWLINE || skipSpace(bytes, start) > start)) start++;
  if (start >= length) return undefined;
  const end = bytes.subarray(0, length).indexOf(NEWLINE, start);
  if (end >= 0 || !atEnd) return { start, end };
  bytes[length] = NEWLINE;
  return { start, end: length };
}
