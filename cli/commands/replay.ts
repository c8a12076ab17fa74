import { fstatSync } from "node:fs";
import type { Argv } from "yargs";
import { SELECTIONS, type SelectionName } from "../../pipeline/output/selection.ts";
import type { ReplayOptions } from "../../pipeline/replay/options.ts";
import { command } from "../command.ts";
import { CliError } from "../errors.ts";
import {
  EXIT_OK,
  EXIT_TROUBLE,
  type ExitStatus,
  exitStatusOf,
  FAIL_LEVELS,
  type FailLevel,
  missingFor,
} from "../exit-status.ts";
import { FILTER_OPTIONS, type FilterArguments, filterWords } from "../filter-options.ts";
import { parseInteger } from "../numbers.ts";
import { listOption, names, OUTPUT_OPTION, once, sentences, summaryForm } from "../options.ts";
import { FORMATS, type Format, tableOptions } from "../table-options.ts";
import { writeTo } from "../write-output.ts";
import { JUDGING_OPTIONS, type JudgingArguments, judgingOptions } from "./judging-options.ts";
import { MEMORY_OPTIONS, type MemoryArguments, memoryOptions } from "./memory-options.ts";

const SELECTION_NAMES = Object.keys(SELECTIONS) as SelectionName[];
/** More threads than any machine has processors for. */
const MOST_JOBS = 1024;
const FAIL_NAMES = Object.keys(FAIL_LEVELS) as FailLevel[];

interface ReplayArguments extends MemoryArguments, JudgingArguments, FilterArguments {
  traces?: string[];
  output: string | string[];
  format: Format | Format[];
  only?: string | string[];
  statsOnly: boolean;
  stats: boolean;
  summary: boolean;
  json: boolean;
  failOn: string | string[];
  filesFrom?: string | string[];
  jobs: string | string[];
  threads: string | string[];
  keepGoing: boolean;
  progress?: boolean;
  timing: boolean;
}

function builder(yargs: Argv): Argv {
  return yargs
    .positional("traces", {
      describe:
        'Traces or logs (also .gz or .zst; "-" is standard input), folders of them, or patterns such as "runs/*/a.log"',
      type: "string",
      array: true,
    })
    .options({
      output: {
        ...OUTPUT_OPTION,
        describe: "File to write to, or a folder for tables: complete or not at all",
      },
      format: {
        describe: "Records, or tables of outcomes and findings: with types (parquet) or as text",
        choices: FORMATS,
        default: "ndjson",
      },
      only: {
        describe: `Outcomes to write: a list of ${names(SELECTIONS)}`,
        type: "string",
        requiresArg: true,
      },
      stats: { describe: "Write stats and summary (--no-stats: do not)", type: "boolean", default: true },
      "stats-only": { describe: "Write stats and summary alone", type: "boolean", default: false },
      "fail-on": {
        describe: `What makes the exit status 1: a list of ${names(FAIL_LEVELS)}`,
        type: "string",
        requiresArg: true,
        default: "mismatch",
      },
      ...JUDGING_OPTIONS,
      summary: {
        describe: "For people: verdicts, findings and faults in groups, and what was left out",
        type: "boolean",
        default: false,
      },
      json: {
        describe: "With --summary: for machines, one record of each trace",
        type: "boolean",
        default: false,
      },
      ...FILTER_OPTIONS,
      "files-from": {
        describe: 'Replay the traces that this file lists, one a line; "-" is standard input',
        type: "string",
        requiresArg: true,
      },
      jobs: {
        alias: "j",
        describe: "Threads that replay traces, one each; output and its order are as of one",
        type: "string",
        requiresArg: true,
        default: "1",
      },
      threads: {
        describe:
          "Threads for each trace, 1 or 2: the second reads ahead; auto: 2 for a file of 64M or more; output is the same",
        type: "string",
        requiresArg: true,
        default: "auto",
      },
      "keep-going": {
        alias: "k",
        describe: "Go on with the other traces where one cannot be opened; the exit status says so",
        type: "boolean",
        default: false,
      },
      ...MEMORY_OPTIONS,
      progress: {
        describe:
          "Show progress on standard error (default: at a terminal, unless output goes there or into a pipe)",
        type: "boolean",
      },
      timing: { describe: "Write durations and rates to standard error", type: "boolean", default: false },
    })
    .example("$0 trace.ndjson", "Replay a trace")
    .example("$0 replay a.ndjson.gz b.ndjson.zst -o out.ndjson", "Replay two, the output in a file")
    .example("$0 trace.ndjson --only faults,mismatches", "Write only what faulted or differs")
    .example("$0 trace.ndjson --format parquet -o tables", "Tables for DuckDB, pandas or Spark, in a folder")
    .example("$0 trace.ndjson --summary", "What matters, on one screen")
    .example("$0 trace.ndjson --summary --json | jq .findings", "… for a script")
    .example("$0 trace.ndjson --dev 00:03.0 --pasid 5 --addr 0x1000-0x1fff", "Only some of the requests")
    .example("recorder | $0 - --stats-only", "Count what comes from a pipe")
    .example("find /traces -name '*.gz' | $0 --files-from - --keep-going", "More than a command line holds")
    .example("$0 trace.ndjson --fail-on mismatch,stale --compare code", "Be strict in a test");
}

function epilogue(): string {
  return `--only:\n${sentences(SELECTIONS)}\n\n--fail-on:\n${levelSentences()}\n\n${EXIT_STATUSES}`;
}

