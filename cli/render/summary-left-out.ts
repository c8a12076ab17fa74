import { printableLine } from "../../parsers/trace/show.ts";
import type { SummarySink } from "../../pipeline/summary/summary-sink.ts";
import { clipped, counted } from "../../pipeline/words/columns.ts";
import { paint } from "../../pipeline/words/paint.ts";
import { INDENT, type SummaryView } from "./summary-parts.ts";

const MAX_NAMES = 6;

/** What a replay could not use, or did not count: whatever a reader of the counts must know of. */
export function summaryLeftOut({ errors, summary }: SummarySink, { width }: SummaryView): string[] {
  const lines: string[] = [];
  const say = (text: string) => lines.push(INDENT + clipped(text, width - INDENT.length));
  if (errors.errorCount > 0) {
    const { line, message } = errors.errors[0]!;
    say(
      `${counted(errors.errorCount, "record")} that could not be used, the first in line ${line}: ${message}`,
    );
  }
  if (summary === null) return lines;
  const { filtered, unknown, unknown_names, forgotten } = summary;
  if (filtered !== undefined) say(`by the filter: ${counted(filtered, "request")}`);
  if (unknown !== undefined) say(`records of types that are not known: ${namesOf(unknown)}`);
  if (unknown_names !== undefined)
    say(`names that are not known, and were ignored: ${namesOf(unknown_names)}`);
  if (forgotten !== undefined)
    say(
      `${counted(forgotten, "cached entry", "cached entries")}, for want of --memory-limit: verdicts may be incomplete`,
    );
  return lines.length === 0 ? [] : [paint("strong", "Left out"), ...lines];
}

function namesOf(counts: Readonly<Record<string, number>>): string {
  const all = Object.entries(counts).sort(([, a], [, b]) => b - a);
  const shown = all.slice(0, MAX_NAMES).map(([name, count]) => `${printableLine(name)} (${count})`);
  return `${shown.join(", ")}${all.length > MAX_NAMES ? ", …" : ""}`;
}
