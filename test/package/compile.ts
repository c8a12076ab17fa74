/**
 * Compiles a program against the package as it is published, with several TypeScripts, all declarations checked:
 *
 *     npx tsx test/package/compile.ts 5.4 5.9 6 7
 */
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compilerOptions, RESOLUTIONS } from "./compiler-options.ts";

const versions = process.argv.slice(2);
if (versions.length === 0) throw new Error("expected versions of TypeScript, found none");
const { devDependencies } = JSON.parse(readFileSync("package.json", "utf8"));

const folder = mkdtempSync(join(tmpdir(), "pasid-replay-package-"));
const npm = (cwd: string, ...args: string[]) =>
  execFileSync("npm", [...args, "--silent", "--no-audit", "--no-fund"], { cwd, encoding: "utf8" }).trim();
try {
  const packed = npm(".", "pack", "--ignore-scripts", "--pack-destination", folder);
  const program = join(folder, "program");
  mkdirSync(program);
  writeFileSync(join(program, "package.json"), '{ "type": "module", "private": true }');
  npm(program, "install", join(folder, packed), `@types/node@${devDependencies["@types/node"]}`);
  copyFileSync("test/package/consumer.ts", join(program, "consumer.ts"));
  for (const version of versions) {
    const compiler = join(folder, `typescript-${version}`);
    mkdirSync(compiler);
    npm(compiler, "install", "--prefix", compiler, `typescript@${version}`);
    const tsc = join(compiler, "node_modules/.bin/tsc");
    const exact = execFileSync(tsc, ["--version"], { encoding: "utf8" }).trim();
    for (const resolution of RESOLUTIONS) {
      const { status } = spawnSync(tsc, [...compilerOptions(resolution), "consumer.ts"], {
        cwd: program,
        stdio: "inherit",
      });
      console.log(`${exact}, ${resolution}: ${status === 0 ? "compiles" : "does not compile"}`);
      if (status !== 0) process.exitCode = 1;
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
