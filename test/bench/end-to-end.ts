import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Contender, contender, isInstalled, measure, median, row } from "./contenders.ts";
import { KINDS, type TraceKind, writeTrace } from "./traces.ts";

const NEAR_LIMIT = fileURLToPath(new URL("near-limit.c", import.meta.url));
const LIBRARY = fileURLToPath(new URL("../../dist/pipeline/library/index.js", import.meta.url));
/** Reads all records that a replay gives as objects. */
const READ_ALL = `import { replay } from ${JSON.stringify(LIBRARY)};
let records = 0; for await (const _ of replay(process.argv[1])) records++; console.log(records);`;
/** `diff` found differences, or none. */
const COMPARED = [0, 1];

export interface EndToEndOptions {
  /** Requests of a trace; lines of one of a DMA API. */
  readonly requests: number;
  /** Runs of each command; the medians count. */
  readonly rounds: number;
}

/**
 * Whole runs of the built command, with `jq -c .` and a near-limit in C on the same files in the same turns, so that
 * whatever else the machine does falls on all of them alike: what counts is the ratio of their processor times.
 */
export function endToEnd({ requests, rounds }: EndToEndOptions): void {
  inFolder((folder) => {
    const limit = nearLimit(folder);
    for (const kind of Object.keys(KINDS) as TraceKind[]) {
      const trace = join(folder, `${kind}.ndjson`);
      const lines = writeTrace(trace, KINDS[kind](requests, 1));
      const replays = byThreads(trace);
      if (kind === "narrow")
        replays.push(
          contender("replay --no-caches", [trace, "--no-caches", "--threads", "1"]),
          contender("replay --stats-only", [trace, "--stats-only", "--threads", "1"]),
        );
      if (kind === "wide") replays.push(contender("library, replay", ["-e", READ_ALL, trace], MODULE));
      const yardsticks = yardsticksOf(trace, limit);
      run(
        `${kind}: ${described(trace, lines)}`,
        [...replays, ...yardsticks],
        yardsticks,
        lines,
        rounds,
        folder,
      );
      if (kind === "wide") compare(trace, join(folder, "other.ndjson"), requests, rounds, folder);
    }
    if (!isInstalled("jq")) console.log("jq is not installed: nothing to compare with");
  });
}

const MODULE = [process.execPath, "--input-type=module"];

/** `diff` of two traces of as many requests for other pages, beside jq on both. */
function compare(trace: string, other: string, requests: number, rounds: number, folder: string): void {
  const lines = writeTrace(other, KINDS.wide(requests, 2));
  const jq = isInstalled("jq") ? [contender("jq -c .", ["-c", ".", trace, other], ["jq"])] : [];
  const diff = contender("diff --summary", ["diff", trace, other, "--summary"]);
  run(`diff of two: ${described(other, lines)} each`, [diff, ...jq], jq, 2 * lines, rounds, folder, COMPARED);
}

/** A replay by one thread, whose processor time counts, and by two: of those it is how long they take. */
function byThreads(trace: string): Contender[] {
  return [
    contender("replay --threads 1", [trace, "--threads", "1"]),
    { ...contender("replay --threads 2", [trace, "--threads", "2"]), counts: "wall" },
  ];
}

/** Peak memory, by the number of requests: it must not grow with it. */
export function memoryByLength({ requests }: Pick<EndToEndOptions, "requests">): void {
  inFolder((folder) => {
    const limit = nearLimit(folder);
    console.log(`\npeak memory: ${requests} requests, and ten times as many; one round`);
    for (const kind of Object.keys(KINDS) as TraceKind[]) {
      const trace = join(folder, "trace.ndjson");
      const peaks = [requests, 10 * requests].map((size) => {
        writeTrace(trace, KINDS[kind](size, 1));
        const yardsticks = yardsticksOf(trace, limit);
        const replays = byThreads(trace);
        for (const c of [...replays, ...yardsticks]) measure(c, folder);
        return replays.map((c) => row(c, size, yardsticks));
      });
      for (const line of peaks.flat()) console.log(`${kind.padEnd(8)} ${line}`);
    }
  });
}

/** A trace of one request: all that a run costs besides. */
export function startUp({ rounds }: Pick<EndToEndOptions, "rounds">): void {
  inFolder((folder) => {
    const trace = join(folder, "one.ndjson");
    writeTrace(trace, KINDS["dma-api"](1, 1));
    const node = contender("node -e 0", ["-e", "0"], [process.execPath]);
    const replay = contender("replay", [trace]);
    // More of them: each is short.
    for (let round = 0; round < 4 * rounds; round++) for (const c of [replay, node]) measure(c, folder);
    const milliseconds = (c: Contender) =>
      `${(median(c.wall) * 1000).toFixed(0)} ms (${(median(c.seconds) * 1000).toFixed(0)} ms CPU)`;
    console.log(`\nstart-up: one request ${milliseconds(replay)}; ${node.name} ${milliseconds(node)}`);
  });
}

function run(
  title: string,
  contenders: readonly Contender[],
  yardsticks: readonly Contender[],
  lines: number,
  rounds: number,
  folder: string,
  lawful?: readonly number[],
): void {
  console.log(`\n${title}; median of ${rounds} rounds`);
  for (let round = 0; round < rounds; round++) for (const c of contenders) measure(c, folder, lawful);
  for (const c of contenders) console.log(row(c, lines, yardsticks));
}

function yardsticksOf(trace: string, limit: string | null): Contender[] {
  const jq = isInstalled("jq") ? [contender("jq -c .", ["-c", ".", trace], ["jq"])] : [];
  return limit === null ? jq : [...jq, contender("near-limit.c", [trace], [limit])];
}

/** @returns the compiled program; null where there is no compiler */
function nearLimit(folder: string): string | null {
  const program = join(folder, "near-limit");
  const flags = ["-O3", "-march=native"];
  const compiled = spawnSync("cc", [...flags, NEAR_LIMIT, "-o", program], { encoding: "utf8" });
  if (compiled.error !== undefined) return null;
  if (compiled.status !== 0) throw new Error(compiled.stderr);
  return program;
}

function described(trace: string, lines: number): string {
  return `${lines.toLocaleString("en")} lines, ${(statSync(trace).size / 1e6).toFixed(0)} MB`;
}

function inFolder(work: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "pasid-replay-bench-"));
  try {
    work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
