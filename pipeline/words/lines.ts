import { printablePaintedLine } from "./paint.ts";

/** Lines as text; a newline within one, which came from an input, begins no other. */
export function linesText(lines: readonly string[]): string {
  return `${lines.map(printablePaintedLine).join("\n")}\n`;
}
