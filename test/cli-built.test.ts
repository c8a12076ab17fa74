/** The files that the command is built into, and the code of V8 beside them. */
import { spawn } from "node:child_process";
import { cpSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { cli, ended, FIXTURE, ROOT, temporaryFolder } from "./support/cli.ts";

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

it.concurrent("of another version, or cut, that code is left alone", async () => {
  const intact = await cli([FIXTURE]);
  expect(intact).toMatchObject({ status: 0, stderr: "" });
  const changes: Readonly<Record<string, (path: string) => void>> = {
    version: (path) => {
      const bytes = readFileSync(path);
      // The second word is a hash of V8's version (V8, src/snapshot/code-serializer.h, SerializedCodeData).
      bytes.writeUInt32LE(bytes.readUInt32LE(4) ^ 0xffff, 4);
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

it("the command line loads neither walkers nor logs", () => {
  const declares = (file: string, name: string) =>
    readFileSync(join(BUILT, file), "utf8").includes(`${name}=class`);
  for (const name of ["VtdWalker", "Replay", "TraceMemory"]) {
    expect(declares("command-line.js", name), name).toBe(false);
    expect(declares("replaying.js", name), name).toBe(true);
  }
});
