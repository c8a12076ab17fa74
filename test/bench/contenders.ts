/** Whole runs of commands: how long they take, and their peak memory. */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const CLI = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const TIME = "/usr/bin/time";

export interface Contender {
  readonly name: string;
  readonly command: readonly string[];
  readonly seconds: number[];
  readonly kilobytes: number[];
}

/** @param program the built command by default */
export function contender(
  name: string,
  args: readonly string[],
  program: readonly string[] = [process.execPath, CLI],
): Contender {
  return { name, command: [...program, ...args], seconds: [], kilobytes: [] };
}

/** Runs a command once, its output into a file, and notes how long it took and its peak memory. */
export function measure(c: Contender, folder: string): void {
  const report = join(folder, "time");
  const timed = existsSync(TIME) ? [TIME, "-f", "%M", "-o", report, ...c.command] : [...c.command];
  const out = openSync(join(folder, "out.ndjson"), "w");
  const started = performance.now();
  const ran = spawnSync(timed[0]!, timed.slice(1), { stdio: ["ignore", out, "inherit"] });
  c.seconds.push((performance.now() - started) / 1000);
  closeSync(out);
  if (ran.status !== 0) throw new Error(`${c.command.join(" ")} exits with ${ran.status}`);
  if (existsSync(TIME)) c.kilobytes.push(Number(readFileSync(report, "utf8")));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
