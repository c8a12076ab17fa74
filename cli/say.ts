import { printableLine } from "../parsers/trace/show.ts";

/** Says a line on standard error; what it quotes of an input moves no cursor. */
export function say(message: string): void {
  process.stderr.write(`pasid-replay: ${printableLine(message)}\n`);
}
