/**
 * How the time and the memory of a run grow with the number of records of each kind (`record-kinds.ts`); `--help` says how it is
 * called. Runs the built command (`npm run build` first) on its standard input, each size in a process of its own, which alone is
 * measured: user and system CPU seconds, and the peak of resident memory in MB under the limit, and under the default one at the
 * largest size. The exponent is of the two largest sizes, without what a run of one record takes: 1 is linear, n log n up to 1.1.
 * A run that takes more than 5 s is not repeated ten times larger, and ends after 100 s.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { countOf, toolArguments, UsageError } from "../support/tool-arguments.ts";
import type { Lines } from "./bulk-records.ts";
import { KINDS, PAIRS } from "./record-kinds.ts";

const USAGE = `npx tsx test/bench/complexity.ts [--largest 1000000] [--memory-limit 64M] [<kind>…]

How the CPU time and the memory of a replay grow with the number of records of each kind, all of them by default:
${[...Object.keys(KINDS), ...Object.keys(PAIRS)].join(", ")}`;

const SIZES = [10_000, 100_000, 1_000_000];
/** CPU seconds: of a run that is not made ten times larger, and of one that is given up. */
const LONG = 5;
const MOST = 100;
/** CPU seconds below which an exponent is noise. */
const NOISE = 0.05;

/** Run before the command: says in the end what the process has taken. */
const REPORT = `import { writeSync } from "node:fs";
process.on("exit", () => writeSync(3, JSON.stringify(process.resourceUsage())));`;
const COMMAND = join(import.meta.dirname, "../../dist/cli/main.js");

interface Usage {
  readonly seconds: number;
  readonly megabytes: number;
}

function* chunks(lines: Lines): Generator<string> {
  let text = "";
  for (const line of lines) {
    text += `${line}\n`;
    if (text.length < 1 << 16) continue;
    yield text;
    text = "";
  }
  yield text;
}

const send = (lines: Lines, to: Writable) => pipeline(Readable.from(chunks(lines)), to);

/** What the command takes; null where it was given up, or did not end by itself. */
async function run(args: readonly string[], input: Lines, directory: string): Promise<Usage | null> {
  const usage = `data:text/javascript,${encodeURIComponent(REPORT)}`;
  const node = [process.execPath, "--import", usage, COMMAND, ...args];
  const child = spawn("sh", ["-c", `ulimit -t ${MOST}; exec "$@"`, "sh", ...node], {
    cwd: directory,
    stdio: ["pipe", "ignore", "ignore", "pipe"],
  });
  const ended = once(child, "close");
  let said = "";
  (child.stdio[3] as Readable).setEncoding("utf8").on("data", (text) => {
    said += text;
  });
  // A process that ends early takes no more.
  await send(input, child.stdin!).catch(() => {});
  await ended;
  if (said === "") return null;
  const { userCPUTime, systemCPUTime, maxRSS } = JSON.parse(said) as NodeJS.ResourceUsage;
  return { seconds: (userCPUTime + systemCPUTime) / 1e6, megabytes: maxRSS / 1000 };
}

async function measure(kind: string, n: number, limit: readonly string[], directory: string) {
  const pair = PAIRS[kind];
  if (pair === undefined)
    return run(["replay", "-", "--threads", "1", ...limit], KINDS[kind]!(n, "memory.raw"), directory);
  for (const [i, lines] of pair(n).entries()) {
    const file = join(directory, `${i}.ndjson`);
    await send(lines, createWriteStream(file));
  }
  return run(["diff", "0.ndjson", "1.ndjson", ...limit], [], directory);
}

const text = (usage: Usage | null) =>
  usage === null
    ? `> ${MOST} s`.padStart(15)
    : `${usage.seconds.toFixed(2)} s ${usage.megabytes.toFixed(0).padStart(4)} MB`.padStart(15);

function exponent(usages: readonly (Usage | null)[], start: Usage): string {
  const [before, last] = usages.slice(-2).map((usage) => (usage?.seconds ?? Number.NaN) - start.seconds);
  return before! > NOISE && last! > NOISE ? Math.log10(last! / before!).toFixed(2) : "-";
}

const known = [...Object.keys(KINDS), ...Object.keys(PAIRS)];
const { values, positionals } = toolArguments(
  USAGE,
  {
    largest: { type: "string", default: `${SIZES.at(-1)}` },
    "memory-limit": { type: "string", default: "64M" },
  },
  ({ largest }, kinds) => {
    if (countOf("--largest", largest) < SIZES[0]!)
      throw new UsageError(`--largest: expected at least ${SIZES[0]}, found ${largest}`);
    const stranger = kinds.find((kind) => !known.includes(kind));
    if (stranger !== undefined) throw new UsageError(`expected ${known.join(", ")}, found ${stranger}`);
  },
);
const kinds = positionals.length === 0 ? known : positionals;
const limit = values["memory-limit"];
const directory = mkdtempSync(join(tmpdir(), "pasid-complexity-"));
writeFileSync(join(directory, "memory.raw"), Buffer.alloc(8192));
try {
  const start = (await run(["replay", "-"], ['{"type":"mark"}'], directory))!;
  const sizes = SIZES.filter((n) => n <= Number(values.largest));
  console.log(`limit ${limit}; start-up ${text(start)}`);
  console.log(
    ["kind".padEnd(20), ...sizes.map((n) => `${n}`.padStart(15)), " default", " exponent"].join(" "),
  );
  for (const kind of kinds) {
    const usages: (Usage | null)[] = [];
    for (const n of sizes) {
      usages.push(await measure(kind, n, ["--memory-limit", limit], directory));
      if ((usages.at(-1)?.seconds ?? MOST) > LONG) break;
    }
    const plenty = await measure(kind, sizes[usages.length - 1]!, [], directory);
    const cells = [...usages.map(text), ...Array(sizes.length - usages.length).fill("-".padStart(15))];
    const most = plenty === null ? "-" : `${plenty.megabytes.toFixed(0)} MB`;
    console.log([kind.padEnd(20), ...cells, most.padStart(8), exponent(usages, start).padStart(9)].join(" "));
  }
} finally {
  rmSync(directory, { recursive: true });
}
