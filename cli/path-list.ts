import { readFileSync } from "node:fs";
import { CliError, reasonOf } from "./errors.ts";

const STDIN = 0;

/**
 * The paths that a file lists, one a line.
 * @param file "-" for standard input
 * @throws CliError where it cannot be read
 */
export function listedPaths(option: string, file: string): string[] {
  try {
    return readFileSync(file === "-" ? STDIN : file, "utf8")
      .split(/\r?\n/)
      .filter((line) => line !== "");
  } catch (error) {
    throw new CliError(`${option}: ${file}: expected a list of paths, found ${reasonOf(error)}`);
  }
}
