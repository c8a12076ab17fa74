import { isObject } from "../trace/field.ts";
import { NEWLINE } from "../trace/json-syntax.ts";
import { isRecordType } from "../trace/schema.ts";

/** A trace, or what a replay said about one. */
export type StreamKind = "trace" | "outcomes";

/** What it is called where something else was expected. */
export const OUR_OUTPUT = "the output of a replay, or of another command";

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
  "walk",
  "step",
  "device",
  "pasid",
  "map",
  "shared",
  "domain",
  "covers",
  "inspect-summary",
  "caps",
  "command",
  "structure",
  "rule",
  "fault-group",
  "logs",
]);

/** Fields that a record of a trace must have, and those of ours of the same type that a trace's has not. */
const NEEDED: ReadonlyMap<string, readonly [needed: string, ours: string]> = new Map([
  ["iommu", ["id", "iommu"]],
  ["fault", ["dev", "vendor"]],
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
  if (named === "mark") return typeof objectIn(line)?.line === "number" ? "outcomes" : undefined;
  const [needed, ours] = NEEDED.get(named) ?? ["", ""];
  const record = needed === "" ? undefined : objectIn(line);
  if (record !== undefined && !(needed in record) && ours in record) return "outcomes";
  return isRecordType(named) ? "trace" : undefined;
}

function objectIn(line: string): Record<string, unknown> | undefined {
  try {
    const record: unknown = JSON.parse(line);
    return isObject(record) ? record : undefined;
  } catch {
    return undefined;
  }
}

const decoder = new TextDecoder();
