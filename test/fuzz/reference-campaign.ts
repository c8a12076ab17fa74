/**
 * Fuzzes our own walkers against the reference walkers, in this process:
 * `npx tsx test/fuzz/reference-campaign.ts [--model M] [--worlds N] [--seed S] [--keep]`. What departs is wrong in the one or in the other.
 */
import { parseArgs } from "node:util";
import { fuzz } from "../../pipeline/fuzz/campaign.ts";
import { REFERENCES, ReferencePort } from "./references/machine.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", multiple: true, default: Object.keys(REFERENCES) },
    worlds: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    keep: { type: "boolean", default: false },
  },
});

for (const model of values.model) {
  const device = REFERENCES[model];
  if (device === undefined)
    throw new Error(`expected one of ${Object.keys(REFERENCES).join(", ")}, found ${model}`);
  const began = process.cpuUsage();
  const report = await fuzz(new ReferencePort(device, values.keep), {
    seed: Number(values.seed),
    worlds: Number(values.worlds),
    goesOn: () => true,
    isKnown: () => false,
    shrinks: true,
    onFinding({ signature, world, records }) {
      console.log(`${model}, world ${world}: ${signature.text}`);
      for (const record of records) console.log(JSON.stringify(record));
    },
    onFailure(failure) {
      throw failure;
    },
  });
  const { user, system } = process.cpuUsage(began);
  const { worlds, requests, unanswered, findings } = report;
  const skipped = unanswered > 0 ? `, ${unanswered} not modelled` : "";
  const seconds = ((user + system) / 1e6).toFixed(1);
  console.log(
    `${model}: ${worlds} worlds, ${requests} requests${skipped}, ${findings.length} kinds of departure (${seconds} s)`,
  );
}
