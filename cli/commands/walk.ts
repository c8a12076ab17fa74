import type { Argv } from "yargs";
import { ACCESSES, ADDRESS_TYPES } from "../../parsers/trace/accesses.ts";
import type { InspectionTarget } from "../../pipeline/walk/walk-trace.ts";
import { hex } from "../../walkers/word64.ts";
import { command } from "../command.ts";
import { CliError } from "../errors.ts";
import { EXIT_OK, EXIT_TROUBLE, type ExitStatus } from "../exit-status.ts";
import { parseInteger, parseUnsigned64 } from "../numbers.ts";
import { once } from "../options.ts";
import { writeOut } from "../text-output.ts";
import { MEMORY_OPTIONS, type MemoryArguments, memoryOptions } from "./memory-options.ts";

/** Options that describe a request which is not in the trace. */
const REQUEST_OPTIONS = [
  "dev",
  "addr",
  "iommu",
  "pasid",
  "len",
  "access",
  "priv",
  "address-type",
  "at",
] as const;

interface WalkArguments extends MemoryArguments {
  trace: string;
  line?: string;
  seq?: string;
  dev?: string;
  addr?: string;
  iommu?: string;
  pasid?: string;
  len?: string;
  access?: (typeof ACCESSES)[number];
  priv?: boolean;
  "address-type"?: string;
  at?: string;
  json: boolean;
}

function builder(yargs: Argv): Argv {
  const text = { type: "string", requiresArg: true } as const;
  return yargs
    .positional("trace", { describe: 'Trace, "-" for standard input', type: "string", demandOption: true })
    .options({
      line: { ...text, describe: "Walk the request of this line" },
      seq: { ...text, describe: "Walk the first request of this seq" },
      dev: { ...text, describe: "Walk a request of this device that is not in the trace" },
      addr: { ...text, describe: "Its input address" },
      iommu: { ...text, describe: "Its IOMMU, where the trace declares several" },
      pasid: { ...text, describe: "Its PASID; default: none" },
      len: { ...text, describe: "Its length in bytes; default 1" },
      access: { choices: ACCESSES, describe: "Its kind of access; default r" },
      priv: { type: "boolean", describe: "It asks for privileged access" },
      "address-type": {
        type: "string",
        choices: ADDRESS_TYPES,
        describe: "Its PCIe address type (ATS)",
      },
      at: { ...text, describe: "Walk it in the state after this line; default: after the whole trace" },
      json: {
        type: "boolean",
        default: false,
        describe: "NDJSON: a step record per structure, then the outcome",
      },
      ...MEMORY_OPTIONS,
    })
    .example("$0 walk trace.ndjson --line 812", "Every step of the request on line 812")
    .example("$0 walk trace.ndjson --seq 42 --json", "The same for machines")
    .example(
      "$0 walk trace.ndjson --dev 00:03.0 --pasid 5 --addr 0x7f001000 --access w",
      "What a write would do",
    )
    .example("$0 walk trace.ndjson --dev sid:7 --addr 0x1000 --at 500", "… in the state after line 500");
}

function targetOf(args: WalkArguments): InspectionTarget {
  const ways = [args.line, args.seq, args.dev ?? args.addr].filter((way) => way !== undefined);
  if (ways.length !== 1) throw new CliError("expected one of --line, --seq, or --dev with --addr", true);
  if (args.line !== undefined || args.seq !== undefined) {
    const other = REQUEST_OPTIONS.find((name) => args[name] !== undefined);
    if (other !== undefined)
      throw new CliError(`--${other}: expected with --dev and --addr, found with --line or --seq`, true);
  }
  if (args.line !== undefined)
    return { line: parseInteger("--line", once("--line", args.line), 1, Number.MAX_SAFE_INTEGER) };
  if (args.seq !== undefined) {
    const limit = Number.MAX_SAFE_INTEGER;
    return { seq: parseInteger("--seq", once("--seq", args.seq), -limit, limit) };
  }
  return { request: requestOf(args), at: optionalInteger("at", args.at, Number.MAX_SAFE_INTEGER) };
}

/** The fields of a `dma` record. */
function requestOf(args: WalkArguments): Record<string, unknown> {
  if (args.dev === undefined || args.addr === undefined)
    throw new CliError("expected --dev and --addr together, found one of them", true);
  const given = {
    iommu: args.iommu && once("--iommu", args.iommu),
    dev: once("--dev", args.dev),
    pasid: optionalInteger("pasid", args.pasid, 2 ** 20 - 1),
    addr: hex(parseUnsigned64("--addr", once("--addr", args.addr))),
    len: optionalInteger("len", args.len, 2 ** 32 - 1),
    access: args.access && once("--access", args.access),
    priv: args.priv,
    at: args["address-type"] && once("--address-type", args["address-type"]),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function optionalInteger(name: string, text: string | undefined, max: number): number | undefined {
  return text === undefined ? undefined : parseInteger(`--${name}`, once(`--${name}`, text), 0, max);
}

async function run(args: WalkArguments): Promise<ExitStatus> {
  const target = targetOf(args);
  const limits = memoryOptions(args);
  const { inspectFile } = await import("../inspect-file.ts");
  const inspected = await inspectFile(args.trace, target, limits);
  const render = args.json
    ? (await import("../render/walk-json.ts")).walkJson
    : (await import("../../pipeline/words/walk-text.ts")).walkText;
  await writeOut(args.json, render(args.trace, inspected));
  return inspected.errorCount > 0 ? EXIT_TROUBLE : EXIT_OK;
}

export const walkCommand = command({
  names: ["walk <trace>"],
  describe: "Show every step of one request's walk",
  builder,
  run,
});
