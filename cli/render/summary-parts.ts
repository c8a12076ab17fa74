import type { FilterWord } from "../../pipeline/filter/filter-words.ts";
import { type Align, columns } from "../../pipeline/words/columns.ts";
import { paint } from "../../pipeline/words/paint.ts";

/** How a summary is shown. */
export interface SummaryView {
  /** The trace as a command names it. */
  readonly trace: string;
  /** Filters that were given, as a command that shows more repeats them: " --dev 00:03.0"; but for some. */
  readonly options: (...but: FilterWord[]) => string;
  /** Characters of a line. */
  readonly width: number;
}

/** Rows of a table, and groups, before they are cut. */
export const MAX_ROWS = 12;
export const INDENT = "  ";

/** A table with a head. */
export function tableLines(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  align: readonly Align[],
): string[] {
  return columns([head, ...rows], align).map((line, i) => INDENT + (i === 0 ? paint("faint", line) : line));
}

/** The command that shows more of what stands above it. */
export function moreCommand(words: string): string {
  return `${INDENT}${INDENT}${paint("accent", `pasid-replay ${words}`)}`;
}

export function pasidCell(pasid: number | undefined): string {
  return pasid === undefined || pasid < 0 ? "–" : `${pasid}`;
}
