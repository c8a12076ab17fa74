import yargs, { type Argv, type CommandModule } from "yargs";
import { packageVersion } from "../parsers/package-files.ts";
import { nearest } from "../parsers/trace/nearest.ts";
import { useColour } from "../pipeline/words/paint.ts";
import { COLOUR_CHOICES, COLOUR_OPTION, type ColourChoice, wantsColour } from "./colour.ts";
import type { Command } from "./command.ts";
import { capsCommand } from "./commands/caps.ts";
import { checkCommand } from "./commands/check.ts";
import { completionCommand } from "./commands/completion.ts";
import { decodingCommand } from "./commands/decode.ts";
import { diffCommand } from "./commands/diff.ts";
import { dutCommand } from "./commands/dut.ts";
import { explainCommand } from "./commands/explain.ts";
import { fuzzCommand } from "./commands/fuzz.ts";
import { importCommand } from "./commands/import.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { manCommand } from "./commands/man.ts";
import { mergeCommand } from "./commands/merge.ts";
import { recordCommand } from "./commands/record.ts";
import { replayCommand } from "./commands/replay.ts";
import { reportCommand } from "./commands/report.ts";
import { rulesCommand } from "./commands/rules.ts";
import { schemaCommand } from "./commands/schema.ts";
import { walkCommand } from "./commands/walk.ts";
import { CliError } from "./errors.ts";
import { EXIT_OK, type ExitStatus } from "./exit-status.ts";
import { standardOutput } from "./output.ts";
import { writeText } from "./text-output.ts";
import type { CommandModel } from "./usage/command-model.ts";
import { usageError } from "./usage-error.ts";

/** Columns of `--help`, where the terminal has as many. */
const HELP_COLUMNS = 110;
/**
 * Stands before words that yargs must take as they are: it drops a positional "-", and takes what begins with a dash
 * for an option and the first of all for a command. No word of a command line can hold it.
 */
const VERBATIM = "\0";

const COMMANDS: readonly Command<object>[] = [
  replayCommand,
  walkCommand,
  inspectCommand,
  diffCommand,
  reportCommand,
  mergeCommand,
  importCommand,
  recordCommand,
  explainCommand,
  decodingCommand,
  capsCommand,
  checkCommand,
  fuzzCommand,
  dutCommand,
  rulesCommand,
  schemaCommand,
  completionCommand(models),
  manCommand(models, packageVersion),
];

/** What documents and completes commands goes by their declarations. */
async function models(): Promise<CommandModel[]> {
  const { modelOf } = await import("./usage/command-model.ts");
  return Promise.all(COMMANDS.map(modelOf));
}

/**
 * Runs one command line to its end.
 * @throws CliError where it is wrong or cannot be carried out; whatever else the command throws
 */
export async function runCommandLine(given: readonly string[]): Promise<ExitStatus> {
  const words = given[0] === "help" ? helpWords(given.slice(1)) : given;
  let running: Promise<ExitStatus> | undefined;
  const parser = newParser();
  const used: { command?: Command<object> } = {};
  for (const command of COMMANDS) parser.command(moduleOf(command, used, (status) => (running = status)));
  parser.command({ command: "help [command]", describe: "Show the help of a command", handler: () => {} });
  let printed = "";
  try {
    await parser.parseAsync(marked(words), {}, (_error: unknown, _args: unknown, output: string) => {
      printed = output;
    });
  } catch (error) {
    throw pointed(usageError(error, parser, words, commandNames()), words);
  }
  if (printed !== "") await writeHelp(printed, used.command);
  try {
    return await (running ?? EXIT_OK);
  } catch (error) {
    throw pointed(mistyped(error), words);
  }
}

/** "help walk" as "walk --help". */
function helpWords(words: readonly string[]): string[] {
  const names = words.filter((word) => !word.startsWith("-"));
  const [name] = names;
  if (name === undefined) return ["--help"];
  if (names.length === 1 && commandNames().includes(name)) return [name, "--help"];
  const near = nearest(name, commandNames());
  const hint = near === undefined ? "" : `; did you mean ${near}?`;
  throw new CliError(
    `help: expected a command (${commandNames().join(", ")}), found ${names.join(" ")}${hint}`,
  );
}

