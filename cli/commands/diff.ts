import type { Argv } from "yargs";
import { ALIGNMENTS, type Alignment, MAX_WINDOW, MIN_WINDOW } from "../../pipeline/diff/aligner.ts";
import { DEPTHS, type Depth } from "../../pipeline/diff/answer.ts";
import { TRACE_SIDES, type TraceSide } from "../../pipeline/diff/answer-kinds.ts";
import { isDate, RULE_FIELDS } from "../../pipeline/diff/ignore-rules.ts";
import { command } from "../command.ts";
import { CliError } from "../errors.ts";
import type { ExitStatus } from "../exit-status.ts";
import { type FilterArguments, filterWords, REQUEST_FILTER_OPTIONS } from "../filter-options.ts";
import { OUTPUT_OPTION, once, sentences, summaryForm } from "../options.ts";
import { parseSize } from "../size.ts";
import { MEMORY_OPTIONS, type MemoryArguments, memoryOptions } from "./memory-options.ts";

interface DiffArguments extends MemoryArguments, FilterArguments {
  a: string;
  b: string;
  output: string | string[];
  summary: boolean;
  json: boolean;
  side?: TraceSide | TraceSide[];
  walk: boolean;
  align: Alignment | Alignment[];
  window: string | string[];
  compare: Depth | Depth[];
  ignore?: string | string[];
  ignoreFile?: string | string[];
  date?: string | string[];
}

function builder(yargs: Argv): Argv {
  const text = { type: "string", requiresArg: true } as const;
  return yargs
    .positional("a", {
      describe: 'Trace, or output of a replay (NDJSON, also .gz or .zst); "-" is standard input',
      type: "string",
      demandOption: true,
    })
    .positional("b", { describe: "What to compare it with", type: "string", demandOption: true })
    .options({
      output: OUTPUT_OPTION,
      summary: {
        describe: "For people: the first difference, and kinds of difference with counts and examples",
        type: "boolean",
        default: false,
      },
      json: {
        describe: "With --summary: for machines, diff-summary with the kinds of difference",
        type: "boolean",
        default: false,
      },
      side: {
        choices: TRACE_SIDES,
        describe:
          "What of a trace to compare: what was observed, or what our walk gives (default: observed, if it is there)",
      },
      walk: { describe: "As --side walk", type: "boolean", default: false },
      align: {
        choices: ALIGNMENTS,
        describe:
          "How requests find each other: by seq, by what they ask for, or by seq while that can be trusted",
        default: "auto",
      },
      window: {
        ...text,
        describe: "Requests of each side that are searched to get back into step",
        default: "64K",
      },
      compare: { choices: Object.keys(DEPTHS), describe: "How deep to compare", default: "record" },
      ignore: { ...text, describe: "Rule for differences that are expected; repeatable" },
      "ignore-file": { ...text, describe: "File of such rules, NDJSON or a JSON array; repeatable" },
      date: { ...text, describe: "Day by which rules expire (default: today, UTC)" },
      ...REQUEST_FILTER_OPTIONS,
      ...MEMORY_OPTIONS,
    })
    .example("$0 diff qemu-7.2.ndjson.gz qemu-11.1.ndjson.gz", "What two emulators did with one workload")
    .example("$0 diff old.ndjson.gz new.ndjson.gz --summary", "… for people")
    .example("$0 trace.ndjson | $0 diff expected.ndjson -", "What a replay says, against an earlier one")
    .example("$0 diff a.ndjson b.ndjson --ignore class=code,codes=0x58:0x5*", "Expect some differences")
    .example("$0 diff a.ndjson b.ndjson --ignore-file known.json", "… as a list says, with reasons");
}

function epilogue(): string {
  return (
    "Requests with a seq that rises in both are aligned by it; others by device, PASID, address, length, access, " +
    "privilege and address type: insertions and deletions of up to --window requests are found, longer ones are reported as such.\n" +
    "A trace against the output of a replay: what was observed against the outcomes; with --walk, our walk now " +
    "against the outcomes then.\n\n" +
    `--compare:\n${sentences(DEPTHS)}\n\n` +
    `Fields of a rule; on the command line field=value, separated by commas, alternatives by "|":\n${sentences(RULE_FIELDS)}\n` +
    'A rule in a file also has reason (why), and may have name and expires ("2027-01-31", its last day).\n\n' +
    "Exit status: 0 the same, 1 different, 2 trouble."
  );
}

function windowOf(text: string): number {
  const window = parseSize("--window", text);
  if (window < MIN_WINDOW || window > MAX_WINDOW)
    throw new CliError(`--window: expected ${MIN_WINDOW} to ${MAX_WINDOW} requests, found ${window}`, true);
  return window;
}

function dateOf(given: string | string[] | undefined): string {
  if (given === undefined) return new Date().toISOString().slice(0, 10);
  const date = once("--date", given);
  if (!isDate(date))
    throw new CliError(`--date: expected a date such as 2027-01-31, found ${JSON.stringify(date)}`, true);
  return date;
}

async function run(args: DiffArguments): Promise<ExitStatus> {
  if (args.a === "-" && args.b === "-")
    throw new CliError("expected standard input once, found it as both sides", true);
  const side = args.side === undefined ? undefined : once("--side", args.side);
  if (args.walk && side === "observed")
    throw new CliError("expected --walk or --side observed, found both", true);
  const { diffFiles } = await import("../diff-files.ts");
  return diffFiles(args.a, args.b, {
    ...memoryOptions(args),
    outputPath: once("--output", args.output),
    summary: summaryForm(args),
    side: args.walk ? "walk" : side,
    alignment: once("--align", args.align),
    window: windowOf(once("--window", args.window)),
    depth: once("--compare", args.compare),
    ignore: args.ignore === undefined ? [] : [args.ignore].flat(),
    ignoreFiles: args.ignoreFile === undefined ? [] : [args.ignoreFile].flat(),
    filter: filterWords(args),
    today: dateOf(args.date),
  });
}

export const diffCommand = command({
  names: ["diff <a> <b>"],
  describe: "Compare two recordings of one workload, or two replays",
  builder,
  epilogue,
  run,
});
