/**
 * Looks for every mistake that the device under test can make, one after another, and prints when each was found:
 * `npx tsx test/fuzz/planted-bugs.ts [--model M] [--worlds N] [--seed S] [--bug NAME] [--shrink]`.
 * Times are those of the processor.
 */
import { parseArgs } from "node:util";
import type { Mistakes } from "../../pipeline/device/device.ts";
import { HABIT_NAMES } from "../../pipeline/device/habits.ts";
import { fuzz } from "../../pipeline/fuzz/campaign.ts";
import { LocalDevice } from "../../pipeline/fuzz/local-device.ts";
import { IOMMU_MODELS, type IommuModel } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", multiple: true },
    worlds: { type: "string", default: "2000" },
    seed: { type: "string", default: "1" },
    bug: { type: "string", multiple: true },
    shrink: { type: "boolean", default: false },
  },
});

let found = 0;
let all = 0;
for (const model of (values.model as IommuModel[] | undefined) ?? IOMMU_MODELS) {
  const { bugs } = await VENDORS[model].fuzzing();
  const cases: [string, Mistakes][] = [
    ...bugs.map((bug): [string, Mistakes] => [bug.name, { bugs: [bug], habits: new Set() }]),
    ...HABIT_NAMES.map((habit): [string, Mistakes] => [habit, { bugs: [], habits: new Set([habit]) }]),
  ];
  for (const [name, mistakes] of cases) {
    if (values.bug !== undefined && !values.bug.includes(name)) continue;
    all++;
    const began = process.cpuUsage();
    let line = "";
    const report = await fuzz(new LocalDevice(model, mistakes), {
      seed: Number(values.seed),
      worlds: Number(values.worlds),
      goesOn: () => line === "",
      isKnown: () => false,
      shrinks: values.shrink,
      onFinding({ signature, world, records }) {
        line ||= `world ${world}, ${records.length} records: ${signature.text}`;
      },
      onFailure(failure) {
        throw failure;
      },
    });
    if (line !== "") found++;
    const { user, system } = process.cpuUsage(began);
    const seconds = ((user + system) / 1e6).toFixed(2);
    console.log(`${model} ${name}: ${line || `not found in ${report.worlds} worlds`} (${seconds} s)`);
  }
}
console.log(`${found} of ${all} found`);
