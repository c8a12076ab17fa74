import { type ParseArgsConfig, parseArgs } from "node:util";

type Options = NonNullable<ParseArgsConfig["options"]>;
type Values<O extends Options> = ReturnType<
  typeof parseArgs<{ options: O; allowPositionals: true; args: string[] }>
>["values"];

/** Wrong usage of a tool: what was expected, and what was found. */
export class UsageError extends Error {}

/**
 * Options and further arguments of one of the house's own tools, which `--help` explains. Ends the process where they are wrong,
 * or where help was asked for.
 * @param usage the command line, and what it does
 * @param check throws a UsageError where a value is wrong
 */
export function toolArguments<O extends Options>(
  usage: string,
  options: O,
  check: (values: Values<O>, positionals: readonly string[]) => void = none,
): { readonly values: Values<O>; readonly positionals: readonly string[] } {
  // Nobody reads any more, as behind `head`: that is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(0);
  });
  if (process.argv.includes("--help")) {
    console.log(usage);
    process.exit(0);
  }
  try {
    const { values, positionals } = parseArgs({
      options,
      allowPositionals: true,
      args: process.argv.slice(2),
    });
    check(values, positionals);
    return { values, positionals };
  } catch (error) {
    if (!(error instanceof UsageError) && !(error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS"))
      throw error;
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
}

function none(_values: unknown, positionals: readonly string[]): void {
  if (positionals.length > 0) throw new UsageError(`expected options alone, found ${positionals[0]}`);
}

/** A whole number from 1 on. @param name of the option, for the error */
export function countOf(name: string, text: string | undefined): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new UsageError(`${name}: expected a whole number from 1 on, found ${text}`);
  return count;
}
