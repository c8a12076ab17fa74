import { codeText } from "../pipeline/filter/code-text.ts";
import { CliError } from "./errors.ts";
import { parseInteger } from "./numbers.ts";

const OPTION = "--code-alias";

/**
 * Codes that stand for one of the specification: "0x85=0x5,0x79=0x5" says that the recorded system gives 0x5 for 0x85
 * and for 0x79.
 * @param name what they were given as
 * @throws CliError for anything else
 */
export function parseCodeAliases(
  given: string | readonly string[] | undefined,
  name = OPTION,
): Map<number, Set<number>> {
  const aliases = new Map<number, Set<number>>();
  for (const part of given === undefined ? [] : [given].flat().flatMap((text) => text.split(","))) {
    const codes = part.split("=").map((text) => text.trim());
    if (codes.length !== 2)
      throw new CliError(
        `${name}: expected a code of the specification and a recorded one, such as 0x85=0x5, found ${JSON.stringify(part)}`,
        true,
      );
    const [code, recorded] = codes.map((text) =>
      parseInteger(name, codeText(text) ?? text, 0, Number.MAX_SAFE_INTEGER),
    );
    const known = aliases.get(code!) ?? new Set();
    aliases.set(code!, known.add(recorded!));
  }
  return aliases;
}
