import { nearest } from "../parsers/trace/nearest.ts";
import { CliError } from "./errors.ts";

/** Where a command writes to. */
export const OUTPUT_OPTION = {
  alias: "o",
  describe: "File to write to, complete or not at all",
  type: "string",
  requiresArg: true,
  default: "-",
} as const;

/** The names of a table of options, for `--help`. */
export function names(table: object): string {
  return Object.keys(table).join(", ");
}

/** The names of a table with their sentences, one a line, for the end of `--help`. */
export function sentences(table: Readonly<Record<string, string>>): string {
  const width = Math.max(...Object.keys(table).map((name) => name.length));
  return Object.entries(table)
    .map(([name, text]) => `  ${name.padEnd(width)}  ${text}`)
    .join("\n");
}

/**
 * The names of a list option: repeated, separated by commas, or both.
 * @throws CliError for a name that is not in `allowed`
 */
export function listOption<T extends string>(
  option: string,
  allowed: readonly T[],
  given: string | readonly string[],
): T[] {
  const words = [given]
    .flat()
    .flatMap((part) => part.split(","))
    .map((word) => word.trim())
    .filter((word) => word !== "");
  if (words.length === 0)
    throw new CliError(`${option}: expected a list of ${allowed.join(", ")}, found nothing`, true);
  for (const word of words)
    if (!allowed.includes(word as T)) {
      const near = nearest(word, allowed);
      const hint = near === undefined ? "" : `; did you mean ${near}?`;
      throw new CliError(
        `${option}: expected a list of ${allowed.join(", ")}, found ${JSON.stringify(word)}${hint}`,
        true,
      );
    }
  return words as T[];
}

/** What --summary asks for: text for people, or with --json records for machines. */
export type SummaryForm = "text" | "json" | undefined;

/** @throws CliError for --json without --summary */
export function summaryForm({ summary, json }: { summary: boolean; json: boolean }): SummaryForm {
  if (json && !summary) throw new CliError("--json: expected it with --summary, found it alone", true);
  return summary ? (json ? "json" : "text") : undefined;
}

/** The value of an option that may stand once. */
export function once<T>(option: string, value: T | readonly T[]): T {
  if (!Array.isArray(value)) return value as T;
  throw new CliError(`${option}: expected it once, found it ${value.length} times`, true);
}
