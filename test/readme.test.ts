import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type OutputRecord, replay } from "../pipeline/library/index.ts";
import { TABLE_MODELS } from "../walkers/models.ts";
import { cli, ROOT } from "./support/cli.ts";

const README = readFileSync(join(ROOT, "README.md"), "utf8");

interface Example {
  readonly command: string;
  readonly output: readonly string[];
}

/** The `$ pasid-replay …` lines of the README's console blocks, each with what it is said to print. */
function examples(): Example[] {
  const found: Example[] = [];
  for (const [, block] of README.matchAll(/```console\n([\s\S]*?)```/g)) {
    let current: { command: string; output: string[] } | undefined;
    for (const line of block!.trimEnd().split("\n")) {
      if (line.startsWith("$ ")) {
        current = { command: line.slice(2), output: [] };
        found.push(current);
      } else current?.output.push(line);
    }
  }
  return found;
}

/** Words of a command, quotes as a shell takes them; only what the README uses. */
function words(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2] ?? m[3]!);
}

/** Whether lines are as shown; "…" stands for any number of lines. */
function matches(shown: readonly string[], printed: readonly string[]): boolean {
  if (shown.length === 0) return printed.length === 0;
  const [first, ...rest] = shown;
  if (first !== "…") return printed[0] === first && matches(rest, printed.slice(1));
  for (let skip = 0; skip <= printed.length; skip++) if (matches(rest, printed.slice(skip))) return true;
  return false;
}

describe("README", () => {
  test.each(examples().map((e) => [e.command, e] as const))("%s prints what it says", async (_, example) => {
    const [command, ...pipes] = example.command.split(" | ");
    const [name, ...args] = words(command!);
    expect(name).toBe("pasid-replay");
    const ran = await cli(args);
    expect(ran.stderr).toBe("");
    let printed = ran.stdout.trimEnd().split("\n");
    for (const pipe of pipes) {
      const head = /^head -n (\d+)$/.exec(pipe);
      expect(head, `pipe ${pipe}`).not.toBeNull();
      printed = printed.slice(0, Number(head![1]));
    }
    if (!matches(example.output, printed)) expect(printed.join("\n")).toBe(example.output.join("\n"));
  });

  test("shows a trace that replays as it was recorded", async () => {
    const [, trace] = /```json\n(\{"type":"header"[\s\S]*?)```/.exec(README)!;
    const records: OutputRecord[] = [];
    for await (const record of replay(Buffer.from(trace!))) records.push(record);
    expect(records.filter((record) => record.type === "finding" || record.type === "error")).toEqual([]);
    expect(records[0]).toMatchObject({ type: "outcome", result: "ok", page: 2 ** 30, verdict: "match" });
  });

  test("has an example of some length", () => {
    expect(examples().length).toBeGreaterThan(4);
  });

  test("names every command", async () => {
    const help = (await cli(["--help"])).stdout;
    const commands = [...help.matchAll(/^ {2}pasid-replay (\w+)/gm)].map((m) => m[1]!);
    expect(commands.length).toBeGreaterThan(6);
    for (const command of commands)
      expect(README, command).toMatch(new RegExp(`(pasid-replay |\`)${command}\\b`));
  });

  test("names every table model", () => {
    for (const model of TABLE_MODELS) expect(README).toContain(`\`${model}\``);
  });

  test("names only files that are there", () => {
    for (const [path] of README.matchAll(/samples\/[\w./-]+\w/g))
      expect(existsSync(join(ROOT, path)), path).toBe(true);
  });
});
