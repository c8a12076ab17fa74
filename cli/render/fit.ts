import { stripVTControlCharacters } from "node:util";
import stringWidth from "string-width";
import wrapAnsi from "wrap-ansi";

/** The least that is left for text behind an indent. */
const LEAST_COLUMNS = 24;
/** What is copied as it is: a command to type, a record of NDJSON. */
const WHOLE = /^\s*(?:pasid-replay |[{[])/;
/** Marks that have no width. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for
const MARKS = /\x1b\[\d+m/g;

/**
 * A line of text in a terminal of so many columns: a long one goes on below, under the column that it is in, not at the
 * margin. Commands and records are left as they are, to be copied.
 */
export function fittedLine(line: string, columns: number): string {
  // As many characters as columns are no more than that, but for wide ones: those are looked at.
  if (line.length * 2 <= columns || stringWidth(line) <= columns) return line;
  const plain = stripVTControlCharacters(line);
  if (WHOLE.test(plain)) return line;
  const at = columnOf(plain, columns);
  const cut = cutAt(line, at);
  const rest = wrapAnsi(line.slice(cut), columns - at, { hard: true, trim: true });
  return line.slice(0, cut) + rest.replaceAll("\n", `\n${" ".repeat(at)}`);
}

/** Where a line's last column begins, two spaces or more behind the one before it; else a step behind its indent. */
function columnOf(plain: string, columns: number): number {
  const most = Math.max(0, columns - LEAST_COLUMNS);
  const indent = plain.length - plain.trimStart().length;
  let at = indent;
  for (const { index, 0: gap } of plain.matchAll(/ {2,}(?=\S)/g)) {
    const end = stringWidth(plain.slice(0, index)) + gap.length;
    if (index > 0) at = end;
  }
  if (at > indent && at <= most) return at;
  const item = /^ *(?:- |\d+\. )/.exec(plain);
  return Math.min(most, item === null ? indent + 2 : item[0].length);
}

/** Index in a marked line of the character at a column. */
function cutAt(line: string, column: number): number {
  let width = 0;
  for (let i = 0; i < line.length; ) {
    MARKS.lastIndex = i;
    const mark = MARKS.exec(line);
    if (mark?.index === i) {
      i += mark[0].length;
      continue;
    }
    if (width >= column) return i;
    const char = String.fromCodePoint(line.codePointAt(i)!);
    width += stringWidth(char);
    i += char.length;
  }
  return line.length;
}
