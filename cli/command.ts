import type { Argv } from "yargs";
import type { ExitStatus } from "./exit-status.ts";

/** One command of the command line. */
export interface Command<A extends object> {
  /** Name with its positional arguments, then aliases; "$0" is the default command. */
  readonly names: readonly string[];
  readonly describe: string;
  /** Declares options, positionals and examples. */
  readonly builder: (yargs: Argv) => Argv;
  /** What stands at the end of `--help`: lists of what options take. */
  readonly epilogue?: () => string | Promise<string>;
  /** Carries it out; what it needs beyond the declarations is loaded here, so that all start fast. */
  readonly run: (args: A) => Promise<ExitStatus>;
}

/** The arguments of a command are what its own builder declares. */
export function command<A extends object>(declaration: Command<A>): Command<object> {
  return declaration as unknown as Command<object>;
}
