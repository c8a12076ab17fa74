import { readFileSync } from "node:fs";
import { isObject } from "../../parsers/trace/field.ts";
import { globMatches } from "../../pipeline/filter/glob.ts";
import { parseCodeAliases } from "../code-aliases.ts";
import { CliError, reasonOf } from "../errors.ts";

/** Departures that are expected of a device, by their signatures; and codes that it gives for others. */
export class KnownFindings {
  readonly codeAliases = new Map<number, Set<number>>();
  /** Mistakes that the device is known to make (`dut --list-bugs`). */
  readonly bugs: string[] = [];
  readonly #rules: { readonly signature: string; readonly reason: string; used: boolean }[] = [];

  /** @throws CliError for a file that is none of such rules */
  constructor(paths: readonly string[]) {
    this.read(paths);
  }

  /** Takes the rules of further files. @throws CliError for one that is none of such rules */
  read(paths: readonly string[]): void {
    for (const path of paths) {
      let text: string;
      try {
        text = readFileSync(path, "utf8");
      } catch (error) {
        throw new CliError(`${path}: expected a file of known findings, found ${reasonOf(error)}`);
      }
      text.split("\n").forEach((line, i) => {
        if (!/^\s*(#|\/\/|$)/.test(line)) this.#take(`${path}:${i + 1}`, line);
      });
    }
  }

  #take(place: string, line: string): void {
    const rule = ruleOf(place, line);
    if ("signature" in rule) this.#rules.push({ ...rule, used: false });
    else if ("bug" in rule) this.bugs.push(rule.bug);
    else
      for (const [code, recorded] of parseCodeAliases(rule.codes, place))
        this.codeAliases.set(code, new Set([...(this.codeAliases.get(code) ?? []), ...recorded]));
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

function ruleOf(
  place: string,
  line: string,
):
  | { readonly signature: string; readonly reason: string }
  | { readonly codes: string }
  | { readonly bug: string } {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new CliError(`${place}: expected a JSON object, found ${JSON.stringify(line)}`);
  }
  const { signature, code_alias: codes, bug, reason } = isObject(value) ? value : {};
  if (signature === undefined && typeof reason === "string" && reason !== "") {
    if (typeof codes === "string" && bug === undefined) return { codes };
    if (typeof bug === "string" && codes === undefined) return { bug };
  }
  if (typeof signature !== "string" || typeof reason !== "string" || reason === "")
    throw new CliError(
      `${place}: expected {"signature": a pattern, "reason": why it is expected}, or "code_alias" or "bug" in place of the signature, found ${JSON.stringify(value)}`,
    );
  return { signature, reason };
}
