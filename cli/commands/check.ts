import type { Argv } from "yargs";
import { SNAPSHOT_FORMATS } from "../../parsers/memory/snapshot-formats.ts";
import { command } from "../command.ts";
import { CliError } from "../errors.ts";
import { EXIT_FOUND, EXIT_OK, type ExitStatus } from "../exit-status.ts";
import { parseUnsigned64 } from "../numbers.ts";
import { once } from "../options.ts";
import { writeOut } from "../text-output.ts";

interface CheckArguments {
  config: string;
  host: string;
  iommu?: string;
  snapshot?: string;
  base?: string;
  format: (typeof SNAPSHOT_FORMATS)[number];
  json: boolean;
}

function builder(yargs: Argv): Argv {
  const text = { type: "string", requiresArg: true } as const;
  return yargs
    .options({
      config: {
        ...text,
        demandOption: true,
        describe:
          'What is to be bound: pasid_table_config, iommu_hwpt_vtd_s1 or iommu_hwpt_arm_smmuv3, as JSON or as C bytes (raw or hex); "-" is standard input',
      },
      host: {
        ...text,
        demandOption: true,
        describe: "Where to: capabilities, as for the caps command",
      },
      iommu: { ...text, describe: "Which IOMMU of the host; default: each one" },
      snapshot: { ...text, describe: "Guest memory with the table in it" },
      base: { ...text, describe: "Physical address of a raw snapshot's first byte" },
      format: { choices: SNAPSHOT_FORMATS, default: "auto", describe: "Format of the snapshot" },
      json: { type: "boolean", default: false, describe: "NDJSON: one finding record a line" },
    })
    .example("$0 check --config bind.json --host /sys/class/iommu", "Would this machine take the table?")
    .example(
      "$0 check --config config.bin --host caps.json --snapshot guest.elf",
      "… and what it holds by now?",
    );
}

function epilogue(): string {
  return "Exit status: 0 nothing but information was found, 1 errors or warnings were, 2 something could not be read.";
}

async function run(args: CheckArguments): Promise<ExitStatus> {
  const config = once("--config", args.config);
  const host = once("--host", args.host);
  if (config === "-" && host === "-")
    throw new CliError("expected standard input to be one of --config and --host, found both", true);
  if (args.base !== undefined && args.snapshot === undefined)
    throw new CliError("--base: expected with --snapshot, found without", true);
  const base = args.base === undefined ? 0n : parseUnsigned64("--base", once("--base", args.base));
  const { checkFiles } = await import("../check-files.ts");
  const checked = await checkFiles({
    config,
    host,
    iommu: args.iommu === undefined ? undefined : once("--iommu", args.iommu),
    snapshot: args.snapshot === undefined ? undefined : once("--snapshot", args.snapshot),
    base,
    format: args.format,
  });
  const { checkJson, checkText } = await import("../render/check.ts");
  await writeOut(args.json, (args.json ? checkJson : checkText)(checked));
  const found = checked.some(({ findings }) => findings.some(({ rule }) => rule.severity !== "info"));
  return found ? EXIT_FOUND : EXIT_OK;
}

export const checkCommand = command({
  names: ["check"],
  describe: "Say whether a PASID table belongs on an IOMMU",
  builder,
  epilogue,
  run,
});
