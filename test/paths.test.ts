/**
 * A replay that takes up what like requests came to, and reads and writes many at once, writes what one writes that reads and
 * walks each by itself: test/fuzz/paths.ts looks harder.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../parsers/trace/source.ts";
import { selectionOf } from "../pipeline/output/selection.ts";
import { replayTrace } from "../pipeline/replay/run.ts";
import { ROOT } from "./support/cli.ts";
import { dmaApiTrace } from "./support/dma-api-trace.ts";
import { mutatedLine } from "./support/mutated-lines.ts";
import { linesOf, randomOf, SEEDS, varied } from "./support/mutated-trace.ts";
import { difference, output } from "./support/paths.ts";
import { syntheticTrace } from "./support/trace-generator.ts";

/** Lines of a recording that are varied. */
const LINES = 300;
/** Bytes that are read at once. */
const STEPS = [1, 13, 1000, 65_536, Number.POSITIVE_INFINITY];

describe.each(SEEDS)("variations of %s", (sample) => {
  const lines = linesOf(sample).slice(0, LINES);
  const directory = dirname(join(ROOT, "samples", sample));

  /** @param spoilt one line of so many is another one */
  async function expectSame(seed: number, spoilt: number): Promise<void> {
    const random = randomOf(seed);
    const trace = varied(lines, random, 4).map((line) =>
      random(spoilt) === 0 ? mutatedLine(line, random) : line,
    );
    const text = Buffer.from(`${trace.join("\n")}\n`);
    const plain = await output(text, { directory, fast: false });
    const step = STEPS[random(STEPS.length)]!;
    const threads = random(2) === 0 ? 1 : 2;
    expect(difference(plain, await output(text, { directory, fast: true, threads }, step))).toBeNull();
  }

  it("come to the same on either path", () =>
    fc.assert(
      fc.asyncProperty(fc.nat(), (seed) => expectSame(seed, Number.POSITIVE_INFINITY)),
      { numRuns: 2 },
    ));

  it("with lines that are spoilt, too", () =>
    fc.assert(fc.asyncProperty(fc.nat(), fc.constantFrom(3, 50), expectSame), { numRuns: 2 }));
});

describe("two streams whose entries are alike use a page, one's entry changes and is invalidated, and its old answer comes", () => {
  const path = join(ROOT, "test/fixtures/smmuv3-alike-streams.ndjson");
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  const [one, other] = [lines.length - 5, lines.length - 4];
  const swapped = lines.with(one, lines[other]!).with(other, lines[one]!);

  it.each([
    ["the other one last", lines],
    ["the other one first", swapped],
  ])("its translations are owed an invalidation, whoever used the page last: %s", async (_, trace) => {
    const text = Buffer.from(`${trace.join("\n")}\n`);
    for (const fast of [false, true])
      expect((await output(text, { fast })).toString()).toMatch(
        /"line":15,.*"result":"fault".*"verdict":"stale","changed_line":13/,
      );
  });
});

describe("maps, requests, unmaps and invalidations in turns", () => {
  const lines = [...dmaApiTrace({ lines: 600, seed: 1 })].join("").trimEnd().split("\n");

  it("come to the same on either path, where their lines are spoilt, too", () =>
    fc.assert(
      fc.asyncProperty(fc.nat(), fc.constantFrom(4, Number.POSITIVE_INFINITY), async (seed, spoilt) => {
        const random = randomOf(seed);
        // What is left out, or comes twice, leaves pages mapped, and held.
        const trace = lines.flatMap((line) => {
          const text = random(spoilt) === 0 ? mutatedLine(line, random) : line;
          return new Array<string>([1, 1, 1, 1, 1, 0, 2][random(7)]!).fill(text);
        });
        const text = Buffer.from(`${trace.join("\n")}\n`);
        const plain = await output(text, { fast: false });
        const step = STEPS[random(STEPS.length)]!;
        expect(difference(plain, await output(text, { fast: true }, step))).toBeNull();
      }),
      { numRuns: 8 },
    ));
});

describe("requests that are alike", () => {
  const lines = [...syntheticTrace({ requests: 500, seed: 3, devices: 2, pages: 4 })].join("").split("\n");
  const requests = lines.filter((line) => line.startsWith('{"type":"dma"'));
  const text = Buffer.from([...lines, ...new Array(9).fill(requests).flat()].join("\n"));

  it("are answered many at once", async () => {
    const { batched } = await replayTrace(bytesSource(text), { write: () => {} }, { fast: true });
    // Those that fault are not.
    expect(batched).toBeGreaterThan(4000);
  });

  it("are written where they are selected, and counted in any case", async () => {
    for (const names of [["ok"], ["matches"], ["faults"], [], ["findings", "mismatches"]] as const) {
      const only = selectionOf([...names]);
      const plain = await output(text, { only, fast: false });
      expect(difference(plain, await output(text, { only, fast: true }))).toBeNull();
    }
  });

  it("are read by themselves on demand", async () => {
    const { batched } = await replayTrace(bytesSource(text), { write: () => {} }, { fast: false });
    expect(batched).toBe(-1);
  });
});
