/**
 * Feeds mutated inputs to a parser; `--help` says how it is called. What was found becomes a test of that parser;
 * test/fuzz-targets.test.ts feeds a few inputs to every target.
 */
import { Random } from "../../walkers/fuzz/random.ts";
import { countOf, toolArguments, UsageError } from "../support/tool-arguments.ts";
import { mutated } from "./mutate.ts";
import { shrunk } from "./shrink.ts";
import { TARGETS, type Target } from "./targets.ts";

const USAGE = `npm run fuzz -- [--target trace,replay] [--inputs 10000] [--seed 1]

Feeds mutated inputs to parsers, all of them by default. An input that makes one throw, or break a promise of its target, is
made as small as it can be and printed; the exit status is 1 then.
Targets: ${Object.keys(TARGETS).join(", ")}.`;

const { values } = toolArguments(
  USAGE,
  {
    target: { type: "string" },
    inputs: { type: "string", default: "10000" },
    seed: { type: "string", default: "1" },
  },
  ({ target, inputs, seed }) => {
    countOf("--inputs", inputs);
    countOf("--seed", seed);
    const stranger = target?.split(",").find((name) => TARGETS[name] === undefined);
    if (stranger !== undefined)
      throw new UsageError(`--target: expected one of ${Object.keys(TARGETS).join(", ")}, found ${stranger}`);
  },
);

/** Failures that are shown before it is given up. */
const MOST_FAILURES = 5;
/** Inputs that are kept as seeds because they got further than others: the newest. */
const SLICE = 1024;

async function run(name: string, target: Target, inputs: number, seed: number): Promise<number> {
  const random = new Random(seed);
  const seeds = await target.seeds();
  const started = performance.now();
  const seen = new Set<string>();
  let slowest = 0;
  let i = 0;
  for (; i < inputs && seen.size < MOST_FAILURES; i++) {
    const bytes = mutated(random, seeds);
    const from = performance.now();
    const failure = await failureOf(target, bytes);
    slowest = Math.max(slowest, performance.now() - from);
    if (failure !== null && !seen.has(failure)) {
      seen.add(failure);
      const small = await shrunk(
        bytes,
        async (candidate) => (await failureOf(target, candidate)) === failure,
      );
      console.log(`${name}: input ${i} of seed ${seed}: ${failure}`);
      console.log(`  ${Buffer.from(small).toString("hex")}`);
      console.log(`  ${JSON.stringify(Buffer.from(small).toString("latin1"))}`);
    }
    // Output of the program, and signals, get their turn.
    if (i % SLICE === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const seconds = (performance.now() - started) / 1000;
  console.log(
    `${name}: ${i} inputs of seed ${seed} in ${seconds.toFixed(0)} s, slowest ${slowest.toFixed(0)} ms, ` +
      `${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB: ${seen.size === 0 ? "no failure" : `${seen.size} failures`}`,
  );
  return seen.size;
}

/** What went wrong, without the numbers that differ from input to input; null where nothing did. */
async function failureOf(target: Target, bytes: Uint8Array): Promise<string | null> {
  try {
    await target.run(bytes);
    return null;
  } catch (error) {
    const { name, message, stack } = error as Error;
    const where = stack?.split("\n").find((line) => /\b(parsers|pipeline|walkers|cli)\//.test(line)) ?? "";
    return `${name}: ${message.slice(0, 120).replace(/\d+/g, "N")}${where.replace(/^.*\/(?=parsers|pipeline|walkers|cli)/, " at ")}`;
  }
}

const names = values.target === undefined ? Object.keys(TARGETS) : values.target.split(",");
let failures = 0;
for (const name of names) {
  failures += await run(name, TARGETS[name]!, Number(values.inputs), Number(values.seed));
}
process.exitCode = failures > 0 ? 1 : 0;
