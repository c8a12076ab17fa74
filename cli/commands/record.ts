import type { Argv } from "yargs";
import { command } from "../command.ts";
import { CliError } from "../errors.ts";
import { EXIT_FOUND, EXIT_OK, EXIT_TROUBLE, type ExitStatus } from "../exit-status.ts";
import { once } from "../options.ts";
import type { Recording } from "../record/recording.ts";
import { say } from "../say.ts";

interface RecordArguments {
  command?: string[];
  qmp?: string | string[];
  output: string | string[];
  for?: string | string[];
}

function builder(yargs: Argv): Argv {
  const text = { type: "string", requiresArg: true } as const;
  return yargs
    .positional("command", {
      describe:
        "A QEMU and its options, behind --: starts it under TCG and records every store to tables as well",
      type: "string",
      array: true,
    })
    .options({
      qmp: { ...text, describe: "Attach to a QEMU that runs, by its QMP socket: a path, or HOST:PORT" },
      output: { ...text, alias: "o", describe: "Folder to write to: new, or empty", demandOption: true },
      for: { ...text, describe: "Record for so long (10s, 5m); default: until Ctrl-C, or the guest is gone" },
    })
    .example(
      "$0 record -o rec -- qemu-system-x86_64 -machine q35 -device intel-iommu …",
      "From power-on, with every store to tables",
    )
    .example("$0 record --qmp /run/vm.qmp -o rec --for 10s", "Ten seconds of a virtual machine that runs");
}

function epilogue(): string {
  return [
    "Behind --, a QEMU of 9.2 or later under TCG, with Intel VT-d, SMMUv3, AMD-Vi or RISC-V. A plugin, which cc",
    "(or CC) compiles on first use, writes the guest's stores to tables and queues into the log; at the end, memory",
    "at the start and these stores are compared with memory at the end. Options are added: -qmp, -S,",
    "-action shutdown=pause, -D, -d plugin, -plugin.",
    "",
    "With --qmp, a QEMU of 7.2 or later as it runs: stops it, reads registers and tables, switches trace events on",
    "and lets it go on, and the same again at the end. It is left as it was. Where its process cannot be read",
    "(another user's, or by TCP), pages come by the monitor. KVM has not been tried.",
    "",
    "The folder holds trace.ndjson, which replays by itself, and what it was made of: qemu.log, start.lime,",
    "end.lime, registers.ndjson.",
    "",
    "Exit status: 0 recorded, 1 recorded, but the check of stores failed or could not be made, 2 nothing was recorded.",
  ].join("\n");
}

const DURATION = /^(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)?$/;
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** The longest that a timer takes. */
const MAX_MS = 2 ** 31 - 1;

function durationOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const match = DURATION.exec(text);
  const ms = match === null ? 0 : Number(match[1]) * UNITS[match[2] ?? "s"]!;
  if (ms > 0 && ms <= MAX_MS) return ms;
  throw new CliError(
    `--for: expected a time of up to 24 days (500ms, 10s, 5m, 2h), found ${JSON.stringify(text)}`,
    true,
  );
}

async function run(args: RecordArguments): Promise<ExitStatus> {
  const ms = durationOf(args.for === undefined ? undefined : once("--for", args.for));
  const words = args.command ?? [];
  if ((args.qmp === undefined) === (words.length === 0))
    throw new CliError(
      `expected either --qmp SOCKET or a command behind --, found ${words.length === 0 ? "neither" : "both"}`,
      true,
    );
  const name = args.qmp === undefined ? undefined : once("--qmp", args.qmp);
  const { TraceFolder } = await import("../record/trace-folder.ts");
  const { Ending } = await import("../record/ending.ts");
  const { attach } = await import("../record/attach.ts");
  const { launch } = await import("../record/launch.ts");
  const { selfCheckText } = await import("../record/self-check.ts");
  const { writeTrace } = await import("../record/trace.ts");
  const { QmpError } = await import("../../parsers/qemu/qmp.ts");
  const { importText } = await import("../render/import.ts");
  const folder = new TraceFolder(once("--output", args.output));
  const ending = new Ending(ms);
  let recording: Recording;
  try {
    recording =
      name === undefined ? await launch(words, folder, ending, say) : await attach(name, folder, ending, say);
  } catch (error) {
    folder.discard();
    throw error instanceof QmpError ? new CliError(error.message) : error;
  }
  const { report, check } = await writeTrace(folder, recording);
  process.stderr.write(importText(report));
  for (const note of recording.notes) say(note);
  if (check !== null) say(selfCheckText(check));
  say(`replay it with: pasid-replay ${folder.trace}`);
  if (report.formats.length === 0) {
    say("no IOMMU did anything while recording");
    return EXIT_TROUBLE;
  }
  if (recording.stores === null) return EXIT_OK;
  if (check === null) say("not checked: QEMU was gone before its memory could be read at the end");
  return check?.bytes === 0 ? EXIT_OK : EXIT_FOUND;
}

export const recordCommand = command({
  names: ["record [command..]"],
  describe: "Record what an emulator's IOMMU does while a guest runs",
  builder,
  epilogue,
  run,
});
