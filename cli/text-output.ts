import { type Output, standardOutput } from "./output.ts";

/** Makes a line of text fit the terminal that it goes to; elsewhere lines stay what they are. */
export type FitLine = (line: string) => string;

/** How lines of text are made to fit an output: only a terminal has columns. */
export async function fitFor({ terminal }: Output): Promise<FitLine> {
  const { columns } = process.stdout;
  if (terminal !== true || columns === undefined) return (line) => line;
  const { fittedLine } = await import("./render/fit.ts");
  return (line) => fittedLine(line, columns);
}

/** Writes text for people. */
export async function writeText(output: Output, text: string): Promise<void> {
  const fit = await fitFor(output);
  await output.write(text.split("\n").map(fit).join("\n"));
}

/** Writes what a command has to say to standard output. @param json it is for machines: as it is */
export async function writeOut(json: boolean, text: string): Promise<void> {
  const output = standardOutput();
  await (json ? output.write(text) : writeText(output, text));
}
