import type { Argv } from "yargs";
import { REPORT_FORMATS, type ReportFormat } from "../../pipeline/report-page/view.ts";
import { shellWord } from "../../pipeline/words/shell-word.ts";
import { command } from "../command.ts";
import { CliError } from "../errors.ts";
import { EXIT_OK, EXIT_TROUBLE, type ExitStatus } from "../exit-status.ts";
import { FILTER_OPTIONS, type FilterArguments, filterWords } from "../filter-options.ts";
import { OUTPUT_OPTION, once } from "../options.ts";
import { say } from "../say.ts";
import { writeOutput } from "../write-output.ts";
import { JUDGING_OPTIONS, type JudgingArguments, judgingOptions } from "./judging-options.ts";
import { MEMORY_OPTIONS, type MemoryArguments, memoryOptions } from "./memory-options.ts";

interface ReportArguments extends MemoryArguments, JudgingArguments, FilterArguments {
  traces: string[];
  output: string | string[];
  format?: ReportFormat;
  progress?: boolean;
}

function builder(yargs: Argv): Argv {
  return yargs
    .positional("traces", {
      describe: 'Traces or logs (also .gz or .zst; "-" is standard input), folders of them, or patterns',
      type: "string",
      array: true,
      demandOption: true,
    })
    .options({
      output: OUTPUT_OPTION,
      format: {
        describe: "A page, or Markdown for a bug report [default: md for an output of that name, else html]",
        choices: REPORT_FORMATS,
      },
      ...JUDGING_OPTIONS,
      ...FILTER_OPTIONS,
      ...MEMORY_OPTIONS,
      progress: {
        describe: "Show progress on standard error (default: at a terminal)",
        type: "boolean",
      },
    })
    .example("$0 report trace.ndjson -o report.html", "A page to look at, or to send")
    .example(
      "$0 report qemu.log -o report.html --iotlb 16x4,64x4,256x4,1024x4",
      "… of a log, with IOTLB curves",
    )
    .example("$0 report a.ndjson.gz b.ndjson.gz -o report.html", "Several traces, the worst first")
    .example("$0 report trace.ndjson --format md", "Markdown to paste into a bug report");
}

const epilogue = () =>
  "The page is one file that loads nothing: it can be sent as it is. It is at most 5 MB, however long the trace.\n\n" +
  "Exit status: 0 a report was written, whatever it says; 2 trouble: wrong usage, an unreadable file, or a record\n" +
  "that could not be used (the report is written, and says so).";

async function run(args: ReportArguments): Promise<ExitStatus> {
  if (args.traces.filter((trace) => trace === "-").length > 1)
    throw new CliError("expected standard input to be reported once, found it named twice", true);
  const memory = memoryOptions(args);
  const judging = judgingOptions(args);
  const outputPath = once("--output", args.output);
  const format = once("--format", args.format) ?? (/\.(md|markdown)$/i.test(outputPath) ? "md" : "html");
  const { refuseSameFile } = await import("../replay-files.ts");
  const { tracePaths } = await import("../trace-paths.ts");
  const traces = await tracePaths(args.traces);
  for (const trace of traces) refuseSameFile(trace, outputPath);
  const { reportText } = await import("../report-files.ts");
  const command = ["pasid-replay", ...process.argv.slice(2)].map(shellWord).join(" ");
  const options = {
    ...memory,
    ...judging,
    filter: filterWords(args),
    progress: args.progress ?? (process.stderr.isTTY && !process.stdout.isTTY),
  };
  const errors = await writeOutput(outputPath, async (output) => {
    const report = await reportText(traces, format, command, options);
    await output.write(report.text);
    return report.errors;
  });
  if (errors === 0) return EXIT_OK;
  say(`${errors === 1 ? "1 record" : `${errors} records`} could not be used: the report may be incomplete`);
  return EXIT_TROUBLE;
}

export const reportCommand = command({
  names: ["report <traces..>"],
  describe: "Make a report of traces to look at: one HTML file, or Markdown",
  builder,
  epilogue,
  run,
});
