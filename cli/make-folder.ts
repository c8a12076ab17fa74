import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { systemCode } from "./errors.ts";

/**
 * Makes a folder, and those that it lies in. `mkdirSync` with `recursive` tries for ever where a file system takes no folders
 * and says that there is none (/proc).
 * @returns the first that was made; undefined: it was there
 * @throws the system's error
 */
export function makeFolder(path: string): string | undefined {
  try {
    mkdirSync(path);
    return path;
  } catch (error) {
    const code = systemCode(error);
    const parent = dirname(resolve(path));
    if (code === "EEXIST" && statSync(path).isDirectory()) return undefined;
    if (code !== "ENOENT" || existsSync(parent)) throw error;
    const first = makeFolder(parent);
    mkdirSync(path);
    return first;
  }
}
