import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { ROOT } from "./support/cli.ts";
import { splitStores, storesToEntries } from "./support/update-mutations.ts";

/** `test/bench/update-mutations.ts` looks at more recordings. */
const MUTATIONS = 3;

test("stores to entries in use, taken apart: a request that is harmed is named, and no other", async () => {
  const path = join(ROOT, "samples/amd/amd-11.1-inval-s1.ndjson.gz");
  const records = gunzipSync(readFileSync(path))
    .toString()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const targets = await storesToEntries(records);
  expect(targets.length).toBeGreaterThanOrEqual(MUTATIONS);
  const tally = await splitStores(records, targets.slice(0, MUTATIONS));
  expect(tally.failures).toEqual([]);
  expect(tally.tried).toBe(2 * MUTATIONS);
  expect(tally.shown).toBeGreaterThan(0);
  expect(tally.reported).toBe(tally.shown);
});