/** Others' commands spell two values of --color as --no-color, and as --color alone. */
function coloured(word: string, next: string | undefined): string {
  if (word === "--no-color") return "--color=never";
  const alone = word === "--color" && !(COLOUR_CHOICES as readonly unknown[]).includes(next);
  return alone ? "--color=always" : word;
}

/** @param command whose help it is, if it is a command's */
async function writeHelp(text: string, command: Command<object> | undefined): Promise<void> {
  const isHelp = text.includes("\nOptions:");
  const epilogue = isHelp ? await command?.epilogue?.() : undefined;
  await standardOutput().write(`${text}\n`);
  if (epilogue !== undefined) await writeText(standardOutput(), `\n${epilogue}\n`);
}

/** Marks a "-", and everything behind a "--". */
function marked(words: readonly string[]): string[] {
  const end = words.indexOf("--");
  const before = end < 0 ? words : words.slice(0, end);
  const behind = end < 0 ? [] : words.slice(end + 1);
  return [
    ...before.map((word, i) => (word === "-" ? VERBATIM + word : coloured(word, before[i + 1]))),
    ...behind.map((word) => VERBATIM + word),
  ];
}

function commandNames(): string[] {
  return COMMANDS.map(({ names }) => names[0]!.split(" ")[0]!);
}

/** A wrong use of a command points to the help of that command. */
function pointed(error: unknown, words: readonly string[]): unknown {
  if (error instanceof CliError && error.usage && commandNames().includes(words[0]!))
    error.command = words[0]!;
  return error;
}

/** A mistyped command is taken for a trace that is not there. */
function mistyped(error: unknown): unknown {
  const { name, code, path, message } = error as {
    name?: string;
    code?: string;
    path?: string;
    message?: string;
  };
  if (name !== "TraceError" || code !== "missing" || path === undefined || /[./]/.test(path)) return error;
  const near = nearest(path, commandNames());
  return near === undefined ? error : new CliError(`${message}; did you mean the command ${near}?`, true);
}

/** What yargs has for its own use, and does not declare. */
interface Internals {
  getInternalMethods(): { getUsageInstance(): { cacheHelpMessage: () => void } };
}

/** To lay out the help of each command that was started, lest it be asked for, took a fifth of the time of a small one. */
function withoutHelpAhead(parser: Argv): Argv {
  const usage = (parser as Argv & Internals).getInternalMethods().getUsageInstance();
  usage.cacheHelpMessage = () => {};
  return parser;
}

function newParser(): Argv {
  return withoutHelpAhead(yargs())
    .scriptName("pasid-replay")
    .usage(
      "$0 [replay] <trace…>\n\nReplays recorded DMA through IOMMU tables and says what a correct IOMMU does.",
    )
    .parserConfiguration({ "dot-notation": false, "parse-numbers": false, "parse-positional-numbers": false })
    .locale("en")
    .version(packageVersion())
    .option("color", { ...COLOUR_OPTION, global: true })
    .alias({ help: "h", version: "V" })
    .group(["help", "version", "color"], "Options:")
    .wrap(Math.min(HELP_COLUMNS, process.stdout.columns ?? HELP_COLUMNS))
    .strict()
    .exitProcess(false)
    .fail(false);
}

/** Starts the command from yargs' handler, but leaves what it throws to our caller: yargs' own errors are usage. */
function moduleOf(
  command: Command<object>,
  used: { command?: Command<object> },
  started: (status: Promise<ExitStatus>) => void,
): CommandModule<object, object> {
  const { names, describe, builder, run } = command;
  return {
    command: [...names],
    describe,
    builder: (argv) => {
      used.command = command;
      return builder(argv);
    },
    handler: (args) => {
      useColour(wantsColour((args as { color?: ColourChoice }).color ?? "auto"));
      const given = Object.entries(args).map(([name, value]) => [name, unmarked(value)]);
      const status = run(Object.fromEntries(given));
      // Awaited after parsing; until then a failure is nobody's.
      status.catch(() => {});
      started(status);
    },
  };
}

function unmarked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unmarked);
  return typeof value === "string" && value.startsWith(VERBATIM) ? value.slice(VERBATIM.length) : value;
}
