import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Contender, contender, measure, median } from "./contenders.ts";
import { KINDS, writeTrace } from "./traces.ts";

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
    const lines = writeTrace(trace, KINDS.narrow(requests, 1));
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
