import { compareDevices, type Disagreement } from "../../pipeline/fuzz/against.ts";
import type { DevicePort } from "../../pipeline/fuzz/port.ts";
import { CliError } from "../errors.ts";
import { EXIT_FOUND, EXIT_OK, type ExitStatus } from "../exit-status.ts";
import type { Output } from "../output.ts";
import { Course } from "./course.ts";
import { fileName, traceText, walkOf } from "./findings-text.ts";
import { type FuzzSettings, keep } from "./fuzz-device.ts";

const RIGHT: Readonly<Record<string, string>> = {
  first: "the first answers as it should",
  second: "the second answers as it should",
  both: "both answer as they may",
  neither: "neither answers as it should",
};

/** Asks two devices about the same worlds, and says where they differ. */
export async function fuzzAgainst(
  first: DevicePort,
  second: DevicePort,
  settings: FuzzSettings,
  out: Output,
): Promise<ExitStatus> {
  const models = [first.identity.model, second.identity.model];
  if (models[0] !== models[1])
    throw new CliError(`--against: expected a device of model ${models[0]}, found ${models[1]}`);
  let number = 0;
  const course = await Course.begin(settings);
  await out.write(
    `seed ${settings.seed}; ${first.identity.name} against ${second.identity.name}, ${models[0]}\n`,
  );
  const told = course.over(out);
  const { worlds, requests, found } = await compareDevices(first, second, {
    seed: settings.seed,
    worlds: settings.worlds,
    goesOn: course.goesOn,
    signal: course.signal,
    onFinding: async (one) => told.write(await disagreementText(++number, one, settings)),
  }).finally(() => course.end());
  const counts = found.map((one) => `  ${one.requests} × ${one.pair}: ${RIGHT[one.right]}\n`).join("");
  await out.write(`\n${worlds} worlds, ${requests} requests: ${found.length} kinds of difference\n${counts}`);
  return found.length > 0 ? EXIT_FOUND : EXIT_OK;
}

async function disagreementText(number: number, one: Disagreement, settings: FuzzSettings): Promise<string> {
  const name = fileName(number, one.pair);
  const traces = one.records.map((records) =>
    traceText(records, `seed ${settings.seed}, world ${one.world}`),
  );
  const walk = await walkOf(`${name}.a.ndjson`, traces[0]!, one.line);
  const text = `${number}. ${one.pair}\n  ${RIGHT[one.right]}; world ${one.world}; ${one.records[0].length} records\n`;
  if (settings.out === undefined) return `\n${text}\n${walk.replaceAll(/^(?=.)/gm, "    ")}`;
  keep(settings.out, `${name}.a.ndjson`, traces[0]!);
  keep(settings.out, `${name}.b.ndjson`, traces[1]!);
  keep(settings.out, `${name}.txt`, `${text}\n${walk}`);
  return `\n${text}`;
}
