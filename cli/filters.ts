import type { FilterWords } from "../pipeline/filter/filter-words.ts";
import { CliError } from "./errors.ts";

/** @throws CliError for a pattern that cannot be understood */
export function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    // By its name: the class is loaded only where there is a pattern.
    if (error instanceof Error && error.name === "PatternError") throw new CliError(error.message, true);
    throw error;
  }
}

/**
 * Makes filters of what a command line asks for: a new one for each replay, since it follows its lines and times.
 * @returns undefined where nothing is asked for: nothing of it is loaded then
 * @throws CliError for words that cannot be understood
 */
export async function loadFilters(words: FilterWords | undefined) {
  if (words === undefined) return undefined;
  const { RecordFilter } = await import("../pipeline/filter/record-filter.ts");
  const { RecordPicker } = await import("../pipeline/filter/record-picker.ts");
  const { ReplayFilter } = await import("../pipeline/filter/replay-filter.ts");
  parsed(() => new RecordFilter(words));
  return {
    forReplay: () => new ReplayFilter(words),
    forRecords: () => new RecordFilter(words),
    forTexts: () => new RecordPicker(new RecordFilter(words)),
  };
}
