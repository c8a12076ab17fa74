import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";
import { compilerOptions, RESOLUTIONS } from "./package/compiler-options.ts";
import { ROOT } from "./support/cli.ts";

// Other TypeScripts are for test/package/compile.ts.
test.each(RESOLUTIONS)("a program compiles against all declarations, by %s", (resolution) => {
  // A program that names its files is to say that it does not mind a configuration that lies about.
  const args = [...compilerOptions(resolution), "--ignoreConfig", "test/package/consumer.ts"];
  const { stdout, status } = spawnSync(join(ROOT, "node_modules/.bin/tsc"), args, {
    cwd: ROOT,
    encoding: "utf8",
  });
  expect(stdout).toBe("");
  expect(status).toBe(0);
});

test("the links of its documents lead to files that are in the package", () => {
  const args = ["pack", "--dry-run", "--json", "--ignore-scripts"];
  const [{ files }] = JSON.parse(execFileSync("npm", args, { cwd: ROOT, encoding: "utf8" }));
  const packed = new Set<string>(files.map(({ path }: { path: string }) => path));
  const folders = new Set([...packed].flatMap((path) => [dirname(path), `${dirname(path)}/`]));
  const documents = [...packed].filter((path) => path.endsWith(".md"));
  expect(documents).toEqual(expect.arrayContaining(["README.md", "CHANGELOG.md", "docs/trace-format.md"]));
  const missing = documents.flatMap((document) =>
    [...readFileSync(join(ROOT, document), "utf8").matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map(([, link]) => link!)
      .filter((link) => !/^\w+:/.test(link))
      .map((link) => normalize(join(dirname(document), link)))
      .filter((path) => !packed.has(path) && !folders.has(path))
      .map((path) => `${document}: ${path}`),
  );
  expect(missing).toEqual([]);
});
