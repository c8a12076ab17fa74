import type { Argv } from "yargs";
import type { TableSelection } from "../../pipeline/inspect/inspect-tables.ts";
import { command } from "../command.ts";
import { CliError } from "../errors.ts";
import { EXIT_OK, EXIT_TROUBLE, type ExitStatus } from "../exit-status.ts";
import { type FilterArguments, filterWords, STATE_FILTER_OPTIONS } from "../filter-options.ts";
import { loadFilters, parsed } from "../filters.ts";
import type { Question } from "../inspect-questions.ts";
import { parseInteger, parseUnsigned64 } from "../numbers.ts";
import { OUTPUT_OPTION, once } from "../options.ts";
import { writeOutput } from "../write-output.ts";
import { MEMORY_OPTIONS, type MemoryArguments, memoryOptions } from "./memory-options.ts";

/** PASIDs have 20 bits. */
const LAST_PASID = 2 ** 20 - 1;
/** As many walks as take about half a minute. */
const DEFAULT_WALKS = 50_000_000;

interface InspectArguments extends MemoryArguments, FilterArguments {
  trace: string;
  output: string | string[];
  at?: string;
  pa?: string | string[];
  covers?: string | string[];
  domains: boolean;
  shared: boolean;
  maps: boolean;
  faulty: boolean;
  from?: string;
  limit?: string;
  maxWalks: string;
  json: boolean;
}

function builder(yargs: Argv): Argv {
  const text = { type: "string", requiresArg: true } as const;
  return yargs
    .positional("trace", { describe: 'Trace, "-" for standard input', type: "string", demandOption: true })
    .options({
      output: OUTPUT_OPTION,
      at: { ...text, describe: "The state after this line; default: after the whole trace" },
      maps: { type: "boolean", default: false, describe: "List the mapped ranges" },
      faulty: {
        alias: "bad",
        type: "boolean",
        default: false,
        describe: "List contexts and page-table entries that are there, and fault",
      },
      pa: { ...text, describe: "Who maps this physical address, or range" },
      covers: { ...text, describe: "What an input address leads to, or what is mapped beside it" },
      domains: {
        type: "boolean",
        default: false,
        describe: "Which devices and PASIDs have which domain and tables",
      },
      shared: {
        type: "boolean",
        default: false,
        describe: "Memory that different tables map, or one at several addresses, and who may write it",
      },
      ...STATE_FILTER_OPTIONS,
      from: { ...text, describe: "With --maps or --faulty: begin at this input address" },
      limit: { ...text, describe: "With --maps or --faulty: at most this many ranges of each PASID" },
      "max-walks": {
        ...text,
        describe: "Stop after this many walks: tables may point back into themselves",
        default: `${DEFAULT_WALKS}`,
      },
      json: { type: "boolean", default: false, describe: "NDJSON" },
      ...MEMORY_OPTIONS,
    })
    .example("$0 inspect trace.ndjson", "Devices, PASIDs, and how much is mapped for each")
    .example("$0 inspect trace.ndjson --maps --dev 00:03.0 --pasid 5", "The mapped ranges of a PASID")
    .example("$0 inspect trace.ndjson --maps --limit 20 --from 0x7f0000000000", "… some of them")
    .example("$0 inspect trace.ndjson --at 500 --json", "The state after line 500, for machines")
    .example("$0 inspect trace.ndjson --pa 0x648d000", "Who maps this frame, and whether it is a table")
    .example("$0 inspect trace.ndjson --covers 0xfffff010 --dev 00:03.0", "Where an address leads")
    .example("$0 inspect trace.ndjson --faulty", "What is in the tables, and wrong");
}

