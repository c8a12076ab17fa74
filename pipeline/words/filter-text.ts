import { type FilterWord, type FilterWords, optionOf } from "../filter/filter-words.ts";
import { shellWord } from "./shell-word.ts";

/** The options as they are typed again: " --dev 00:03.0", "" where there are none but those that are not wanted. */
export function filterText(words: FilterWords | undefined, but: readonly FilterWord[]): string {
  return Object.entries(words ?? {})
    .filter(([word]) => !but.includes(word as FilterWord))
    .flatMap(([word, given]) =>
      [given ?? []].flat().map((text) => ` --${optionOf(word as FilterWord)} ${shellWord(text)}`),
    )
    .join("");
}
