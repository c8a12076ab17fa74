import { isObject } from "../trace/field.ts";
import { NEWLINE } from "../trace/json-syntax.ts";
import { isRecordType } from "../trace/schema.ts";

/** A trace, or what a replay said about one. */
export type StreamKind = "trace" | "outcomes";

const OUTPUT_TYPES: ReadonlySet<string> = new Set([
  "outcome",
  "error",
  "finding",
  "trace",
  "stats",
  "summary",
  "total",
  "overview",
  "diff",
  "diff-summary",
]);

/**
 * Tells a trace from a replay's output by the first record that only one of them has. A mark is in both; that of an
 * output says its line.
 * @param head the first bytes of the input
 * @returns "trace" where nothing tells
 */
export function streamKind(head: Uint8Array): StreamKind {
  for (let at = 0; at < head.length; ) {
    const newline = head.indexOf(NEWLINE, at);
    const end = newline < 0 ? head.length : newline;
    const kind = kindOf(decoder.decode(head.subarray(at, end)));
    if (kind !== undefined) return kind;
    at = end + 1;
  }
  return "trace";
}

function kindOf(line: string): StreamKind | undefined {
  // A record may be cut off by the end of the head, or the text be a document over several lines.
  const named = /"type"\s*:\s*"([a-z-]+)"/.exec(line)?.[1];
  if (named === undefined) return undefined;
  if (OUTPUT_TYPES.has(named)) return "outcomes";
  if (named === "mark") return markHasLine(line) ? "outcomes" : undefined;
  return isRecordType(named) ? "trace" : undefined;
}

function markHasLine(line: string): boolean {
  try {
    const record: unknown = JSON.parse(line);
    return isObject(record) && typeof record.line === "number";
  } catch {
    return false;
  }
}

const decoder = new TextDecoder();
