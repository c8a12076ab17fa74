import type { Options } from "yargs";
import {
  FILTER_WORDS,
  type FilterWord,
  type FilterWords,
  optionOf,
} from "../pipeline/filter/filter-words.ts";

/** The words of a filter as options of a command. */
function optionsOf<W extends FilterWord>(words: readonly W[]): Record<W, Options> {
  const option = (word: W): Options => ({
    describe: FILTER_WORDS[word],
    type: "string",
    requiresArg: true,
    group: "Filters, lists each; all that are given must hold:",
  });
  return Object.fromEntries(words.map((word) => [optionOf(word), option(word)])) as Record<W, Options>;
}

const ALL = Object.keys(FILTER_WORDS) as FilterWord[];

/** What every command that replays requests can be narrowed to. */
export const FILTER_OPTIONS = optionsOf(ALL);
/** … where there are no findings. */
export const REQUEST_FILTER_OPTIONS = optionsOf(
  ALL.filter((word): word is Exclude<FilterWord, "rule"> => word !== "rule"),
);

/** … where there is a state, and no history. */
export const STATE_FILTER_OPTIONS = optionsOf(["iommu", "dev", "pasid", "addr", "code", "reason"] as const);

export type FilterArguments = { readonly [W in FilterWord]?: string | readonly string[] };

/** What is asked for; undefined: everything. */
export function filterWords(args: FilterArguments): FilterWords | undefined {
  const given = ALL.flatMap((word) => (args[word] === undefined ? [] : [[word, args[word]] as const]));
  return given.length === 0 ? undefined : Object.fromEntries(given);
}