const STDOUT = 1;

const EXIT_STATUSES =
  "Exit status: 0 nothing of --fail-on, 1 something of it, 2 trouble: wrong usage, an unreadable file, or a record that could not be used.";

/**
 * Progress is for a person at a terminal who does not see the output itself going by, nor what a command at the other end
 * of a pipe makes of it.
 */
function showsProgress(outputPath: string, summary: boolean): boolean {
  if (!process.stderr.isTTY) return false;
  if (outputPath !== "-") return true;
  const stdout = fstatSync(STDOUT);
  if (stdout.isFIFO() || stdout.isSocket()) return false;
  return summary || !process.stdout.isTTY;
}

function levelSentences(): string {
  return sentences(Object.fromEntries(FAIL_NAMES.map((name) => [name, FAIL_LEVELS[name].text])));
}

async function run(args: ReplayArguments): Promise<ExitStatus> {
  const given = args.traces ?? [];
  if (given.length === 0 && args.filesFrom === undefined)
    throw new CliError('expected a trace to replay ("-" for standard input), found none', true);
  if (given.length > 0 && args.filesFrom !== undefined)
    throw new CliError("expected traces or --files-from, found both", true);
  if (given.filter((trace) => trace === "-").length > 1)
    throw new CliError("expected standard input to be replayed once, found it named twice", true);
  const only = args.only === undefined ? undefined : listOption("--only", SELECTION_NAMES, args.only);
  if (args.statsOnly && (only !== undefined || !args.stats))
    throw new CliError(
      `--stats-only: expected it without ${args.stats ? "--only" : "--no-stats"}, found both`,
      true,
    );
  if (args.summary && (only !== undefined || args.statsOnly || !args.stats))
    throw new CliError(
      "--summary: expected it without --only, --stats-only and --no-stats, found both",
      true,
    );
  const summary = summaryForm(args);
  const format = once("--format", args.format);
  if (format !== "ndjson" && (args.summary || args.statsOnly))
    throw new CliError(
      `--format ${format}: expected it without --summary and --stats-only, found both`,
      true,
    );
  const filter = filterWords(args);
  const failOn = listOption("--fail-on", FAIL_NAMES, args.failOn);
  for (const level of failOn) {
    const off = missingFor(level, args);
    if (off !== undefined)
      process.stderr.write(`pasid-replay: --fail-on ${level}: ${off} leaves it nothing to find\n`);
  }
  const memory = memoryOptions(args);
  const judging = judgingOptions(args);
  const jobs = parseInteger("--jobs", once("--jobs", args.jobs), 1, MOST_JOBS);
  if (jobs > 1 && given.includes("-"))
    throw new CliError("--jobs: expected files, which threads can read, found standard input", true);
  const threads = threadsOf(once("--threads", args.threads), jobs);
  const { replayFiles } = await import("../replay-files.ts");
  const { tracePaths } = await import("../trace-paths.ts");
  const outputPath = once("--output", args.output);
  const traces = args.filesFrom === undefined ? await tracePaths(given) : await listed(args.filesFrom);
  const tables = tableOptions(format, outputPath, only);
  const named = args.filesFrom !== undefined || traces.length > 1;
  // What may be several traces another time has a folder for each with one, too.
  const apart = named || traces[0] !== given[0];
  const { openReplayOutput } = await import("../replay-output.ts");
  const { output, head, folders } = await openReplayOutput(outputPath, tables, traces.length, apart);
  const options = {
    ...memory,
    only: args.statsOnly ? [] : only,
    summary,
    filter,
    hint:
      process.stdout.isTTY &&
      outputPath === "-" &&
      only === undefined &&
      !args.statsOnly &&
      tables === undefined,
    stats: args.stats,
    ...judging,
    progress: args.progress ?? showsProgress(outputPath, args.summary || args.statsOnly),
    timing: args.timing,
    threads,
    tables,
  };
  const many = {
    outputPath,
    jobs,
    keepGoing: args.keepGoing,
    named: named || folders !== undefined,
    folders,
  };
  const { summaries, failed } = await writeTo(output, async () => {
    if (head.length > 0) await output.write(head);
    return replayFiles(traces, output, options, many);
  });
  return summaries.reduce<ExitStatus>(
    (status, summary) => Math.max(status, exitStatusOf(summary, failOn)) as ExitStatus,
    failed > 0 ? EXIT_TROUBLE : EXIT_OK,
  );
}

/** @param jobs threads that there are already */
function threadsOf(given: string, jobs: number): ReplayOptions["threads"] {
  if (given === "auto") return jobs > 1 ? 1 : "auto";
  if (given === "1" || given === "2") return given === "1" ? 1 : 2;
  throw new CliError(`--threads: expected auto, 1 or 2, found ${JSON.stringify(given)}`, true);
}

async function listed(filesFrom: string | string[]): Promise<string[]> {
  const { listedPaths } = await import("../path-list.ts");
  const file = once("--files-from", filesFrom);
  const paths = await listedPaths("--files-from", file);
  if (paths.length === 0) throw new CliError(`--files-from: ${file}: expected paths of traces, found none`);
  return paths;
}

export const replayCommand = command({
  names: ["replay [traces..]", "$0"],
  describe: "Replay traces: one outcome per request, NDJSON to standard output",
  builder,
  epilogue,
  run,
});
