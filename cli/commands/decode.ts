import type { Argv } from "yargs";
import type { IommuModel } from "../../walkers/models.ts";
import { registerKey } from "../../walkers/registers.ts";
import { command } from "../command.ts";
import { EXIT_FOUND, EXIT_OK, type ExitStatus } from "../exit-status.ts";
import { parseUnsigned64 } from "../numbers.ts";
import { once } from "../options.ts";
import { writeOut } from "../text-output.ts";
import { VENDOR_NAMES, vendorNamed } from "../vendors.ts";

interface DecodeArguments {
  vendor: string;
  words: readonly string[];
  json: boolean;
  register?: string;
}

function builder(yargs: Argv): Argv {
  return yargs
    .positional("vendor", {
      describe: `One of ${VENDOR_NAMES.join(", ")}`,
      type: "string",
      demandOption: true,
    })
    .positional("words", {
      describe: "The command's 64-bit words, lowest address first",
      array: true,
      type: "string",
      demandOption: true,
    })
    .options({
      register: {
        describe:
          "They are what is written to this register (then to those that belong to it), such as VT-d's ccmd, iotlb",
        type: "string",
        requiresArg: true,
      },
      json: { describe: "NDJSON", type: "boolean", default: false },
    })
    .example("$0 decode vtd 0x50022 0", "A descriptor of VT-d's invalidation queue")
    .example("$0 decode vtd --register ccmd 0xa000000000000000", "An invalidation by register")
    .example("$0 decode arm 0x0005000600000012 0x7f001001", "A command of SMMUv3's command queue");
}

async function run(args: DecodeArguments): Promise<ExitStatus> {
  const model = vendorNamed(args.vendor);
  const words = args.words.map((word) => {
    const value = parseUnsigned64("words", word);
    return { hi: Number(value >> 32n) | 0, lo: Number(value & 0xffff_ffffn) | 0 };
  });
  const register = args.register === undefined ? undefined : registerKey(once("--register", args.register));
  const { VENDORS } = await import("../../walkers/registry.ts");
  const { registerCommands } = VENDORS[model];
  if (register !== undefined && !Object.hasOwn(registerCommands, register)) {
    await writeOut(args.json, await registerText(args, model, register));
    return EXIT_OK;
  }
  const { decodeCommand } = await import("../../walkers/commands/command.ts");
  const { commandJson, commandText } = await import("../render/command.ts");
  const decoded = decodeCommand(model, words, undefined, register);
  await writeOut(args.json, args.json ? commandJson(decoded) : commandText(decoded));
  return decoded.problems.some((problem) => problem.kind === "illegal") ? EXIT_FOUND : EXIT_OK;
}

/** Of a register that asks for nothing: its fields. */
async function registerText(
  { words, json }: DecodeArguments,
  model: IommuModel,
  register: string,
): Promise<string> {
  const { prefixOf, registerLayout } = await import("../lookup.ts");
  const { VENDORS } = await import("../../walkers/registry.ts");
  const { layouts, registerCommands } = VENDORS[model];
  const layout = registerLayout(layouts, register, registerCommands);
  const render = json
    ? (await import("../render/explain-json.ts")).EXPLAIN_JSON
    : (await import("../render/explain-text.ts")).EXPLAIN_TEXT;
  return render.entryText(model, layout, prefixOf("words", words, layout.bytes, false));
}

export const decodingCommand = command({
  names: ["decode <vendor> <words..>"],
  describe: "Say what a command of an invalidation or command queue does",
  builder,
  run,
});
