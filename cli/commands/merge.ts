import type { Argv } from "yargs";
import { command } from "../command.ts";
import { EXIT_OK, EXIT_TROUBLE, type ExitStatus } from "../exit-status.ts";
import { OUTPUT_OPTION, once } from "../options.ts";
import { writeOutput } from "../write-output.ts";

interface MergeArguments {
  outputs: string[];
  output: string | string[];
  expect?: string | string[];
  names: boolean;
}

function builder(yargs: Argv): Argv {
  return yargs
    .positional("outputs", {
      describe: "Outputs of replay, with their stats and summary (also .gz or .zst)",
      type: "string",
      array: true,
      demandOption: true,
    })
    .options({
      output: OUTPUT_OPTION,
      expect: {
        describe:
          "File with the paths of all traces that must be there, one a line: those that are not are named",
        type: "string",
        requiresArg: true,
      },
      names: {
        describe: "Name the traces in the output, so that it can be merged again",
        type: "boolean",
        default: false,
      },
    })
    .example("$0 merge a.out b.out c.out", "The counters of three replays as if they were one")
    .example("$0 merge *.out --expect traces.txt -o all.ndjson", "… and of none that is missing")
    .example("$0 merge 0*.out --names -o 0.ndjson", "One part of many, to be merged with the others");
}

const epilogue = () =>
  "Sums are exact, percentiles too. A trace that is in two outputs, or whose replay did not end, is refused. With --expect, a\n" +
  "trace without an output, or that is not in the list, is named, and so is one that could not be replayed.\n\n" +
  "Exit status: 0 all was added up; 2 trouble: something is missing, there twice, or not the output of a replay.";

async function run(args: MergeArguments): Promise<ExitStatus> {
  const { mergeFiles } = await import("../merge-files.ts");
  const { refuseSameFile } = await import("../replay-files.ts");
  const outputPath = once("--output", args.output);
  for (const path of args.outputs) refuseSameFile(path, outputPath);
  const expected = args.expect === undefined ? undefined : once("--expect", args.expect);
  const options = { expected, names: args.names };
  const complete = await writeOutput(outputPath, (output) => mergeFiles(args.outputs, options, output));
  return complete ? EXIT_OK : EXIT_TROUBLE;
}

export const mergeCommand = command({
  names: ["merge <outputs..>"],
  describe: "Add up the counters of several replays",
  builder,
  epilogue,
  run,
});
