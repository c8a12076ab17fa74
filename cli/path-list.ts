import { closeSync, openSync, readSync } from "node:fs";
import { CliError, reasonOf } from "./errors.ts";

const STDIN = 0;
/** Linux's PATH_MAX: what is longer is no path. */
const LONGEST_PATH = 4096;
/** Much more than the paths of a million traces. */
const MOST_BYTES = 2 ** 28;
const CHUNK_BYTES = 2 ** 16;

/**
 * The paths that a file lists, one a line.
 * @param file "-" for standard input
 * @throws CliError where it cannot be read, or holds something else
 */
export function listedPaths(option: string, file: string): string[] {
  const refused = (found: string) =>
    new CliError(`${option}: ${file}: expected a list of paths, one a line, found ${found}`);
  let text: string;
  try {
    text = boundedText(file);
  } catch (error) {
    throw refused(reasonOf(error));
  }
  const lines = text.split(/\r?\n/);
  const wrong = lines.findIndex((line) => line.includes("\0") || line.length > LONGEST_PATH);
  if (wrong >= 0) {
    const what = lines[wrong]!.includes("\0")
      ? "a byte that no path has"
      : `more than ${LONGEST_PATH} characters`;
    throw refused(`${what} in line ${wrong + 1}`);
  }
  return lines.filter((line) => line !== "");
}

/** The text of a file, as long as it may be one of paths. */
function boundedText(file: string): string {
  const fd = file === "-" ? STDIN : openSync(file, "r");
  try {
    const chunks: Buffer[] = [];
    for (let length = 0, n = 1; n > 0; length += n) {
      const chunk = Buffer.alloc(CHUNK_BYTES);
      n = readSync(fd, chunk, 0, CHUNK_BYTES, null);
      chunks.push(chunk.subarray(0, n));
      if (chunk[0] === 0 && n > 0) break;
      if (length > MOST_BYTES) throw new Error(`more than ${MOST_BYTES} bytes`);
    }
    return Buffer.concat(chunks).toString("utf8");
  } finally {
    if (fd !== STDIN) closeSync(fd);
  }
}
