/** Whole runs of commands: processor time, how long they take, and their peak memory. */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const CLI = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const TIME = "/usr/bin/time";

export interface Contender {
  readonly name: string;
  readonly command: readonly string[];
  /** Of each run: user and system time where it is known, else as `wall`. */
  readonly seconds: number[];
  readonly wall: number[];
  readonly kilobytes: number[];
  /** What it is compared by with others. */
  readonly counts: "seconds" | "wall";
}

/** @param program the built command by default */
export function contender(
  name: string,
  args: readonly string[],
  program: readonly string[] = [process.execPath, CLI],
): Contender {
  return { name, command: [...program, ...args], seconds: [], wall: [], kilobytes: [], counts: "seconds" };
}

/** Runs a command once, its output into a file. @param lawful exit statuses of a run that did what it was to do */
export function measure(c: Contender, folder: string, lawful: readonly number[] = [0]): void {
  const report = join(folder, "time");
  const timed = existsSync(TIME)
    ? [TIME, "-q", "-f", "%U %S %M", "-o", report, ...c.command]
    : [...c.command];
  const out = openSync(join(folder, "out.ndjson"), "w");
  const started = performance.now();
  const ran = spawnSync(timed[0]!, timed.slice(1), { stdio: ["ignore", out, "inherit"] });
  const wall = (performance.now() - started) / 1000;
  closeSync(out);
  if (!lawful.includes(ran.status ?? -1)) throw new Error(`${c.command.join(" ")} exits with ${ran.status}`);
  const [user, system, kilobytes] = existsSync(TIME)
    ? readFileSync(report, "utf8").trim().split(" ").map(Number)
    : [wall, 0, Number.NaN];
  c.wall.push(wall);
  c.seconds.push(user! + system!);
  if (!Number.isNaN(kilobytes)) c.kilobytes.push(kilobytes!);
}

/** Whether a program can be run. */
export function isInstalled(program: string): boolean {
  return spawnSync(program, ["--version"]).status === 0;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** A row of a table: times, records in a second, memory, and how many times as fast as each yardstick, by what counts. */
export function row(c: Contender, lines: number, yardsticks: readonly Contender[]): string {
  const seconds = median(c.seconds);
  const cells = [
    c.name.padEnd(26),
    `${seconds.toFixed(2)} s CPU`.padStart(11),
    `${median(c.wall).toFixed(2)} s`.padStart(9),
    `${Math.round(lines / seconds).toLocaleString("en")} /s`.padStart(15),
    c.kilobytes.length > 0 ? `${(median(c.kilobytes) / 1024).toFixed(0)} MiB`.padStart(9) : "",
  ];
  for (const other of yardsticks)
    if (other !== c)
      cells.push(`${(median(other[c.counts]) / median(c[c.counts])).toFixed(2)} x ${other.name}`);
  return cells.join("  ");
}
