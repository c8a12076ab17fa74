import { describe, expect, test } from "vitest";
import { Random } from "../walkers/fuzz/random.ts";
import { mutated } from "./fuzz/mutate.ts";
import { shrunk } from "./fuzz/shrink.ts";
import { TARGETS } from "./fuzz/targets.ts";

/** Enough to see that a target still feeds its parser; `npm run fuzz` does the rest. */
const INPUTS = 40;

describe.each(Object.entries(TARGETS))("%s", (_, target) => {
  test("takes its seeds, and what mutations make of them", async () => {
    const seeds = target.seeds();
    expect(seeds.length).toBeGreaterThan(0);
    for (const seed of seeds) await target.run(seed);
    const random = new Random(3);
    for (let n = 0; n < INPUTS; n++) await target.run(mutated(random, seeds));
  });
});

test("the same seed gives the same inputs, another one gives others", () => {
  const seeds = [Buffer.from('{"type":"dma","addr":"0x1000"}')];
  const inputs = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 20 }, () => Buffer.from(mutated(random, seeds)).toString("hex"));
  };
  expect(inputs(1)).toEqual(inputs(1));
  expect(inputs(1)).not.toEqual(inputs(2));
});

test("an input that fails is made as small as it can be", async () => {
  const bytes = Buffer.from(`${"x".repeat(300)}boom${"y".repeat(200)}`);
  const small = await shrunk(bytes, async (candidate) => Buffer.from(candidate).includes("boom"));
  expect(Buffer.from(small).toString()).toBe("boom");
});
