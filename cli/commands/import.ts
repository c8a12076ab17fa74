import { existsSync, statSync } from "node:fs";
import { dirname, relative } from "node:path";
import type { Argv } from "yargs";
import { CSV_FIELDS, type CsvColumns, csvColumns } from "../../parsers/logs/csv-columns.ts";
import type { LogFormat } from "../../parsers/logs/format.ts";
import type { FilterWords } from "../../pipeline/filter/filter-words.ts";
import type { ImportReport } from "../../pipeline/import/import-logs.ts";
import type { MemoryFile } from "../../pipeline/import/memory-files.ts";
import { command } from "../command.ts";
import { CliError } from "../errors.ts";
import { EXIT_OK, EXIT_TROUBLE, type ExitStatus } from "../exit-status.ts";
import { type FilterArguments, filterWords, REQUEST_FILTER_OPTIONS } from "../filter-options.ts";
import { loadFilters } from "../filters.ts";
import { listOption, OUTPUT_OPTION, once, sentences } from "../options.ts";
import { writeOutput } from "../write-output.ts";

interface ImportArguments extends FilterArguments {
  logs: string[];
  from?: string | string[];
  host?: string | string[];
  memory?: string | string[];
  boot?: string | string[];
  columns?: string | string[];
  output: string | string[];
}

function builder(yargs: Argv): Argv {
  const text = { type: "string", requiresArg: true } as const;
  return yargs
    .positional("logs", {
      describe: 'Logs (also .gz or .zst; "-" is standard input); several are merged by time',
      type: "string",
      array: true,
      demandOption: true,
    })
    .options({
      from: { ...text, describe: "Formats to look for; default: all, line by line" },
      host: { ...text, describe: "What the IOMMUs can do, as for the caps command; repeatable" },
      memory: {
        ...text,
        describe:
          "Guest memory, taken at the beginning of the log, or @LINE of it, or @BYTESB of it; repeatable",
      },
      boot: { ...text, describe: "Log of an earlier time, to be read first: for what it says of IOMMUs" },
      columns: {
        ...text,
        describe: "The logs are tables (CSV): which column, from 1 or by its name, holds what",
      },
      output: OUTPUT_OPTION,
      ...REQUEST_FILTER_OPTIONS,
    })
    .example("$0 import dmesg.txt -o trace.ndjson", "A trace of what a kernel log says")
    .example("$0 import qemu.log.gz | $0 replay -", "The same as: $0 replay qemu.log.gz")
    .example("$0 import dmesg.txt trace_pipe.txt -o both.ndjson", "Two logs of one machine, merged by time")
    .example(
      "$0 import live.log --memory start.elf --memory end.elf@98122 --host regs.json",
      "With memory at two lines",
    )
    .example(
      "$0 import tlps.csv --columns dev=2,addr=4,access=3,len=5*4 -o dma.ndjson",
      "What a PCIe analyser exported",
    );
}

async function epilogue(): Promise<string> {
  const { LOG_FORMATS } = await import("../../parsers/logs/registry.ts");
  return (
    `--from:\n${sentences(Object.fromEntries(LOG_FORMATS.map(({ name, title }) => [name, title])))}\n\n` +
    `--columns FIELD=COLUMN,…:\n${sentences(CSV_FIELDS)}\n\n` +
    "Counts of lines and records, and what is lost, go to standard error. What a log does not say and the importer derives " +
    "is named in the field assumed of each record.\n\n" +
    "Exit status: 0 the trace has records, 2 it has none, or a log broke off."
  );
}

/** `FILE`, `FILE@812` (a line), or `FILE@98122B` (a byte); a file that is there may have such a name itself. */
function memoryFile(text: string): MemoryFile {
  const match = /^(.+)@(\d{1,15})(B?)$/.exec(text);
  if (existsSync(text)) return { path: text };
  const at = text.lastIndexOf("@");
  if (match === null && at > 0 && existsSync(text.slice(0, at)))
    throw new CliError(
      `--memory: expected FILE, FILE@LINE or FILE@BYTESB, found ${JSON.stringify(text.slice(at))} behind the file`,
      true,
    );
  if (match === null) return { path: text };
  const place = Number(match[2]);
  return match[3] === "B" ? { path: match[1]!, offset: place } : { path: match[1]!, line: place };
}

