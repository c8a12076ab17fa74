import { onlyTrace } from "../../parsers/recognize.ts";
import { ALIGNMENTS, type Alignment, AlignmentError } from "../diff/aligner.ts";
import { DEPTHS, type Depth } from "../diff/answer.ts";
import { TRACE_SIDES, type TraceSide } from "../diff/answer-kinds.ts";
import { diffStreams } from "../diff/diff.ts";
import type { DiffErrorRecord, DiffRecord } from "../diff/difference.ts";
import {
  type IgnoreRule,
  IgnoreRuleError,
  IgnoreRules,
  ignoreRule,
  ignoreRuleFromText,
} from "../diff/ignore-rules.ts";
import { type DiffSummaryRecord, diffSummaryRecord } from "../diff/summary-record.ts";
import type { FilterWords } from "../filter/filter-words.ts";
import { RecordFilter } from "../filter/record-filter.ts";
import { LibraryError, unknownName } from "./library-error.ts";
import { filtered, handedOn, sourceOf, type TraceInput, traceFolder } from "./trace-input.ts";

/** How two streams of answers are compared. */
export interface CompareOptions {
  /** Whose answers a trace gives; default: those observed, where its first request has them, else our walk's. */
  readonly side?: TraceSide;
  /** By what requests are paired; default "auto": by `seq` as far as both follow it. */
  readonly align?: Alignment;
  /** How deep to compare; default "record". */
  readonly depth?: Depth;
  /** Differences that are expected: "class=code,codes=0x58:0x50", or the same as an object. */
  readonly ignore?: readonly (string | object)[];
  /** Which requests to compare; default: all. */
  readonly filter?: FilterWords;
  /** Folders or files outside of a trace's own that its snapshots may be in. */
  readonly allowPaths?: readonly string[];
}

/**
 * Compares two streams of answers to the same requests, as `pasid-replay diff`: recordings of one workload, or outcomes of
 * replays. One record for each difference, `error` records, and `diff-summary` as the last.
 *
 * @throws TraceError where one cannot be opened; LibraryError ("argument") for options that make no sense
 */
export async function* diff(
  a: TraceInput,
  b: TraceInput,
  options: CompareOptions = {},
): AsyncGenerator<DiffRecord | DiffErrorRecord | DiffSummaryRecord, void, undefined> {
  const { side, align = "auto", depth = "record", filter: words, allowPaths = [] } = options;
  known("side", [undefined, ...TRACE_SIDES], side);
  known("align", ALIGNMENTS, align);
  known("depth", Object.keys(DEPTHS), depth);
  const ignore = new IgnoreRules((options.ignore ?? []).map(ruleOf), new Date().toISOString().slice(0, 10));
  const filters = words && filtered(() => [new RecordFilter(words), new RecordFilter(words)] as const);
  const replayOf = (input: TraceInput) => ({ directory: traceFolder(input), allowPaths });
  const sourceA = await onlyTrace(await sourceOf(a), true);
  const sourceB = await sourceOf(b)
    .then((source) => onlyTrace(source, true))
    .catch(async (error) => {
      await sourceA.close();
      throw error;
    });
  const chunks = handedOn<string>([sourceA, sourceB], async (put) => {
    const hooks = { write: (bytes: Buffer) => put(bytes.toString("utf8")) };
    const compared = {
      side,
      alignment: align,
      depth,
      ignore,
      filters,
      replayA: replayOf(a),
      replayB: replayOf(b),
    };
    const result = await diffStreams(sourceA, sourceB, hooks, compared);
    await put(`${JSON.stringify(diffSummaryRecord(result))}\n`);
  });
  try {
    for await (const chunk of chunks)
      for (const line of chunk.split("\n")) if (line !== "") yield JSON.parse(line);
  } catch (error) {
    throw error instanceof AlignmentError ? new LibraryError("argument", `align: ${error.message}`) : error;
  }
}

function known(name: string, names: readonly unknown[], value: unknown): void {
  if (!names.includes(value))
    throw unknownName(name, names.filter((n) => n !== undefined) as string[], value);
}

function ruleOf(given: string | object, i: number): IgnoreRule {
  try {
    return typeof given === "string" ? ignoreRuleFromText(given) : ignoreRule(given, `ignore[${i}]`, false);
  } catch (error) {
    if (error instanceof IgnoreRuleError)
      throw new LibraryError("argument", `ignore[${i}]: ${error.message}`);
    throw error;
  }
}
