import type { Argv } from "yargs";
import { IOMMU_MODELS, type IommuModel } from "../../walkers/models.ts";
import { command } from "../command.ts";
import { CliError } from "../errors.ts";
import type { ExitStatus } from "../exit-status.ts";
import { parseInteger } from "../numbers.ts";
import { once } from "../options.ts";
import { standardOutput } from "../output.ts";

interface FuzzArguments {
  traces: string[];
  dut?: string;
  qemu?: string;
  emit?: string;
  model?: IommuModel;
  against?: string;
  seed?: string;
  worlds?: string;
  time?: string;
  timeout: string;
  out?: string;
  ignoreFile?: string | string[];
  known: boolean;
  shrink: boolean;
}

const DEFAULT_TIME = "60s";
/** Worlds that vectors are made of, without --worlds. */
const EMITTED_WORLDS = 300;
const MOST_SEED = 2 ** 32 - 1;
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function builder(yargs: Argv): Argv {
  const text = { type: "string", requiresArg: true } as const;
  return yargs
    .positional("traces", {
      describe:
        "Traces that were kept or emitted: ask the device about these again, in the place of new worlds",
      type: "string",
      array: true,
      default: [],
    })
    .options({
      dut: {
        ...text,
        describe: "Command of the device under test: docs/dut-protocol.md says what it must speak",
      },
      qemu: {
        ...text,
        describe:
          "A QEMU, or a command that runs one: fuzz the IOMMU of a machine of it, by qtest and edu devices",
      },
      model: {
        choices: IOMMU_MODELS,
        describe: "Which IOMMU of that QEMU, or to write vectors of",
        default: IOMMU_MODELS[0]!,
      },
      against: {
        ...text,
        describe: "Command of another device: report where the two differ from each other",
      },
      emit: { ...text, describe: "No device: write vectors with the expected answers into this folder" },
      seed: { ...text, describe: "Where to begin: the same seed makes the same worlds (default: any)" },
      worlds: { ...text, describe: "Stop after so many worlds" },
      time: {
        ...text,
        describe: `Stop after so long: "90s", "10m" (default: ${DEFAULT_TIME}, without --worlds)`,
      },
      timeout: { ...text, describe: "How long the device may be silent", default: "10s" },
      out: { ...text, describe: "Folder for NAME.ndjson and NAME.txt of what is found" },
      "ignore-file": { ...text, describe: "Known departures, each with a reason; repeatable" },
      known: {
        type: "boolean",
        default: false,
        describe: "What is known of that QEMU's version is expected: samples/fuzz of this package",
      },
      shrink: { type: "boolean", default: true, describe: "Make what is found small" },
    })
    .example("$0 fuzz --dut './my-iommu --dut' --time 10m --out found", "Look for mistakes for ten minutes")
    .example("$0 fuzz --dut './my-iommu --dut' --seed 7 --worlds 100", "The same every time")
    .example("$0 fuzz --qemu qemu-system-x86_64 --time 10m --out found", "An emulator as it is installed")
    .example("$0 fuzz --qemu qemu-system-x86_64 --known --time 10m", "What is not known of it yet")
    .example("$0 fuzz --qemu ./new/qemu-system-x86_64 found/*.ndjson", "Whether a newer one is mended")
    .example("$0 fuzz --emit vectors --model riscv --seed 1", "A suite for whoever cannot be talked with")
    .example("$0 fuzz --dut './old' --against './new' --seed 7", "Where two devices differ")
    .example("$0 fuzz --dut '$0 dut --model intel --bug upper-write'", "Try it on a device that is wrong")
    .epilogue(
      "Makes worlds (tables, requests, changes of tables, invalidations) from the declared fields of every structure,\n" +
        "asks the device, and replays its answers. What no correct IOMMU answers is grouped, and shrunk to the smallest\n" +
        "trace that still shows it on the device.\n\n" +
        'A line of an ignore file: {"signature":"VT-d context entry.TT: *","reason":"why it is expected"}; "*" and "?" stand\n' +
        'for any text and any character. {"code_alias":"0x79=0x5","reason":…} names codes that the device gives for others, and\n' +
        '{"bug":"pasid-reserved","reason":…} a mistake that it makes, one of dut --list-bugs: what either explains is expected,\n' +
        "of answers from caches too. Lines that begin with # are comments.\n\n" +
        "Exit status: 0 nothing new, 1 something, 2 trouble: a device that does not start, dies, hangs or answers nonsense.",
    );
}

/** A time such as "90s", in milliseconds. */
function duration(option: string, text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? [];
  if (digits === undefined)
    throw new CliError(`${option}: expected a time such as 90s or 10m, found ${JSON.stringify(text)}`, true);
  return Number(digits) * UNITS[unit!]!;
}

async function run(args: FuzzArguments): Promise<ExitStatus> {
  const ways = [args.dut, args.qemu, args.emit].filter((way) => way !== undefined);
  if (ways.length !== 1)
    throw new CliError("expected a device to look at, one of --dut and --qemu, or --emit", true);
  for (const [option, value] of Object.entries({
    emit: args.emit,
    against: args.against,
    seed: args.seed,
    worlds: args.worlds,
    time: args.time,
    out: args.out,
  }))
    if (args.traces.length > 0 && value !== undefined)
      throw new CliError(
        `--${option}: expected none beside traces, as they are asked about as they are`,
        true,
      );
  if (args.known && args.qemu === undefined)
    throw new CliError("--known: expected --qemu beside it, as it is about versions of QEMU", true);
  for (const [option, given] of Object.entries({
    "ignore-file": args.ignoreFile,
    known: args.known || undefined,
  }))
    if (args.against !== undefined && given !== undefined)
      throw new CliError(`--${option}: expected none beside --against, which tells every difference`, true);
  const worlds = args.worlds === undefined ? undefined : once("--worlds", args.worlds);
  const time = args.time ?? (worlds === undefined ? DEFAULT_TIME : undefined);
  const seed =
    args.seed === undefined
      ? Math.floor(Math.random() * MOST_SEED)
      : parseInteger("--seed", once("--seed", args.seed), 0, MOST_SEED);
  const count =
    worlds === undefined ? undefined : parseInteger("--worlds", worlds, 1, Number.MAX_SAFE_INTEGER);
  if (args.emit !== undefined) {
    const { emitVectors } = await import("../fuzz/emit-vectors.ts");
    return emitVectors(
      once("--emit", args.emit),
      args.model!,
      seed,
      count ?? EMITTED_WORLDS,
      standardOutput(),
    );
  }
  const { KnownFindings } = await import("../fuzz/known-findings.ts");
  const settings = {
    seed,
    worlds: count ?? Number.POSITIVE_INFINITY,
    time: time === undefined ? Number.POSITIVE_INFINITY : duration("--time", once("--time", time)),
    out: args.out === undefined ? undefined : once("--out", args.out),
    known: new KnownFindings([args.ignoreFile ?? []].flat()),
    shrinks: args.shrink,
  };
  const { fuzzDevices } = await import("../fuzz/fuzz-devices.ts");
  const devices = {
    dut: args.dut === undefined ? undefined : once("--dut", args.dut),
    qemu: args.qemu === undefined ? undefined : once("--qemu", args.qemu),
    model: args.model!,
    known: args.known,
    against: args.against === undefined ? undefined : once("--against", args.against),
    timeout: duration("--timeout", once("--timeout", args.timeout)),
  };
  return fuzzDevices(devices, settings, args.traces, standardOutput());
}

export const fuzzCommand = command({
  names: ["fuzz [traces..]"],
  describe: "Look for where a device under test departs from the specification",
  builder,
  run,
});
