import { openInput } from "../parsers/bind/input-file.ts";
import {
  type IgnoreRule,
  IgnoreRuleError,
  IgnoreRules,
  ignoreRule,
  ignoreRuleFromText,
} from "../pipeline/diff/ignore-rules.ts";
import { CliError } from "./errors.ts";
import { textOfInput } from "./input-text.ts";

/**
 * The rules of `--ignore` and `--ignore-file`.
 * @throws CliError with the rule's place, TraceError where a file cannot be read
 */
export async function readIgnoreRules(
  texts: readonly string[],
  paths: readonly string[],
  today: string,
): Promise<IgnoreRules> {
  const rules = texts.map((text) => placed("--ignore", () => ignoreRuleFromText(text)));
  for (const path of paths) rules.push(...(await rulesOf(path)));
  return placed("--ignore", () => new IgnoreRules(rules, today));
}

/** One rule a line, or an array of rules; lines that begin with # or // are comments. */
async function rulesOf(path: string): Promise<IgnoreRule[]> {
  const expected = "a file of ignore rules";
  const text = await textOfInput(await openInput(path, expected), expected);
  const lines = text.split("\n").map((line) => (/^\s*(?:#|\/\/)/.test(line) ? "" : line));
  // Lines of comments stay, empty: what is wrong is told by its place.
  const rest = lines.join("\n");
  if (rest.trimStart().startsWith("[")) {
    const values = parsed(path, rest) as unknown[];
    return values.map((value, i) => ruleOf(`${path}: rule ${i + 1}`, `${path}#${i + 1}`, value));
  }
  return lines
    .map((line, i) => ({ line, number: i + 1 }))
    .filter(({ line }) => line.trim() !== "")
    .map(({ line, number }) => {
      const place = `${path}:${number}`;
      return ruleOf(place, place, parsed(place, line));
    });
}

function ruleOf(place: string, name: string, value: unknown): IgnoreRule {
  return placed(place, () => ignoreRule(value, name, true));
}

function parsed(place: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new CliError(`${place}: expected JSON, found none (${(error as Error).message})`);
  }
}

function placed<T>(place: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw error instanceof IgnoreRuleError ? new CliError(`${place}: ${error.message}`) : error;
  }
}
