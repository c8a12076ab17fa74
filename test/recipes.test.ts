import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, expect, test } from "vitest";
import { CLI, ROOT, temporaryFolder } from "./support/cli.ts";

const RECIPES = readFileSync(join(ROOT, "docs/recipes.md"), "utf8");

interface Recipe {
  readonly title: string;
  /** Program, and a module of it. */
  readonly needs: readonly string[];
  readonly script: string;
  readonly output: string;
}

/** The scripts of the document, each with what it is said to print. */
const recipes = [...RECIPES.matchAll(/```sh (.*)\n([\s\S]*?)```\n\n```text\n([\s\S]*?)```/g)].map(
  ([, needs, script, output]): Recipe => ({
    title: script!.split("\n").find((line) => !line.startsWith("pasid-replay")) ?? "",
    needs: needs!.split(" "),
    script: script!,
    output: output!,
  }),
);

const folder = temporaryFolder();
const bin = join(folder, "bin");
mkdirSync(bin);
symlinkSync(CLI, join(bin, "pasid-replay"));
symlinkSync(join(ROOT, "samples"), join(folder, "samples"));

/** What of a recipe is not on this machine; "" where all is. */
function missing([program, module]: readonly string[]): string {
  if (spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0) return program!;
  if (module === undefined) return "";
  return spawnSync(program!, ["-c", `import ${module}`]).status === 0 ? "" : module;
}

describe("the recipes", () => {
  test("are there, one for each program at least", () => {
    const programs = new Set(recipes.map(({ needs }) => needs.at(-1)));
    expect(programs).toEqual(new Set(["jq", "sqlite3", "duckdb", "pandas"]));
    expect(recipes).toHaveLength(RECIPES.match(/```sh/g)!.length);
  });

  for (const { needs, title, script, output } of recipes) {
    const lacking = missing(needs);
    // What is not there is said: a recipe that nobody runs is a promise.
    const name =
      lacking === "" ? `${needs.join(" ")}: ${title}` : `${needs.join(" ")}: skipped, no ${lacking} here`;
    test.skipIf(lacking !== "")(name, () => {
      const printed = execFileSync("bash", ["-u", "-c", script], {
        cwd: folder,
        env: { ...process.env, LC_ALL: "C", PATH: `${bin}${delimiter}${process.env.PATH}` },
        encoding: "utf8",
      });
      expect(printed).toBe(output);
    });
  }
});
