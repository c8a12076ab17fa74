import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { blamed, Mutations, type Tally } from "./support/cache-mutations.ts";
import { ROOT } from "./support/cli.ts";

/** How many mutations of each kind and vendor; `test/bench/cache-mutations.ts` looks harder. */
const MUTATIONS = 3;

const SAMPLES = [
  "intel/intel-11.1-fs-inval-s1.ndjson.gz",
  "arm/arm-11.1-nested-4k-inval-1.ndjson.gz",
  "amd/amd-11.1-inval-s1.ndjson.gz",
  "riscv/riscv-ref-inval-s1.ndjson.gz",
];

function load(path: string): Record<string, unknown>[] {
  const text = gunzipSync(readFileSync(join(ROOT, "samples", path))).toString();
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** All that mattered was reported, and nothing that did not. */
function expectSound(tally: Tally): void {
  expect(tally.failures).toEqual([]);
  expect(tally.reported).toBe(tally.shown);
}

describe.each(SAMPLES)("%s on an IOMMU that caches everything", (path) => {
  const mutations = new Mutations(load(path));

  it("everything that it answers is lawful", async () => {
    const { verdicts } = await mutations.judgedOriginal();
    expect(blamed(verdicts)).toEqual([]);
    expect(verdicts.filter((verdict) => verdict === "match").length).toBeGreaterThan(verdicts.length / 2);
  });

  it("an invalidation that is left out is owed if and only if it shows", async () => {
    const tally = await mutations.drop(MUTATIONS, 1);
    expectSound(tally);
    expect(tally.tried).toBe(MUTATIONS);
  });

  it("one that comes later is owed if and only if it shows", async () => {
    expectSound(await mutations.delay(MUTATIONS, 3));
  });

  it("one that covers less likewise", async () => {
    const tally = await mutations.narrow(MUTATIONS, 5);
    expectSound(tally);
    expect(tally.tried).toBeGreaterThan(0);
  });

  it("one that covers something else likewise", async () => {
    expectSound(await mutations.redirect(MUTATIONS, 4));
  });

  it("one that covers more is never missed", async () => {
    const { tried, failures } = await mutations.widen(MUTATIONS, 6);
    expect(failures).toEqual([]);
    expect(tried).toBeGreaterThan(0);
  });

  it("where nobody recorded answers, it is a hazard", async () => {
    const tally = await mutations.dropUnanswered(MUTATIONS, 5);
    expectSound(tally);
    expect(tally.tried).toBe(MUTATIONS);
  });

  it("an entry that is kept after its invalidation is found", async () => {
    const tally = await mutations.keep(MUTATIONS, 2);
    expectSound(tally);
    expect(tally.shown).toBeGreaterThan(0);
  });
});
