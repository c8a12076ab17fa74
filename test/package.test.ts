import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";
import { compilerOptions, RESOLUTIONS } from "./package/compiler-options.ts";
import { ROOT } from "./support/cli.ts";

/** Where a module of the build names what it loads and is not its own: at the end of a statement, or in a call. */
const LOADED = /(?:^(?:import|export|\}).* from |\b(?:import|require)\()"([^."/][^"]*)"/gm;

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

test("an installation takes the packages that it loads, and no others: the command brings its own", () => {
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const loaded = new Set<string>();
  for (const { name, parentPath } of readdirSync(join(ROOT, "dist"), {
    recursive: true,
    withFileTypes: true,
  })) {
    // Not what runs in a browser.
    if (!name.endsWith(".js") || parentPath.endsWith("report-page")) continue;
    const text = readFileSync(join(parentPath, name), "utf8");
    for (const [, specifier] of text.matchAll(LOADED))
      if (!isBuiltin(specifier!)) loaded.add(/^(?:@[^/]+\/)?[^/]+/.exec(specifier!)![0]);
  }
  expect([...loaded].sort()).toEqual(Object.keys(dependencies).sort());
});