function selectionOf(args: InspectArguments): TableSelection {
  for (const name of ["from", "limit"] as const)
    if (args[name] !== undefined && !args.maps && !args.faulty)
      throw new CliError(`--${name}: expected with --maps or --faulty, found without`, true);
  for (const name of ["code", "reason"] as const)
    if (args[name] !== undefined && !args.faulty)
      throw new CliError(`--${name}: expected with --faulty, found without`, true);
  const { at, from, limit } = args;
  const whole = (name: string, given: string, min: number, max = Number.MAX_SAFE_INTEGER) =>
    parseInteger(`--${name}`, once(`--${name}`, given), min, max);
  return {
    at: at === undefined ? undefined : whole("at", at, 0),
    ...exactOf(args),
    maps: args.maps,
    faulty: args.faulty,
    from: from === undefined ? undefined : parseUnsigned64("--from", once("--from", from)),
    limit: limit === undefined ? undefined : whole("limit", limit, 1),
    walks: whole("max-walks", args.maxWalks, 1),
  };
}

/** One name, and no list or pattern: it is said of it where there is no such thing. */
function isExact(given: FilterArguments["dev"]): given is string {
  return typeof given === "string" && !/[,*?]/.test(given);
}

function exactOf({ iommu, dev, pasid }: FilterArguments): Pick<TableSelection, "iommu" | "dev" | "pasid"> {
  return {
    iommu: isExact(iommu) ? iommu : undefined,
    dev: isExact(dev) ? dev : undefined,
    pasid: isExactPasid(pasid) ? pasidOf(pasid) : undefined,
  };
}

function isExactPasid(pasid: FilterArguments["pasid"]): pasid is string {
  return isExact(pasid) && !/^(?:\w+-\w*|-\w+|\w+\.\.\w*|\w+\+\w+)$/.test(pasid);
}

function pasidOf(given: string): TableSelection["pasid"] {
  return given === "none" ? "none" : parseInteger("--pasid", given, 0, LAST_PASID);
}

/** What is not exact. */
function filterOf(args: InspectArguments) {
  const { iommu, dev, pasid, addr, code, reason } = args;
  return filterWords({
    ...(addr === undefined ? {} : { addr }),
    ...(code === undefined ? {} : { code }),
    ...(reason === undefined ? {} : { reason }),
    ...(iommu === undefined || isExact(iommu) ? {} : { iommu }),
    ...(dev === undefined || isExact(dev) ? {} : { dev }),
    ...(pasid === undefined || isExactPasid(pasid) ? {} : { pasid }),
  });
}

async function questionOf(args: InspectArguments): Promise<Question | undefined> {
  const asked = (["pa", "covers", "domains", "shared"] as const).filter(
    (name) => args[name] !== undefined && args[name] !== false,
  );
  if (asked.length === 0) return undefined;
  if (asked.length > 1 || args.maps || args.faulty)
    throw new CliError(
      `--${asked[0]}: expected it without ${asked.length > 1 ? `--${asked[1]}` : "--maps and --faulty"}, found both`,
      true,
    );
  const [about] = asked;
  if (about === "covers")
    return { about, address: parseUnsigned64("--covers", once("--covers", args.covers!)) };
  if (about !== "pa") return { about: about! };
  const { addressRange } = await import("../../pipeline/filter/patterns.ts");
  const [first, last] = parsed(() => addressRange("--pa", once("--pa", args.pa!)));
  return { about, first, last };
}

async function run(args: InspectArguments): Promise<ExitStatus> {
  const exact = selectionOf(args);
  const filters = await loadFilters(filterOf(args));
  const selection = { ...exact, filter: filters?.forRecords() };
  const question = await questionOf(args);
  const limits = memoryOptions(args);
  const { inspectTablesOfFile } = await import("../inspect-tables.ts");
  const { refuseSameFile } = await import("../replay-files.ts");
  const outputPath = once("--output", args.output);
  refuseSameFile(args.trace, outputPath);
  const errors = await writeOutput(outputPath, (output) =>
    inspectTablesOfFile(args.trace, selection, args.json, output, limits, question),
  );
  return errors > 0 ? EXIT_TROUBLE : EXIT_OK;
}

export const inspectCommand = command({
  names: ["inspect <trace>"],
  describe: "List devices, PASIDs and mapped ranges of the tables in memory",
  builder,
  run,
});
