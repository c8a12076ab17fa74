import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { syntheticTrace } from "../support/trace-generator.ts";
import { type Contender, contender, measure, median } from "./contenders.ts";

export interface EndToEndOptions {
  readonly requests: number;
  /** Runs of each command; the medians count. */
  readonly rounds: number;
}

/**
 * Whole runs of the built command on a synthetic trace, and `jq -c .` on the same file for comparison, in turns, so
 * that whatever else the machine does falls on all of them alike.
 */
export function endToEnd({ requests, rounds }: EndToEndOptions): void {
  const folder = mkdtempSync(join(tmpdir(), "pasid-replay-bench-"));
  try {
    const trace = join(folder, "trace.ndjson");
    const lines = generate(trace, requests);
    const contenders = [
      contender("pasid-replay", [trace]),
      contender("pasid-replay --no-caches", [trace, "--no-caches"]),
      contender("pasid-replay --stats-only", [trace, "--stats-only"]),
    ];
    const jq =
      spawnSync("jq", ["--version"]).status === 0 ? contender("jq -c .", ["-c", ".", trace], ["jq"]) : null;
    if (jq !== null) contenders.push(jq);
    const megabytes = (statSync(trace).size / 1e6).toFixed(0);
    console.log(
      `\nend to end: ${requests} requests, ${lines} lines, ${megabytes} MB; median of ${rounds} rounds`,
    );
    for (let round = 0; round < rounds; round++) for (const c of contenders) measure(c, folder);
    for (const c of contenders) console.log(line(c, lines, jq));
    if (jq === null) console.log("jq is not installed: nothing to compare with");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Writes the trace and returns the number of its lines. */
function generate(path: string, requests: number): number {
  const file = openSync(path, "w");
  let lines = 0;
  for (const piece of syntheticTrace({ requests, seed: 1 })) {
    const bytes = Buffer.from(piece, "latin1");
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    for (const byte of bytes) if (byte === 10) lines++;
  }
  closeSync(file);
  return lines;
}

function line(c: Contender, lines: number, jq: Contender | null): string {
  const seconds = median(c.seconds);
  const cells = [
    c.name.padEnd(26),
    `${seconds.toFixed(2)} s`.padStart(9),
    `${Math.round(lines / seconds).toLocaleString("en")} records/s`.padStart(20),
  ];
  if (c.kilobytes.length > 0) cells.push(`${(median(c.kilobytes) / 1024).toFixed(0)} MiB peak`.padStart(14));
  if (jq !== null && c !== jq) cells.push(`${(median(jq.seconds) / seconds).toFixed(2)} times as fast as jq`);
  return cells.join("  ");
}
