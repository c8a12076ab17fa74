import { printableLine } from "../../parsers/trace/show.ts";
import type { TotalRecord } from "../output/records.ts";
import type { Summary } from "../output/statistics.ts";
import { columns, counted } from "./columns.ts";
import { paint } from "./paint.ts";

/** A trace with what it came to. */
export interface CountedTrace {
  readonly path: string;
  readonly summary: Summary;
}

/** What a table of several traces says of each, by the heads of its columns. */
export const GLANCE = [
  "Requests",
  "Wrong answers",
  "Stale, owed",
  "Errors",
  "Warnings",
  "Faults",
  "Unusable",
] as const;

export function glance({ walked, verdicts, owed, severities, faults, errors }: Summary): number[] {
  return [
    walked,
    (verdicts.get("mismatch") ?? 0) + (verdicts.get("stale-after-invalidation") ?? 0),
    owed,
    severities.get("error") ?? 0,
    severities.get("warning") ?? 0,
    faults,
    errors,
  ];
}

/** The order of such a table: those with something wrong first; requests say nothing, and faults may be meant. */
export function worstTracesFirst<T>(traces: readonly T[], summaryOf: (trace: T) => Summary): T[] {
  const rank = (trace: T): number[] => {
    const [, wrong, owed, errors, warnings, faults, unusable] = glance(summaryOf(trace));
    return [wrong!, owed!, errors!, warnings!, unusable!, faults!];
  };
  return traces
    .map((trace) => ({ trace, rank: rank(trace) }))
    .sort((a, b) => {
      const i = a.rank.findIndex((n, j) => n !== b.rank[j]);
      return i < 0 ? 0 : b.rank[i]! - a.rank[i]!;
    })
    .map(({ trace }) => trace);
}

/** Rows of a table at a terminal. */
const MOST_ROWS = 40;

/** Several traces, the worst first, and what they come to together. */
export function traceTable(traces: readonly CountedTrace[], total: TotalRecord): string {
  const sorted = worstTracesFirst(traces, ({ summary }) => summary);
  const rows = sorted
    .slice(0, MOST_ROWS)
    .map(({ path, summary }) => [...glance(summary).map(String), printableLine(path)]);
  const sums = GLANCE.map((_, i) => `${traces.reduce((sum, { summary }) => sum + glance(summary)[i]!, 0)}`);
  const left = sorted.length - rows.length;
  const heads = [...GLANCE.map((head) => head.toLowerCase()), "trace"];
  const all = columns(
    [heads, ...rows, [...sums, `all ${counted(total.traces, "trace")}`]],
    [...GLANCE.map(() => "right" as const), "left"],
  );
  const failed =
    total.failed === undefined ? [] : [`${counted(total.failed, "trace")} could not be replayed`];
  const lines = [
    paint("strong", `${counted(total.traces, "trace")}, the worst first`),
    paint("faint", all[0]!),
    ...all.slice(1, -1),
    ...(left > 0 ? [`… ${counted(left, "more trace")}`] : []),
    paint("strong", all.at(-1)!),
    ...failed,
  ];
  return `${lines.join("\n")}\n`;
}

/** One trace in a line: what is wrong with it, and how much there was. */
export function traceLine(path: string, summary: Summary): string {
  const [requests, ...others] = glance(summary);
  const found = others.flatMap((n, i) => (n === 0 ? [] : [`${n} ${GLANCE[i + 1]!.toLowerCase()}`]));
  return `${path}: ${[counted(requests!, "request"), ...found].join(", ")}`;
}
