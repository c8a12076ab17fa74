import { commandCoverage, decodeCommand, formatCommand } from "../../walkers/commands/command.ts";
import type { CommandProblem } from "../../walkers/commands/command-set.ts";
import type { DecodedField } from "../../walkers/layout.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { registerKey } from "../../walkers/registers.ts";
import { unknownName } from "./library-error.ts";
import { vendorOf, wordsOf } from "./words.ts";

/** A command of an invalidation or command queue, or one that a register asks for. */
export interface QueueCommand {
  readonly model: IommuModel;
  /** As the specification spells it; "unknown" where it has no such command. */
  readonly name: string;
  /** One line in the vendor's own syntax. */
  readonly text: string;
  readonly fields: readonly DecodedField[];
  /** What the specification does not allow in it. */
  readonly problems: readonly CommandProblem[];
  /** It waits until the commands before it are complete. */
  readonly completion: boolean;
  /** What it makes certain, and what it does not; undefined for an unknown command. */
  readonly covers: string | undefined;
  readonly doesNotCover: string | undefined;
  /** Document and section; undefined for an unknown command. */
  readonly source: string | undefined;
}

/**
 * Says what a command of a queue does, as `pasid-replay decode`.
 *
 * @param words of 64 bits, lowest address first
 * @param register that they are written to, by its name in traces ("ccmd", "iotlb"); without it, the queue
 * @throws LibraryError ("argument") for a model or a register that is none, or words that are no 64-bit numbers
 */
export function decode(model: IommuModel, words: readonly bigint[], register?: string): QueueCommand {
  const { registerCommands } = vendorOf(model);
  const key = register === undefined ? undefined : registerKey(register);
  if (key !== undefined && !Object.hasOwn(registerCommands, key))
    throw unknownName("register", Object.keys(registerCommands), register);
  const command = decodeCommand(model, wordsOf(words), undefined, key);
  const coverage = commandCoverage(model).find((row) => row.command === command.name);
  const { name, fields, problems, completion } = command;
  return {
    model,
    name,
    text: formatCommand(command),
    fields,
    problems,
    completion,
    covers: coverage?.covers,
    doesNotCover: coverage?.doesNotCover,
    source: command.layout?.source,
  };
}
