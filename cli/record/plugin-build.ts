import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { packagePath } from "../../parsers/package-files.ts";
import { CliError, reasonOf } from "../errors.ts";
import { makeFolder } from "../make-folder.ts";

/** Versions of QEMU's plugin interface that the plugin is built for: QEMU 9.2 to 11.0, and since 11.1. */
export const PLUGIN_APIS = [7, 4] as const;
export type PluginApi = (typeof PLUGIN_APIS)[number];

const SOURCE = "parsers/qemu/plugin/stores.c";
const SOURCES = [SOURCE, "parsers/qemu/plugin/bulk.h"];
const COMPILE_MS = 60_000;

/**
 * The plugin, compiled for a version of the interface on first use and kept.
 * @returns its path
 * @throws CliError where there is no compiler, or it fails
 */
export function builtPlugin(api: PluginApi): string {
  const source = packagePath(SOURCE);
  const text = SOURCES.map((name) => readFileSync(packagePath(name), "utf8")).join("");
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 12);
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "pasid-replay");
  const path = join(folder, `stores-${api}-${hash}.so`);
  if (existsSync(path)) return path;
  try {
    makeFolder(folder);
  } catch (error) {
    throw new CliError(
      `${folder}: expected a folder to keep the plugin in (XDG_CACHE_HOME), found ${reasonOf(error)}`,
    );
  }
  const compiler = process.env.CC ?? "cc";
  const partial = `${path}.${process.pid}.tmp`;
  const words = ["-O2", "-shared", "-fPIC", `-DPLUGIN_API=${api}`, "-o", partial, source, "-lpthread"];
  const { status, error, stderr } = spawnSync(compiler, words, { encoding: "utf8", timeout: COMPILE_MS });
  if (error !== undefined)
    throw new CliError(
      `${compiler}: expected a C compiler, to build the plugin that records stores (set CC), found ${reasonOf(error)}`,
    );
  if (status !== 0) {
    const found = stderr.trim() || (status === null ? "no end within a minute" : `exit status ${status}`);
    throw new CliError(`${compiler}: expected ${source} to compile, found: ${found}`);
  }
  renameSync(partial, path);
  return path;
}
