import { existsSync } from "node:fs";
import { nearest } from "../parsers/trace/nearest.ts";
import { CliError } from "./errors.ts";

/**
 * yargs' own message in our words, with the option that a mistyped one most likely means. Options of a mistyped command
 * are not known to the one that it is taken for: then the command is what is wrong.
 */
export function usageError(
  error: unknown,
  parser: unknown,
  given: readonly string[],
  commands: readonly string[],
): CliError {
  const message = error instanceof Error ? error.message : String(error);
  const missing = /^Not enough non-option arguments: got (\d+), need at least (\d+)/.exec(message);
  if (missing !== null)
    return new CliError(
      `expected at least ${missing[2]} argument${missing[2] === "1" ? "" : "s"}, found ${missing[1]}`,
      true,
    );
  const valueless = /^Not enough arguments following: (.*)$/.exec(message);
  if (valueless !== null) {
    const option = dashed(valueless[1]!);
    return new CliError(`${option}: expected a value, found none`, true);
  }
  const required = /^Missing required arguments?: (.*)$/.exec(message);
  if (required !== null) {
    const options = required[1]!.split(", ").map(dashed);
    return new CliError(
      `expected ${options.join(" and ")}, found ${options.length === 1 ? "none" : "neither"}`,
      true,
    );
  }
  const choice = /Argument: (.*), Given: (.*), Choices: (.*)$/.exec(message);
  const dashes = given.some((word) => word.startsWith(`--${choice?.[1]}`)) ? "--" : "";
  if (choice !== null)
    return new CliError(
      `${dashes}${choice[1]}: expected one of ${choice[3]!.replaceAll('"', "")}, found ${choice[2]}`,
      true,
    );
  const unknown = /^Unknown arguments?: (.*)$/.exec(message);
  if (unknown === null) return new CliError(message, true);
  const meant = mistypedCommand(given, commands);
  if (meant !== undefined)
    return new CliError(
      `expected a command or a trace, found ${given[0]}; did you mean the command ${meant}?`,
      true,
    );
  const known = Object.keys((parser as { getOptions(): { key: object } }).getOptions().key);
  const words = unknown[1]!.split(", ").filter((word, _, all) => !all.some((other) => camel(other) === word));
  const near = words[0]!.length > 1 ? nearest(words[0]!, known) : undefined;
  const hint = near === undefined ? "" : `; did you mean --${near}?`;
  return new CliError(`expected known options and commands, found ${words.join(", ")}${hint}`, true);
}

/** The command that the first word is nearly. */
function mistypedCommand([first = ""]: readonly string[], commands: readonly string[]): string | undefined {
  if (commands.includes(first) || /^-|[./]/.test(first) || existsSync(first)) return undefined;
  return nearest(first, commands);
}

/** An option by its name, as it is given. */
function dashed(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`;
}

/** What yargs makes of an option with dashes, and names beside it; "" for one without any. */
function camel(word: string): string {
  return word.includes("-") ? word.replace(/-+(.)/g, (_, c: string) => c.toUpperCase()) : "";
}
