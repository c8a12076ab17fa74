import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { countOf, toolArguments, UsageError } from "../support/tool-arguments.ts";
import { splitStores, storesToEntries } from "../support/update-mutations.ts";

const USAGE = `npx tsx test/bench/update-mutations.ts [--mutations 20] <trace.ndjson[.gz]>…

How surely the replay finds a request that used an entry which was half written, in recordings of one's own. Prints, per trace, how
many records that write to entries in use were taken apart, how often a request between the two halves met neither the old entry
nor the new one, and how many of these are reported; exits with 1 where one is not, or where something else is.`;

const { values, positionals } = toolArguments(
  USAGE,
  { mutations: { type: "string", default: "20" } },
  (_values, [path]) => {
    if (path === undefined) throw new UsageError("expected the path of a trace, found none");
  },
);
const count = countOf("--mutations", values.mutations);

for (const path of positionals) {
  const bytes = readFileSync(path);
  const records = (bytes[0] === 0x1f ? gunzipSync(bytes) : bytes)
    .toString()
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => JSON.parse(line));
  const targets = await storesToEntries(records);
  // Evenly over the trace.
  const step = Math.max(1, Math.floor(targets.length / count));
  const some = targets.filter((_, i) => i % step === 0).slice(0, count);
  const { tried, shown, reported, failures } = await splitStores(records, some);
  console.log(
    `${path}: ${targets.length} stores to entries in use; ${tried} made, ${shown} matter, ${reported} reported, ${failures.length} wrong`,
  );
  for (const failure of failures) console.log(`    ${failure}`);
  if (failures.length > 0) process.exitCode = 1;
}
