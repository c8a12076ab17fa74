import { basename } from "node:path";
import type { Argv } from "yargs";
import { type Command, command } from "../command.ts";
import { EXIT_OK, type ExitStatus } from "../exit-status.ts";
import { standardOutput } from "../output.ts";
import type { CommandModel } from "../usage/command-model.ts";
import { SHELLS, type Shell } from "../usage/shells.ts";

interface CompletionArguments {
  shell?: Shell;
}

function builder(yargs: Argv): Argv {
  return yargs
    .positional("shell", { describe: "The shell; default: yours", choices: SHELLS })
    .example('eval "$($0 completion bash)"', "In ~/.bashrc")
    .example('eval "$($0 completion zsh)"', "In ~/.zshrc, behind compinit")
    .example("$0 completion fish | source", "In ~/.config/fish/config.fish");
}

/** The shell that started us, as far as it is known. */
function ownShell(): Shell {
  const name = basename(process.env.SHELL ?? "");
  return SHELLS.find((shell) => shell === name) ?? "bash";
}

/** @param models of all commands */
export function completionCommand(models: () => Promise<readonly CommandModel[]>): Command<object> {
  const run = async ({ shell = ownShell() }: CompletionArguments): Promise<ExitStatus> => {
    const { completionScript } = await import("../usage/completion.ts");
    await standardOutput().write(completionScript(shell, await models()));
    return EXIT_OK;
  };
  return command<CompletionArguments>({
    names: ["completion [shell]"],
    describe: "Print a script that completes commands, options and their values in bash, zsh or fish",
    builder,
    run,
  });
}
