/** A replay that takes up what like requests came to writes what one writes that walks each: test/fuzz/paths.ts looks harder. */
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ROOT } from "./support/cli.ts";
import { linesOf, randomOf, SEEDS, varied } from "./support/mutated-trace.ts";
import { difference, output } from "./support/paths.ts";

/** Lines of a recording that are varied. */
const LINES = 600;

describe.each(SEEDS)("variations of %s", (sample) => {
  const lines = linesOf(sample);
  const directory = dirname(join(ROOT, "samples", sample));

  it("come to the same on either path", () =>
    fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        const random = randomOf(seed);
        const text = Buffer.from(`${varied(lines.slice(0, LINES), random, 6).join("\n")}\n`);
        const plain = await output(text, { directory, fast: false });
        expect(difference(plain, await output(text, { directory, fast: true }))).toBeNull();
      }),
      { numRuns: 3 },
    ));
});
