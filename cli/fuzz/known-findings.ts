import { readFileSync } from "node:fs";
import { isObject } from "../../parsers/trace/field.ts";
import { globMatches } from "../../pipeline/filter/glob.ts";
import { CliError, reasonOf } from "../errors.ts";

/** Departures that are expected of a device, by their signatures. */
export class KnownFindings {
  readonly #rules: { readonly signature: string; readonly reason: string; used: boolean }[] = [];

  /** @throws CliError for a file that is none of such rules */
  constructor(paths: readonly string[]) {
    for (const path of paths) {
      let text: string;
      try {
        text = readFileSync(path, "utf8");
      } catch (error) {
        throw new CliError(`${path}: expected a file of known findings, found ${reasonOf(error)}`);
      }
      text.split("\n").forEach((line, i) => {
        if (!/^\s*(#|\/\/|$)/.test(line))
          this.#rules.push({ ...ruleOf(`${path}:${i + 1}`, line), used: false });
      });
    }
  }

  /** Whether a rule names it; the rule is used then. */
  readonly has = (signature: string): boolean => {
    const rule = this.#rules.find((one) => globMatches(one.signature, signature));
    if (rule !== undefined) rule.used = true;
    return rule !== undefined;
  };

  /** Why it is expected. */
  reasonOf(signature: string): string {
    return this.#rules.find((one) => globMatches(one.signature, signature))?.reason ?? "";
  }

  /** Rules that have named nothing. */
  get unused(): string[] {
    return this.#rules.filter(({ used }) => !used).map(({ signature }) => signature);
  }
}

function ruleOf(place: string, line: string): { readonly signature: string; readonly reason: string } {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new CliError(`${place}: expected a JSON object, found ${JSON.stringify(line)}`);
  }
  const { signature, reason } = isObject(value) ? value : {};
  if (typeof signature !== "string" || typeof reason !== "string" || reason === "")
    throw new CliError(
      `${place}: expected {"signature": a pattern, "reason": why it is expected}, found ${JSON.stringify(value)}`,
    );
  return { signature, reason };
}
