import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { blamed, judge, Mutations, type Tally } from "../support/cache-mutations.ts";
import { countOf, toolArguments, UsageError } from "../support/tool-arguments.ts";

const USAGE = `npx tsx test/bench/cache-mutations.ts [--mutations 200] [--seed 1] <trace.ndjson[.gz]>…

How surely the replay finds a missing invalidation, and an IOMMU that ignores one, in recordings of one's own. Prints, per trace
and kind of mutation, how many were made, how many of them matter (they change an answer), and how many of these are reported;
exits with 1 where one is not, or where something else is.
Traces whose memory is in a file beside them (snapshot) are refused, with status 2.`;

const { values, positionals } = toolArguments(
  USAGE,
  { mutations: { type: "string", default: "200" }, seed: { type: "string", default: "1" } },
  (_values, [path]) => {
    if (path === undefined) throw new UsageError("expected the path of a trace, found none");
  },
);
const count = countOf("--mutations", values.mutations);
const seed = countOf("--seed", values.seed);

for (const path of positionals) {
  const bytes = readFileSync(path);
  const text = (bytes[0] === 0x1f ? gunzipSync(bytes) : bytes).toString();
  const records = text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => JSON.parse(line));
  const elsewhere = records.findIndex(({ type }) => type === "snapshot");
  if (elsewhere >= 0) {
    console.error(
      `${path}: record ${elsewhere + 1}: expected memory in the trace, as the answers are made anew, found a snapshot`,
    );
    process.exitCode = 2;
    continue;
  }
  const mutations = new Mutations(records);
  const { verdicts } = await judge(mutations.original.records);
  const blame = blamed(verdicts).length;
  if (blame > 0) process.exitCode ??= 1;
  console.log(
    `${path}: ${mutations.invalidations.length} invalidations; unchanged, ${blame} answers are blamed`,
  );
  if (mutations.invalidations.length === 0) continue;
  print("left out, answered", await mutations.drop(count, seed));
  print("delayed", await mutations.delay(count, seed));
  print("narrower", await mutations.narrow(count, seed));
  print("another instead", await mutations.redirect(count, seed));
  print("wider", await mutations.widen(count, seed));
  print("left out, unanswered", await mutations.dropUnanswered(count, seed));
  print("entry kept", await mutations.keep(count, seed + 1));
}

function print(kind: string, { tried, shown, reported, failures }: Tally): void {
  console.log(
    `  ${kind.padEnd(22)} ${tried} made, ${shown} matter, ${reported} reported, ${failures.length} wrong`,
  );
  for (const failure of failures) console.log(`    ${failure}`);
  if (failures.length > 0) process.exitCode ??= 1;
}
