import type { Argv } from "yargs";
import type { TableSelection } from "../../pipeline/inspect/inspect-tables.ts";
import { command } from "../command.ts";
import { CliError } from "../errors.ts";
import { EXIT_OK, EXIT_TROUBLE, type ExitStatus } from "../exit-status.ts";
import { parseInteger, parseUnsigned64 } from "../numbers.ts";
import { once } from "../options.ts";
import { openOutput } from "../output.ts";
import { onInterrupt } from "../signals.ts";
import { MEMORY_OPTIONS, type MemoryArguments, memoryOptions } from "./memory-options.ts";

/** PASIDs have 20 bits. */
const LAST_PASID = 2 ** 20 - 1;
/** As many walks as take about half a minute. */
const DEFAULT_WALKS = 50_000_000;

interface InspectArguments extends MemoryArguments {
  trace: string;
  output: string | string[];
  at?: string;
  iommu?: string;
  dev?: string;
  pasid?: string;
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
      output: {
        ...text,
        alias: "o",
        describe: "File to write to, complete or not at all",
        default: "-",
      },
      at: { ...text, describe: "The state after this line; default: after the whole trace" },
      iommu: { ...text, describe: "Only this IOMMU" },
      dev: { ...text, describe: "Only this device" },
      pasid: { ...text, describe: 'Only this PASID; "none": only requests without PASID' },
      maps: { type: "boolean", default: false, describe: "List the mapped ranges" },
      faulty: {
        alias: "bad",
        type: "boolean",
        default: false,
        describe: "List contexts and page-table entries that are there, and fault",
      },
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
    .example("$0 inspect trace.ndjson --faulty", "What is in the tables, and wrong");
}

function selectionOf(args: InspectArguments): TableSelection {
  for (const name of ["from", "limit"] as const)
    if (args[name] !== undefined && !args.maps && !args.faulty)
      throw new CliError(`--${name}: expected with --maps or --faulty, found without`, true);
  const { at, iommu, dev, from, limit } = args;
  const whole = (name: string, given: string, min: number, max = Number.MAX_SAFE_INTEGER) =>
    parseInteger(`--${name}`, once(`--${name}`, given), min, max);
  return {
    at: at === undefined ? undefined : whole("at", at, 0),
    iommu: iommu === undefined ? undefined : once("--iommu", iommu),
    dev: dev === undefined ? undefined : once("--dev", dev),
    pasid: pasidOf(args.pasid),
    maps: args.maps,
    faulty: args.faulty,
    from: from === undefined ? undefined : parseUnsigned64("--from", once("--from", from)),
    limit: limit === undefined ? undefined : whole("limit", limit, 1),
    walks: whole("max-walks", args.maxWalks, 1),
  };
}

function pasidOf(given: string | undefined): TableSelection["pasid"] {
  if (given === undefined) return undefined;
  return once("--pasid", given) === "none" ? "none" : parseInteger("--pasid", given, 0, LAST_PASID);
}

async function run(args: InspectArguments): Promise<ExitStatus> {
  const selection = selectionOf(args);
  const limits = memoryOptions(args);
  const { inspectTablesOfFile } = await import("../inspect-tables.ts");
  const { refuseSameFile } = await import("../replay-files.ts");
  const outputPath = once("--output", args.output);
  refuseSameFile(args.trace, outputPath);
  const output = openOutput(outputPath);
  const cancel = onInterrupt(async () => {
    await output.halt();
    output.abandon();
  });
  try {
    const errors = await inspectTablesOfFile(args.trace, selection, args.json, output, limits);
    await output.finish();
    return errors > 0 ? EXIT_TROUBLE : EXIT_OK;
  } catch (error) {
    output.abandon();
    throw error;
  } finally {
    cancel();
  }
}

export const inspectCommand = command({
  names: ["inspect <trace>"],
  describe: "List devices, PASIDs and mapped ranges of the tables in memory",
  builder,
  run,
});
