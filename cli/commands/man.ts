import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Argv } from "yargs";
import { nearest } from "../../parsers/trace/nearest.ts";
import { type Command, command } from "../command.ts";
import { CliError } from "../errors.ts";
import { EXIT_OK, type ExitStatus } from "../exit-status.ts";
import { makeFolder } from "../make-folder.ts";
import { once } from "../options.ts";
import { standardOutput } from "../output.ts";
import type { CommandModel } from "../usage/command-model.ts";

interface ManArguments {
  page?: string;
  folder?: string | string[];
}

function builder(yargs: Argv): Argv {
  return yargs
    .positional("page", { describe: "The command; default: all of them in short", type: "string" })
    .options({
      folder: {
        type: "string",
        requiresArg: true,
        describe: "Write the pages of all commands into this folder",
      },
    })
    .example("$0 man replay | man -l -", "Read the manual page of replay");
}

/** @param models of all commands */
export function manCommand(
  models: () => Promise<readonly CommandModel[]>,
  version: () => string,
): Command<object> {
  const run = async ({ page, folder }: ManArguments): Promise<ExitStatus> => {
    const { manOverview, manPage } = await import("../usage/man.ts");
    const all = await models();
    if (folder !== undefined) {
      if (page !== undefined) throw new CliError("--folder: expected it without a command, found both", true);
      const into = once("--folder", folder);
      makeFolder(into);
      writeFileSync(join(into, "pasid-replay.1"), manOverview(all, version()));
      for (const model of all)
        writeFileSync(join(into, `pasid-replay-${model.name}.1`), manPage(model, version()));
      return EXIT_OK;
    }
    const model = page === undefined ? undefined : modelNamed(all, page);
    const text = model === undefined ? manOverview(all, version()) : manPage(model, version());
    await standardOutput().write(text);
    return EXIT_OK;
  };
  return command<ManArguments>({
    names: ["man [page]"],
    describe: "Print a manual page",
    builder,
    run,
  });
}

function modelNamed(all: readonly CommandModel[], name: string): CommandModel {
  const found = all.find((model) => model.name === name);
  if (found !== undefined) return found;
  const names = all.map((model) => model.name);
  const near = nearest(name, names);
  const hint = near === undefined ? "" : `; did you mean ${near}?`;
  throw new CliError(`expected a command (${names.join(", ")}), found ${JSON.stringify(name)}${hint}`, true);
}
