import { printableLine } from "../../parsers/trace/show.ts";

/** What Markdown could take for markup within a line; what GitHub makes a link or a picture. */
const MARKUP = /[\\`*_{}[\]<>()!|~&$]|:(?=\/\/|\w+:)|(?<=www)\./gi;
/** GitHub makes links of these after all escapes are gone; a comment in between stops it. */
const REFERENCE = /[@#]/g;

/** Text of a trace as Markdown shows it: nothing in it is markup, a link, or calls anybody. */
export function mdText(text: string | number): string {
  return printableLine(`${text}`).replace(MARKUP, "\\$&").replace(REFERENCE, "$&<!-- -->");
}

/** Text as code within a line. */
export function mdCode(text: string): string {
  const shown = printableLine(text).replaceAll("|", "\\u007c");
  const fence = "`".repeat(longestRun(shown) + 1);
  const space = /^`|`$|^\s|\s$/.test(shown) || shown === "" ? " " : "";
  return `${fence}${space}${shown}${space}${fence}`;
}

/** Lines as a block of code. */
export function mdBlock(lines: readonly string[], language = ""): string {
  const shown = lines.map(printableLine).join("\n");
  const fence = "`".repeat(Math.max(longestRun(shown) + 1, 3));
  return `${fence}${language}\n${shown}\n${fence}`;
}

function longestRun(text: string): number {
  return Math.max(0, ...(text.match(/`+/g) ?? []).map(({ length }) => length));
}

/** A table; its cells are Markdown already. */
export function mdTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** Something that is opened when it is wanted. */
export function mdDetails(summary: string, body: string): string {
  return `<details><summary>${summary}</summary>\n\n${body}\n\n</details>`;
}
