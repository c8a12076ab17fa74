import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parse } from "acorn";
import { expect, test } from "vitest";
import { CLI, ended, ROOT, start } from "./support/cli.ts";

const { engines } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

/** The command as a Node of that version has it start. */
function startedBy(version: string) {
  const versions = `Object.defineProperty(process,"versions",{value:{...process.versions,node:"${version}"}})`;
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(versions)}`;
  return ended(start(["--version"], { env: { ...process.env, NODE_OPTIONS } }));
}

test("what starts the command has nothing that Node 14 cannot read", () => {
  const read = (code: string) =>
    parse(code, { ecmaVersion: 2020, sourceType: "script", allowHashBang: true });
  const main = readFileSync(CLI, "utf8");
  const atOnce = [...main.matchAll(/= ?require\("(\.\/[\w-]+\.js)"\)/g)].map(([, path]) => path!);
  expect(atOnce).toContain("./load.js");
  for (const code of [main, ...atOnce.map((path) => readFileSync(join(dirname(CLI), path), "utf8"))])
    expect(() => read(code)).not.toThrow();
  // It would, had it something newer.
  expect(() => read("class A { #a }")).toThrow();
});

test.each(["18.20.8", "20.18.3", "9.11.2"])("Node %s is told what is needed", async (version) => {
  const needed = engines.node.replace(">=", "");
  expect(await startedBy(version)).toMatchObject({
    status: 2,
    stdout: "",
    stderr: `pasid-replay needs Node ${needed} or later; this is ${version}\n`,
  });
});

test.each(["20.19.0", "22.0.0", "100.1.0"])("Node %s runs it", async (version) => {
  expect(await startedBy(version)).toMatchObject({ status: 0, stderr: "" });
});
