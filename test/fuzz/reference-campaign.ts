/** Fuzzes our own walkers against the reference walkers, in this process; `--help` says how it is called. */
import { fuzz } from "../../pipeline/fuzz/campaign.ts";
import { countOf, toolArguments, UsageError } from "../support/tool-arguments.ts";
import { REFERENCES, ReferencePort } from "./references/machine.ts";

const USAGE = `npx tsx test/fuzz/reference-campaign.ts [--model M]… [--worlds 1000] [--seed 1] [--keep]

Asks the reference walkers about random worlds; what departs is wrong in the one or in the other, and is shown as a trace.
--keep: references that keep translations. Times are those of the processor; the exit status is 1 where something departs.
Models: ${Object.keys(REFERENCES).join(", ")}.`;

const { values } = toolArguments(
  USAGE,
  {
    model: { type: "string", multiple: true, default: Object.keys(REFERENCES) },
    worlds: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    keep: { type: "boolean", default: false },
  },
  ({ model: models, worlds, seed }) => {
    countOf("--worlds", worlds);
    countOf("--seed", seed);
    const stranger = models.find((model) => REFERENCES[model] === undefined);
    if (stranger !== undefined)
      throw new UsageError(
        `--model: expected one of ${Object.keys(REFERENCES).join(", ")}, found ${stranger}`,
      );
  },
);

for (const model of values.model) {
  const device = REFERENCES[model]!;
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
  if (findings.length > 0) process.exitCode = 1;
  const skipped = unanswered > 0 ? `, ${unanswered} not modelled` : "";
  const seconds = ((user + system) / 1e6).toFixed(1);
  console.log(
    `${model}: ${worlds} worlds, ${requests} requests${skipped}, ${findings.length} kinds of departure (${seconds} s)`,
  );
}
