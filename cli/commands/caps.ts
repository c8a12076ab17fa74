import type { Argv } from "yargs";
import { command } from "../command.ts";
import { CliError } from "../errors.ts";
import { EXIT_OK, EXIT_TROUBLE, type ExitStatus } from "../exit-status.ts";
import { say } from "../say.ts";
import { writeOut } from "../text-output.ts";

interface CapsArguments {
  source: string;
  json: boolean;
}

function builder(yargs: Argv): Argv {
  return yargs
    .positional("source", {
      describe:
        'A folder such as /sys/class/iommu, or a tar archive of it; a trace; JSON; the bytes of struct iommu_hw_info_*, raw or hex; "-" is standard input',
      type: "string",
      demandOption: true,
    })
    .options({
      json: { type: "boolean", default: false, describe: "NDJSON: one record per IOMMU" },
    })
    .example("$0 caps /sys/class/iommu", "What this machine's IOMMUs can do")
    .example("$0 caps sysfs.tar.gz --json", "The same of another machine, for a script")
    .example(
      `echo '{"cap":"0xd2008c222f0606","ecap":"0xf00f4a"}' | $0 caps -`,
      "Decode registers field by field",
    );
}

async function run(args: CapsArguments): Promise<ExitStatus> {
  const { openCapabilities } = await import("../../parsers/caps/open-caps.ts");
  const capabilities = await openCapabilities(args.source);
  if (typeof capabilities === "string") throw new CliError(`${args.source}: ${capabilities}`);
  const { capsJson, capsText } = await import("../render/caps.ts");
  for (const problem of capabilities.problems) say(`${args.source}: ${problem}`);
  await writeOut(args.json, (args.json ? capsJson : capsText)(capabilities.hosts));
  return capabilities.problems.length > 0 ? EXIT_TROUBLE : EXIT_OK;
}

export const capsCommand = command({
  names: ["caps <source>"],
  describe: "Show what a host's IOMMUs can do, field by field",
  builder,
  run,
});
