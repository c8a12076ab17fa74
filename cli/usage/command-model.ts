import type { Argv, Options, PositionalOptions } from "yargs";
import { COLOUR_OPTION } from "../colour.ts";
import type { Command } from "../command.ts";

/** An option, or a positional argument, of a command. */
export interface ArgumentModel {
  readonly name: string;
  readonly alias: readonly string[];
  readonly describe: string;
  /** All values that it takes, where they are few; else empty. */
  readonly choices: readonly string[];
  /** It is followed by a value. */
  readonly hasValue: boolean;
  /** A flag that is on unless it is switched off: "--no-…". */
  readonly isOn: boolean;
  readonly default: string | undefined;
  /** The heading that `--help` has it under; "" for the general one. */
  readonly group: string;
}

/** What a command's declaration says, for whoever documents or completes it. */
export interface CommandModel {
  /** "walk" */
  readonly name: string;
  /** "walk <trace>" */
  readonly usage: string;
  readonly describe: string;
  /** Its name may be left out. */
  readonly isDefault: boolean;
  readonly positionals: readonly ArgumentModel[];
  readonly options: readonly ArgumentModel[];
  readonly examples: readonly (readonly [command: string, describe: string])[];
  readonly epilogue: string;
}

/** Takes down what a builder declares: commands are declared once, for yargs. */
class Recorder {
  readonly positionals: ArgumentModel[] = [];
  readonly options_: ArgumentModel[] = [];
  readonly examples: [string, string][] = [];
  end = "";

  positional(name: string, options: PositionalOptions): this {
    this.positionals.push(argumentOf(name, options as Options));
    return this;
  }

  options(options: Readonly<Record<string, Options>>): this {
    for (const [name, declared] of Object.entries(options)) this.options_.push(argumentOf(name, declared));
    return this;
  }

  example(command: string, describe: string): this {
    this.examples.push([command.replace("$0", "pasid-replay"), describe]);
    return this;
  }

  option(name: string, declared: Options): this {
    return this.options({ [name]: declared });
  }

  epilogue(text: string): this {
    this.end = text;
    return this;
  }
}

function argumentOf(name: string, declared: Options): ArgumentModel {
  const { alias = [], describe = "", choices = [], type, default: fallback, group = "" } = declared;
  const isFlag = type === "boolean";
  return {
    name,
    alias: [alias].flat(),
    describe: `${describe}`,
    choices: choices.map(String),
    hasValue: !isFlag,
    isOn: isFlag && fallback === true,
    default: isFlag || fallback === undefined ? undefined : String(fallback),
    group,
  };
}

/** A recorder as a builder sees it: what it declares beside options, such as what excludes what, needs no documentation. */
function recorded(recorder: Recorder): Argv {
  const others = () => proxy;
  const proxy: Argv = new Proxy(recorder, {
    get: (target, name) => {
      const method = target[name as keyof Recorder] as unknown;
      return typeof method === "function"
        ? (...args: unknown[]) => {
            (method as (...args: unknown[]) => unknown).apply(target, args);
            return proxy;
          }
        : others;
    },
  }) as unknown as Argv;
  return proxy;
}

export async function modelOf(command: Command<object>): Promise<CommandModel> {
  const { names, describe, builder, epilogue } = command;
  const recorder = new Recorder();
  builder(recorded(recorder));
  const [usage = ""] = names;
  return {
    name: usage.split(" ")[0]!,
    usage,
    describe,
    isDefault: names.includes("$0"),
    positionals: recorder.positionals,
    options: recorder.options_,
    examples: recorder.examples,
    epilogue: (await epilogue?.()) ?? recorder.end,
  };
}

/** Options that every command has. */
export const COMMON_OPTIONS: readonly ArgumentModel[] = [
  argumentOf("help", { alias: "h", type: "boolean", describe: "Show help" }),
  argumentOf("version", { alias: "V", type: "boolean", describe: "Show version number" }),
  argumentOf("color", COLOUR_OPTION),
];
