import { nearest } from "../../parsers/trace/nearest.ts";
import type { Mistakes } from "../../pipeline/device/device.ts";
import { HABITS, habitsOf } from "../../pipeline/device/habits.ts";
import type { Expectations } from "../../pipeline/fuzz/expected-departures.ts";
import type { CodeAliases } from "../../pipeline/verdicts/comparison.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { CliError } from "../errors.ts";

/** The mistakes of these names. @throws CliError for a name that the model has not */
export async function mistakesNamed(model: IommuModel, given: readonly string[]): Promise<Mistakes> {
  const fuzzing = await VENDORS[model].fuzzing();
  const { bugs, immune = {} } = fuzzing;
  const habits = habitsOf(fuzzing);
  const names = [...bugs.map(({ name }) => name), ...habits];
  for (const name of given) {
    if (names.includes(name)) continue;
    if (Object.hasOwn(immune, name))
      throw new CliError(`--bug: ${name} is none that ${model} can make: ${immune[name]}`, true);
    const near = nearest(name, names);
    const hint = near === undefined ? "" : `; did you mean ${near}?`;
    throw new CliError(
      `--bug: expected one that --list-bugs names, found ${JSON.stringify(name)}${hint}`,
      true,
    );
  }
  return {
    bugs: bugs.filter(({ name }) => given.includes(name)),
    habits: new Set(habits.filter((name) => given.includes(name))),
  };
}

/** What is expected of a device that makes mistakes. */
export function expectationsOf({ bugs, habits }: Mistakes, codeAliases: CodeAliases): Expectations {
  return { codeAliases, bugs, silentDenials: habits.has("hit-denied-unrecorded") };
}

/** One line for each mistake that can be switched on. */
export async function mistakesText(model: IommuModel): Promise<string> {
  const fuzzing = await VENDORS[model].fuzzing();
  const rows = [
    ...fuzzing.bugs.map(({ name, text, source }) => [name, `${text}  [${source}]`]),
    ...habitsOf(fuzzing).map((name) => [name, HABITS[name].text]),
  ] as [string, string][];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `${name.padEnd(width)}  ${text}\n`).join("");
}
