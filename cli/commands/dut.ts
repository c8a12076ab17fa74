import type { Argv } from "yargs";
import { IOMMU_MODELS, type IommuModel } from "../../walkers/models.ts";
import { command } from "../command.ts";
import { CliError } from "../errors.ts";
import { EXIT_OK, type ExitStatus } from "../exit-status.ts";
import { once } from "../options.ts";
import { standardOutput } from "../output.ts";

interface DutArguments {
  model?: IommuModel | IommuModel[];
  bug?: string | string[];
  listBugs: boolean;
}

function builder(yargs: Argv): Argv {
  return yargs
    .options({
      model: { choices: IOMMU_MODELS, describe: "The IOMMU that it is" },
      bug: {
        type: "string",
        requiresArg: true,
        describe: "Mistakes that it makes; repeatable, or separated by commas",
      },
      "list-bugs": { type: "boolean", default: false, describe: "List the mistakes that it can make" },
    })
    .example("$0 fuzz --dut '$0 dut --model riscv'", "Look for mistakes of a device that makes none")
    .example("$0 fuzz --dut '$0 dut --model riscv --bug accessed'", "… of one that makes one")
    .example("$0 dut --model amd --list-bugs", "Which ones there are")
    .epilogue(
      "A device under test for `fuzz`: it reads records of a trace on standard input and answers requests on standard\n" +
        "output, from our own walker. docs/dut-protocol.md describes what is said.\n\n" +
        "Exit status: 0 the end of the input, 2 trouble.",
    );
}

async function run(args: DutArguments): Promise<ExitStatus> {
  if (args.model === undefined)
    throw new CliError(`--model: expected one of ${IOMMU_MODELS.join(", ")}`, true);
  const model = once("--model", args.model);
  const { mistakesNamed, mistakesText } = await import("../fuzz/mistakes.ts");
  if (args.listBugs) {
    await standardOutput().write(await mistakesText(model));
    return EXIT_OK;
  }
  const names = [args.bug ?? []].flat().flatMap((given) => given.split(","));
  const { serveDevice } = await import("../fuzz/serve-device.ts");
  return serveDevice(model, await mistakesNamed(model, names));
}

export const dutCommand = command({
  names: ["dut"],
  describe: "Be a device under test for fuzz, with mistakes as wanted",
  builder,
  run,
});
