import { printableLine } from "../../parsers/trace/show.ts";

/** Lines as text; a newline within one, which came from an input, begins no other. */
export function linesText(lines: readonly string[]): string {
  return `${lines.map(printableLine).join("\n")}\n`;
}
