/** The files that the command is built into, and the code of V8 beside them. */
import { spawn } from "node:child_process";
import { cpSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { cli, ended, FIXTURE, ROOT, run, temporaryFolder } from "./support/cli.ts";

const folder = temporaryFolder();
const BUILT = join(ROOT, "dist/cli");

/** A copy of the package, with the files of V8 code changed. */
function changed(name: string, change: (path: string) => void): string {
  const root = join(folder, name);
  const copy = join(root, "dist/cli");
  cpSync(BUILT, copy, { recursive: true });
  cpSync(join(ROOT, "package.json"), join(root, "package.json"));
  const kept = readdirSync(copy).filter((file) => file.endsWith(".code"));
  expect(kept).toContain("replaying.js.code");
  for (const file of kept) change(join(copy, file));
  return join(copy, "main.js");
}

it.concurrent("of another Node, or cut, that code is left alone", async () => {
  const intact = await run([FIXTURE]);
  expect(intact).toMatchObject({ status: 0, stderr: "" });
  const changes: Readonly<Record<string, (path: string) => void>> = {
    // What V8 itself would take: it ends in a segmentation fault where another build of Node 20 has made it.
    "another Node": (path) => {
      const bytes = readFileSync(path);
      const at = bytes.indexOf(`"node":"${process.versions.node}"`);
      expect(at).toBeGreaterThan(0);
      bytes.write("9", at + '"node":"'.length);
      // Were it taken, this would be seen.
      bytes.fill(0xff, bytes.indexOf("\n") + 64);
      writeFileSync(path, bytes);
    },
    cut: (path) => truncateSync(path, 100),
    empty: (path) => truncateSync(path, 0),
    text: (path) => writeFileSync(path, "not code"),
  };
  for (const [name, change] of Object.entries(changes)) {
    const main = changed(name, change);
    const child = spawn(main, [FIXTURE], { cwd: ROOT });
    child.stdin.end();
    expect(await ended(child), name).toEqual(intact);
  }
});

/** A command line of each command that no other test runs with input: those that have none are not given a process. */
const OF_EACH = [
  ["walk", FIXTURE, "--line", "10"],
  ["inspect", FIXTURE, "--maps"],
  ["report", FIXTURE, "--format", "md"],
  ["merge", "no such file"],
  ["explain", "samples/logs/linux-7.2-vtd-tables.log.gz"],
  ["decode", "vtd", "0x50022", "0"],
  ["caps", "samples/bind/sysfs"],
  ["rules"],
  ["schema", "output"],
  ["completion", "bash"],
  ["help", "walk"],
  ["man", "replay"],
  ["replya"],
];
it.concurrent.each(OF_EACH)("%s ends, and in a process says the same as without", async (...words) => {
  expect(await run(words)).toEqual(await cli(words));
});

it("the command line loads neither walkers nor logs", () => {
  const declares = (file: string, name: string) =>
    readFileSync(join(BUILT, file), "utf8").includes(`${name}=class`);
  for (const name of ["VtdWalker", "Replay", "TraceMemory"]) {
    expect(declares("command-line.js", name), name).toBe(false);
    expect(declares("replaying.js", name), name).toBe(true);
  }
});
