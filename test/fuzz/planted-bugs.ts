/** Looks for every mistake that the device under test can make; `--help` says how it is called. */
import type { Mistakes } from "../../pipeline/device/device.ts";
import { habitsOf } from "../../pipeline/device/habits.ts";
import { fuzz } from "../../pipeline/fuzz/campaign.ts";
import { LocalDevice } from "../../pipeline/fuzz/local-device.ts";
import { IOMMU_MODELS, type IommuModel } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { countOf, toolArguments, UsageError } from "../support/tool-arguments.ts";

const USAGE = `npx tsx test/fuzz/planted-bugs.ts [--model M]… [--worlds 2000] [--seed 1] [--bug NAME]… [--shrink]

Looks for every mistake that the device under test can make (dut --list-bugs), one after another, and prints when each was
found. Times are those of the processor; the exit status is 1 where one is not found. Models: ${IOMMU_MODELS.join(", ")}.`;

const { values } = toolArguments(
  USAGE,
  {
    model: { type: "string", multiple: true },
    worlds: { type: "string", default: "2000" },
    seed: { type: "string", default: "1" },
    bug: { type: "string", multiple: true },
    shrink: { type: "boolean", default: false },
  },
  ({ model: models = [], worlds, seed }) => {
    countOf("--worlds", worlds);
    countOf("--seed", seed);
    const known: readonly string[] = IOMMU_MODELS;
    const stranger = models.find((model) => !known.includes(model));
    if (stranger !== undefined)
      throw new UsageError(`--model: expected one of ${known.join(", ")}, found ${stranger}`);
  },
);

interface Search {
  /** The first finding; "": none. */
  readonly line: string;
  /** Worlds that were made, to that one. */
  readonly worlds: number;
  readonly seconds: number;
  /** Signatures of all that was found. */
  readonly signatures: readonly string[];
}

/** @param known signatures that do not count @param all goes on after the first finding */
async function search(
  model: IommuModel,
  mistakes: Mistakes,
  known: ReadonlySet<string>,
  all = false,
): Promise<Search> {
  const began = process.cpuUsage();
  let line = "";
  const signatures: string[] = [];
  const report = await fuzz(new LocalDevice(model, mistakes), {
    seed: Number(values.seed),
    worlds: Number(values.worlds),
    goesOn: () => all || line === "",
    isKnown: (signature) => known.has(signature),
    shrinks: values.shrink,
    onFinding({ signature, world, records, known: seen }) {
      signatures.push(signature.text);
      if (!seen) line ||= `world ${world}, ${records.length} records: ${signature.text}`;
    },
    onFailure(failure) {
      throw failure;
    },
  });
  const { user, system } = process.cpuUsage(began);
  return { line, worlds: report.worlds, seconds: (user + system) / 1e6, signatures };
}

/** Of each that was found. */
const worlds: number[] = [];
const seconds: number[] = [];
let all = 0;
for (const model of (values.model as IommuModel[] | undefined) ?? IOMMU_MODELS) {
  const fuzzing = await VENDORS[model].fuzzing();
  const cases: [string, Mistakes][] = [
    ...fuzzing.bugs.map((bug): [string, Mistakes] => [bug.name, { bugs: [bug], habits: new Set() }]),
    ...habitsOf(fuzzing).map((habit): [string, Mistakes] => [habit, { bugs: [], habits: new Set([habit]) }]),
  ];
  // What a device without mistakes is said to do wrong is found nowhere.
  const none = await search(model, { bugs: [], habits: new Set() }, new Set(), true);
  for (const text of none.signatures) console.log(`${model}, without a mistake: ${text}`);
  const known = new Set(none.signatures);
  for (const [name, mistakes] of cases) {
    if (values.bug !== undefined && !values.bug.includes(name)) continue;
    all++;
    const one = await search(model, mistakes, known);
    if (one.line !== "") {
      worlds.push(one.worlds);
      seconds.push(one.seconds);
    }
    const text = one.line || `not found in ${one.worlds} worlds`;
    console.log(`${model} ${name}: ${text} (${one.seconds.toFixed(2)} s)`);
  }
}
const middle = (of: number[]) => of.toSorted((a, b) => a - b)[of.length >> 1] ?? 0;
const spread = `median world ${middle(worlds)}, ${middle(seconds).toFixed(2)} s`;
const most = `most ${Math.max(0, ...worlds)}, ${Math.max(0, ...seconds).toFixed(2)} s`;
console.log(`${worlds.length} of ${all} found; ${spread}; ${most}`);
if (worlds.length < all) process.exitCode = 1;
