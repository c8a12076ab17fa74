import { styleText } from "node:util";
import { printable, printableLine } from "../../parsers/trace/show.ts";

/** What text can be marked as; the colours are those of the terminal's own palette. */
const STYLES = {
  /** A title, or the one thing to look at. */
  strong: "bold",
  /** What may be skipped. */
  faint: "dim",
  bad: "red",
  doubtful: "yellow",
  good: "green",
  /** A command to type, a field's bits. */
  accent: "cyan",
} as const;
type StyleName = keyof typeof STYLES;

/** The sequences that `paint` makes, and no others: what an input brings along is escaped. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for
const OURS = /(\x1b\[(?:1|2|22|31|32|33|36|39)m)/;

let coloured = false;

/** Whether text is marked from now on. Decided once, by the command line. */
export function useColour(on: boolean): void {
  coloured = on;
}

/** Marks a text, where colours are wanted. Pad before: a mark has no width, and a length. */
export function paint(style: StyleName, text: string): string {
  // The stream is none of styleText's business: who wants colours has been asked already.
  return coloured && text !== "" ? styleText(STYLES[style], text, { validateStream: false }) : text;
}

/** Text for a person, as `printable` makes it, but with what `paint` has put into it. */
export function printablePainted(text: string): string {
  return keepingMarks(text, printable);
}

/** A line likewise, as `printableLine` makes it. */
export function printablePaintedLine(text: string): string {
  return keepingMarks(text, printableLine);
}

function keepingMarks(text: string, make: (text: string) => string): string {
  if (!coloured) return make(text);
  return text
    .split(OURS)
    .map((part, i) => (i % 2 === 1 ? part : make(part)))
    .join("");
}

/** By verdict and severity: how bad it is. */
const MARKS: Readonly<Record<string, StyleName>> = {
  error: "bad",
  warning: "doubtful",
  mismatch: "bad",
  "stale-after-invalidation": "bad",
  stale: "doubtful",
  unflushed: "doubtful",
  hazard: "doubtful",
  unknown: "doubtful",
  match: "good",
};

/** Marks the name of a verdict or a severity, or a text that belongs to it. */
export function paintAs(name: string, text: string = name): string {
  const style = MARKS[name];
  return style === undefined ? text : paint(style, text);
}
