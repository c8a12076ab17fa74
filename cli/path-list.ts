import { openInput } from "../parsers/bind/input-file.ts";
import { CliError } from "./errors.ts";
import { textOfInput } from "./input-text.ts";

/** Linux's PATH_MAX: what is longer is no path. */
const LONGEST_PATH = 4096;

/**
 * The paths that a file lists, one a line.
 * @param file "-" for standard input
 * @throws TraceError where it cannot be read, CliError where it holds something else
 */
export async function listedPaths(option: string, file: string): Promise<string[]> {
  const expected = "a list of paths, one a line";
  const text = await textOfInput(await openInput(file, expected), expected);
  const lines = text.split(/\r?\n/);
  const wrong = lines.findIndex((line) => line.includes("\0") || line.length > LONGEST_PATH);
  if (wrong < 0) return lines.filter((line) => line !== "");
  const what = lines[wrong]!.includes("\0")
    ? "a byte that no path has"
    : `more than ${LONGEST_PATH} characters`;
  throw new CliError(`${option}: ${file}: expected ${expected}, found ${what} in line ${wrong + 1}`);
}
