import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SOURCES = [
  "cli",
  "pipeline",
  "parsers",
  "walkers",
  "package.json",
  "tsconfig.json",
  "tsconfig.build.json",
];
const PRODUCT = join(ROOT, "dist/cli/main.js");
/** Test files that run the built package. */
const NEED_BUILD = /cli|library|readme|report/;

/** Builds the package before tests that run it as a user does, unless it is newer than all of its sources. */
export default function setup(): void {
  const files = process.argv.slice(2).filter((word) => word.endsWith(".ts"));
  if (files.length > 0 && !files.some((file) => NEED_BUILD.test(file))) return;
  const built = statSync(PRODUCT, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (SOURCES.every((source) => newest(join(ROOT, source)) < built)) return;
  try {
    execFileSync("npm", ["run", "--silent", "build"], { cwd: ROOT, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    throw new Error(`npm run build failed:\n${(error as { stdout: string }).stdout}`);
  }
}

function newest(path: string): number {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}
