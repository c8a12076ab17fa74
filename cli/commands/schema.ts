import type { Argv } from "yargs";
import { command } from "../command.ts";
import { EXIT_OK, type ExitStatus } from "../exit-status.ts";
import { standardOutput } from "../output.ts";

const SIDES = ["input", "output"] as const;

interface SchemaArguments {
  side: (typeof SIDES)[number];
}

function builder(yargs: Argv): Argv {
  return yargs
    .positional("side", {
      describe: "Records of the input or of the output",
      choices: SIDES,
      default: "input",
    })
    .example("$0 schema > input.schema.json", "For an editor, or to check what a recorder writes")
    .example("$0 schema output", "What a script can rely on");
}

async function run(args: SchemaArguments): Promise<ExitStatus> {
  const schema =
    args.side === "input"
      ? (await import("../../parsers/trace/input-schema.ts")).inputSchema()
      : (await import("../../pipeline/schemas/output-schema.ts")).outputSchema();
  await standardOutput().write(`${JSON.stringify(schema, null, 2)}\n`);
  return EXIT_OK;
}

export const schemaCommand = command({
  names: ["schema [side]"],
  describe: "Print the JSON Schema of one record",
  builder,
  run,
});
