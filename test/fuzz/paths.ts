/**
 * npx tsx test/fuzz/paths.ts [--lines 1000000] [--seed 1]: replays variations of recordings on the plain path and on the
 * fast one. Where the two write other bytes, the trace is printed, and the exit status is 1.
 */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "../support/cli.ts";
import { mutatedLine } from "../support/mutated-lines.ts";
import { linesOf, randomOf, SEEDS, varied } from "../support/mutated-trace.ts";
import { difference, output } from "../support/paths.ts";

const { values } = parseArgs({
  options: {
    lines: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    repeats: { type: "string", default: "12" },
    keep: { type: "string", default: "/tmp" },
  },
});

/** Bytes that are read at once. */
const STEPS = [1, 7, 500, 4096, 65_536, 1 << 22];

/** What is read so few bytes at once has no more lines than these: it takes its time. */
const FEW_BYTES = 100;
const FEW_LINES = 400;
/** Traces after which it says how far it is. */
const TRACES_A_WORD = 50;

const random = randomOf(Number(values.seed));
const seeds = SEEDS.map(linesOf);
let lines = 0;
let traces = 0;
let failures = 0;
while (lines < Number(values.lines) && failures < 5) {
  const which = random(seeds.length);
  const spoilt = random(3);
  const step = STEPS[random(STEPS.length)]!;
  const trace = varied(seeds[which]!, random, Number(values.repeats))
    .slice(0, step < FEW_BYTES ? FEW_LINES : undefined)
    .map((line) => (spoilt > 0 && random(spoilt === 1 ? 4 : 100) === 0 ? mutatedLine(line, random) : line));
  const threads = random(2) === 0 ? 1 : 2;
  const text = Buffer.from(`${trace.join("\n")}\n`);
  const directory = dirname(join(ROOT, "samples", SEEDS[which]!));
  const found = difference(
    await output(text, { directory, fast: false }),
    await output(text, { directory, fast: true, threads }, step),
  );
  lines += trace.length;
  traces++;
  if (traces % TRACES_A_WORD === 0) console.log(`${traces} traces, ${lines} lines`);
  if (found === null) continue;
  failures++;
  const path = `${values.keep}/paths-${values.seed}-${traces}.ndjson`;
  writeFileSync(path, text);
  console.log(
    `${SEEDS[which]}, trace ${traces} of seed ${values.seed}, ${step} bytes at once, ${threads} threads, ${path}: ${found}`,
  );
}
console.log(`${traces} traces, ${lines} lines: ${failures === 0 ? "no difference" : `${failures} differ`}`);
process.exitCode = failures === 0 ? 0 : 1;