async function run(args: ImportArguments): Promise<ExitStatus> {
  const formats = await formatsOf(args.from);
  const boot = [args.boot ?? []].flat();
  if ([...boot, ...args.logs].filter((path) => path === "-").length > 1)
    throw new CliError("expected standard input to be read once, found it named twice", true);
  const outputPath = once("--output", args.output);
  const { refuseSameFile } = await import("../replay-files.ts");
  for (const path of [...boot, ...args.logs]) refuseSameFile(path, outputPath);
  refuseTwice([...boot, ...args.logs]);
  const { hostPaths, words } = hostsAndFilter(args);
  const filters = await loadFilters(words);
  const hosts = await hostsOf(hostPaths);
  const { importFiles } = await import("../import-files.ts");
  const memory = [args.memory ?? []].flat().map(memoryFile);
  const picker = filters?.forTexts();
  const options = {
    formats,
    hosts,
    memory,
    boot,
    outputPath,
    ...columnsOf(args.columns),
    ...(picker && { picker }),
  };
  const report = await writeOutput(outputPath, (output) => importFiles(args.logs, output, options));
  await sayImported(report, memory, outputPath);
  return report.records.total === 0 || report.formats.length === 0 || report.broken.length > 0
    ? EXIT_TROUBLE
    : EXIT_OK;
}

/** Says on standard error what became of the logs. */
async function sayImported(
  report: ImportReport,
  memory: readonly MemoryFile[],
  outputPath: string,
): Promise<void> {
  const { importText } = await import("../render/import.ts");
  process.stderr.write(importText(report));
  const folder = outputPath === "-" ? "." : dirname(outputPath);
  const outside = memory.find(({ path }) => relative(folder, path).startsWith(".."));
  if (outside !== undefined)
    process.stderr.write(
      `memory outside of the trace's folder: replay it with --allow-path ${dirname(outside.path)}\n`,
    );
  for (const file of report.late ?? [])
    process.stderr.write(`${file}: the log ends before that: the memory stands behind its last line\n`);
  if (report.formats.length > 0 && report.records.total === 0)
    process.stderr.write("no record: these lines say what there is, and nothing of what happened\n");
}

/** A file after --iommu is one of --host: it was called so before there were filters. */
function hostsAndFilter(args: ImportArguments): { hostPaths: string[]; words: FilterWords | undefined } {
  const iommus = [args.iommu ?? []].flat();
  const files = iommus.filter((text) => existsSync(text));
  const ids = iommus.filter((text) => !files.includes(text));
  const { iommu: _, ...others } = args;
  return {
    hostPaths: [...[args.host ?? []].flat(), ...files],
    words: filterWords(ids.length === 0 ? others : { ...others, iommu: ids }),
  };
}

/** The lines of a log that is named twice would all be there twice. */
function refuseTwice(paths: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const path of paths) {
    const stat = path === "-" ? undefined : statSync(path, { throwIfNoEntry: false });
    if (stat === undefined || !stat.isFile()) continue;
    const key = `${stat.dev}:${stat.ino}`;
    const other = seen.get(key);
    if (other !== undefined)
      throw new CliError(
        `expected each log once, found ${path}${other === path ? " twice" : `, which is ${other}`}`,
        true,
      );
    seen.set(key, path);
  }
}

async function formatsOf(given: string | string[] | undefined): Promise<readonly LogFormat[]> {
  const { LOG_FORMATS } = await import("../../parsers/logs/registry.ts");
  if (given === undefined) return LOG_FORMATS;
  const known = LOG_FORMATS.map(({ name }) => name);
  const names = listOption("--from", known, given);
  return LOG_FORMATS.filter(({ name }) => names.includes(name));
}

function columnsOf(given: string | string[] | undefined): { columns?: CsvColumns } {
  if (given === undefined) return {};
  const columns = csvColumns([given].flat().join(","));
  if (typeof columns === "string") throw new CliError(`--columns: ${columns}`, true);
  return { columns };
}

async function hostsOf(paths: readonly string[]) {
  const { openCapabilities } = await import("../../parsers/caps/open-caps.ts");
  const hosts = [];
  for (const path of paths) {
    const capabilities = await openCapabilities(path);
    if (typeof capabilities === "string") throw new CliError(`${path}: ${capabilities}`);
    for (const problem of capabilities.problems) process.stderr.write(`pasid-replay: ${path}: ${problem}\n`);
    hosts.push(...capabilities.hosts);
  }
  return hosts;
}

export const importCommand = command({
  names: ["import <logs..>"],
  describe: "Turn logs (kernel, emulator, trace buffers) into a trace",
  builder,
  epilogue,
  run,
});
