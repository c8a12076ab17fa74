/** Tells a trace, or a log, from a file of another kind by its first bytes: that is one message, not one for each of its lines. */
import { sniffLog } from "./log-input.ts";
import { anyContentOf } from "./magic.ts";
import { OUR_OUTPUT, streamKind } from "./outcomes/stream-kind.ts";
import type { ByteSource } from "./trace/byte-source.ts";
import { PeekedSource } from "./trace/decompress.ts";
import { TraceError } from "./trace/errors.ts";
import { isRecordType } from "./trace/schema.ts";
import { show } from "./trace/show.ts";

/** First bytes that are looked at: a record must begin within them. */
const HEAD_BYTES = 64 * 1024;
/** Names of types, as a record has them. */
const TYPE = /"type"\s{0,16}:\s{0,16}"([^"\\]{0,64})"/g;
/** Lines that are no records, before the first one that is: a trace may have a broken line or two. */
const MOST_STRAY_LINES = 16;

/** So often the beginning is looked at as soon as there is more of it; then, when there is much more. */
const MOST_LOOKS = 256;

/** Types of records that a trace has, and what we write has as well. */
const TELLS_LATE = /"(mark|iommu|fault)"/;

type Content = "trace" | "output" | "other" | "undecided";

/**
 * The source itself, once a record has shown in it.
 * @param orOutput what a replay has written will do as well
 * @throws TraceError "not-a-trace", after having closed it
 */
export async function onlyTrace(source: ByteSource, orOutput = false): Promise<ByteSource> {
  const head = Buffer.alloc(HEAD_BYTES);
  let fill = 0;
  let content: Content = "undecided";
  let looks = 0;
  let nextLook = 0;
  try {
    while (fill < HEAD_BYTES && content === "undecided") {
      const n = await source.read(head, fill, HEAD_BYTES - fill);
      fill += n;
      // Input that comes byte by byte is not looked at from its start for each of them.
      if (n > 0 && ++looks > MOST_LOOKS && fill < Math.min(nextLook, HEAD_BYTES)) continue;
      nextLook = fill + (fill >> 2);
      const text = head.toString("latin1", 0, fill);
      // The end of the input ends its last line.
      content = contentOfText(n === 0 ? `${text}\n` : text);
      if (n === 0) break;
    }
  } catch (error) {
    // What breaks off is read up to there.
    return new PeekedSource(source, head.subarray(0, fill), error);
  }
  const text = head.toString("latin1", 0, fill);
  // The beginning of a long record may be all that there is so far.
  const begun = fill === HEAD_BYTES && /^\s*[{[][^\n]*$/.test(text);
  const readable = content === "trace" || (content === "output" ? orOutput : isLog(head, fill));
  if (readable || (content === "undecided" && (begun || text.trim() === "")))
    return new PeekedSource(source, head.subarray(0, fill));
  await source.close();
  const expected = orOutput ? "a trace or the output of a replay" : "a trace";
  const found = content === "output" ? OUR_OUTPUT : kindOf(text);
  throw new TraceError(
    "not-a-trace",
    source.path,
    `expected ${expected} (records of JSON, one a line), found ${found}`,
  );
}

/** Whether the beginning is one of a log. */
function isLog(head: Uint8Array, length: number): boolean {
  const layout = sniffLog(head, 0, length, length < HEAD_BYTES);
  return layout === "log" || layout === "simple-trace";
}

/** By the first record that tells; of a document over several lines, by any name of a type. */
function contentOfText(text: string): Content {
  const lines = text.split("\n");
  // The last one may go on.
  const whole = lines.slice(0, -1);
  const first = whole.find((line) => line.trim() !== "") ?? lines.at(-1)!;
  if (/^(\xef\xbb\xbf)?\s*[{[]\s*$/.test(first) || /^(\xef\xbb\xbf)?\s*\[/.test(first)) {
    const types = [...text.matchAll(TYPE)].map((match) => match[1]!);
    return types.some(isRecordType) ? "trace" : "undecided";
  }
  let stray = 0;
  for (const [i, line] of lines.entries()) {
    const type = /^(\xef\xbb\xbf)?\s*\{/.test(line) ? (line.match(TYPE)?.[0] ?? "") : "";
    // What else stands in it says whose it is.
    if (TELLS_LATE.test(type) && i === lines.length - 1) return "undecided";
    if (type !== "") return streamKind(Buffer.from(line, "latin1")) === "outcomes" ? "output" : "trace";
    if (line.trim() !== "" && ++stray > MOST_STRAY_LINES) return "other";
  }
  return "undecided";
}

function kindOf(text: string): string {
  const content = anyContentOf(text);
  if (content !== undefined) return content;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: text has none of these
  if (/[\x00-\x08\x0e-\x1a\x1c-\x1f]/.test(text)) return "other bytes";
  if (/^\s*(\{\s*["}]|\[\s*([{["\]\d-]|true|false|null))/.test(text))
    return 'JSON without a record: no object has a "type" of one';
  const line = text.trimStart().split(/\r?\n/, 1)[0]!;
  return `text that begins with ${show(Buffer.from(line, "latin1").toString("utf8"))}`;
}
