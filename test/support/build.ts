import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
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
/** The batch machine, which the product's modules import. */
const MACHINE = join(ROOT, "parsers/trace/batch/built.ts");
/** What test files import that run the built package, or look at it. */
const NEEDS_BUILD = "/support/cli.ts";

/** Builds the package before tests that run it as a user does, unless it is newer than all of its sources. */
export default function setup(): void {
  if (newest(MACHINE) < newest(join(ROOT, "parsers/trace/batch/assembly"))) npm("build:batch");
  const files = process.argv.slice(2).filter((word) => word.endsWith(".ts"));
  if (files.length > 0 && !files.some(needsBuild)) return;
  const built = statSync(PRODUCT, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (SOURCES.every((source) => newest(join(ROOT, source)) < built)) return;
  npm("build");
}

function needsBuild(file: string): boolean {
  return !existsSync(file) || readFileSync(file, "utf8").includes(NEEDS_BUILD);
}

function npm(script: string): void {
  try {
    execFileSync("npm", ["run", "--silent", script], { cwd: ROOT, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    throw new Error(`npm run ${script} failed:\n${(error as { stdout: string }).stdout}`);
  }
}

/** When a file, or the newest below a folder, was changed; 0 where there is none. */
function newest(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}
