import { CommandDecoder, encodeCommand } from "../../walkers/commands/command.ts";
import type { CommandSpec } from "../../walkers/commands/command-set.ts";
import { allOnes, type Limits } from "../../walkers/fuzz/world.ts";
import { REJECTED } from "../../walkers/invalidation.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { IommuState } from "../../walkers/registers.ts";
import { VENDORS } from "../../walkers/registry.ts";

/** Values of operands that are tried: where a reserved one is refused, another is not. */
const VALUES = [1, 2, 3];

/**
 * Invalidations that a device refuses whatever their operands: it has not what they are for, by its registers that cannot
 * be changed, or they are another queue's.
 * @returns their names, in the specification's order
 */
export function refusedCommands(
  model: IommuModel,
  { regs, props }: Pick<Limits, "regs" | "props">,
): readonly string[] {
  const { commands } = VENDORS[model];
  if (commands === null) return [];
  const state = new IommuState();
  for (const [name, value] of Object.entries(regs)) state.setRegister(name, value);
  for (const [name, value] of Object.entries(props)) state.props.set(name, value);
  const decoder = new CommandDecoder(model, state);
  const refuses = ({ name }: CommandSpec, fields: Readonly<Record<string, number>>) =>
    commands.wordCounts.every(
      (count) => decoder.invalidation(encodeCommand(model, name, fields, count))?.status === REJECTED,
    );
  return commands.specs
    .filter((spec) => spec.invalidate !== undefined)
    .filter((spec) => operandsOf(spec).every((fields) => refuses(spec, fields)))
    .map(({ name }) => name);
}

/** None, and each operand alone. */
function operandsOf({ layout, fixed }: CommandSpec): Readonly<Record<string, number>>[] {
  const free = layout.names().filter((field) => fixed[field] === undefined);
  const alone = free.flatMap((field) =>
    VALUES.filter((value) => value <= allOnes(layout, field)).map((value) => ({ [field]: value })),
  );
  return [{}, ...alone];
}
