import type { Argv } from "yargs";
import { command } from "../command.ts";
import { EXIT_OK, type ExitStatus } from "../exit-status.ts";
import { writeOut } from "../text-output.ts";

interface RulesArguments {
  json: boolean;
}

function builder(yargs: Argv): Argv {
  return yargs
    .options({ json: { describe: "NDJSON", type: "boolean", default: false } })
    .example("$0 rules", "What findings there can be");
}

async function run(args: RulesArguments): Promise<ExitStatus> {
  const { RULES } = await import("../../pipeline/findings/registry.ts");
  const { rulesJson, rulesText } = await import("../render/rules.ts");
  await writeOut(args.json, args.json ? rulesJson(RULES) : rulesText(RULES));
  return EXIT_OK;
}

export const rulesCommand = command({
  names: ["rules"],
  describe: "List the rules that findings name",
  builder,
  run,
});
