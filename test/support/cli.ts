import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { called } from "./called.ts";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** The built command. */
export const CLI = join(ROOT, "dist/cli/main.js");
export const FIXTURE = join(ROOT, "test/fixtures/vtd-bound.ndjson");

export interface Ran {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/**
 * Runs the built command to its end: in a process of its own where it is given something to read or another environment,
 * else in this one, where it need not start. What a process does beyond its command line is for `start`.
 */
export function cli(args: readonly string[], options?: RunOptions): Promise<Ran> {
  return options === undefined ? called(args) : run(args, options);
}

/** Runs the built command in a process of its own to its end. */
export function run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = start(args, { cwd: options.cwd ?? ROOT, env: { ...process.env, ...options.env } });
  child.stdin!.on("error", () => {});
  child.stdin!.end(options.input ?? "");
  return ended(child);
}

/** Starts the built command with pipes. */
export function start(args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  return spawn(CLI, args, { stdio: ["pipe", "pipe", "pipe"], ...options });
}

/** Collects what a command writes until it ends. */
export function ended(child: ChildProcess): Promise<Ran> {
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
}

/** The records of NDJSON output; throws where a line is not whole. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into records of all types
export function records(stdout: string): any[] {
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

/** A folder that is removed after the tests of this file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "pasid-replay-test-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
