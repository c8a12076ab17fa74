import { NEWLINE } from "../trace/json-syntax.ts";
import { CarriedLine } from "./carriers.ts";
import { LOG_FORMATS } from "./registry.ts";
import { isSimpleTrace, MAGIC_BYTES } from "./simple-trace.ts";

/** What is looked at before anything that is no trace is taken for a log: more lines of interest may come later. */
const ENOUGH_BYTES = 32 * 1024;
const OPEN_BRACE = 0x7b;
/** What a trace of QEMU's begins with; no text does. */
const MAGIC_BYTE = 0xff;

/**
 * Tells a log from a trace whose first line is broken, where the first line does not begin like a record.
 * @param bytes the start of the input, of which bytes `start` to `length` (exclusive) count
 * @param atEnd the input has no more
 * @returns undefined where more is needed to tell
 */
export function sniffLog(
  bytes: Uint8Array,
  start: number,
  length: number,
  atEnd: boolean,
): "lines" | "log" | "simple-trace" | undefined {
  if (bytes[0] === MAGIC_BYTE && length < MAGIC_BYTES && !atEnd) return undefined;
  if (isSimpleTrace(bytes, length)) return "simple-trace";
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, length);
  const line = new CarriedLine();
  let lines = 0;
  for (let p = start; p < length; ) {
    const newline = text.indexOf(NEWLINE, p);
    if (newline < 0 && !atEnd) break;
    const end = newline < 0 ? length : newline;
    if (bytes[p] === OPEN_BRACE) return "lines";
    line.take(++lines, text.toString("utf8", p, Math.min(end, p + ENOUGH_BYTES)));
    if (LOG_FORMATS.some((format) => format.detect(line.text))) return "log";
    p = end + 1;
  }
  if (length - start >= ENOUGH_BYTES) return isText(bytes, start, length) ? "log" : "lines";
  if (!atEnd) return undefined;
  // A text that is all there and says nothing of an IOMMU is no log: what is wrong with it as a trace is said.
  const concerns = hasNeedle(text.toString("latin1", start, length));
  return concerns && isText(bytes, start, length) ? "log" : "lines";
}

function hasNeedle(text: string): boolean {
  return LOG_FORMATS.some(({ needles }) => needles.some((needle) => text.includes(needle)));
}

/** No byte of it is one that text does not have. */
function isText(bytes: Uint8Array, start: number, length: number): boolean {
  for (let p = start; p < length; p++) {
    const c = bytes[p]!;
    if (c < 0x07 || (c > 0x0d && c < 0x1b) || (c > 0x1b && c < 0x20)) return false;
  }
  return true;
}
