import { statSync } from "node:fs";
import { join } from "node:path";
import { onlyTrace } from "../parsers/recognize.ts";
import { isTraceError } from "../parsers/trace/errors.ts";
import { openTrace } from "../parsers/trace/source.ts";
import { counted } from "../pipeline/words/columns.ts";
import { CliError } from "./errors.ts";
import { say } from "./say.ts";

/** Names of traces and logs, as a folder has them among others. */
const NAMES = "**/*.{ndjson,jsonl,json,log,txt}{,.gz,.zst}";
const PATTERN = /[*?[\]{}]/;

/**
 * The traces that are meant by paths of files, folders (all traces and logs in them, and below) and patterns, in the order
 * of the paths, and of their names.
 * @throws CliError for a folder or a pattern without any
 */
export async function tracePaths(given: readonly string[]): Promise<string[]> {
  const paths: string[] = [];
  for (const path of given) {
    const stat = path === "-" ? undefined : statSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory()) paths.push(...(await tracesIn(path)));
    else if (path === "-" || stat !== undefined || !PATTERN.test(path)) paths.push(path);
    else paths.push(...(await matching(path)));
  }
  return paths;
}

/** A folder has other files, too: what is no trace by its content is left out. */
async function tracesIn(folder: string): Promise<string[]> {
  const names = await globbed(NAMES, folder);
  const traces: string[] = [];
  for (const name of names) {
    const path = join(folder, name);
    if (await isTrace(path)) traces.push(path);
  }
  const left = names.length - traces.length;
  if (left > 0)
    say(
      `${folder}: ${counted(left, "file")} that ${left === 1 ? "is no trace is" : "are no traces are"} left out`,
    );
  if (traces.length === 0) throw new CliError(`${folder}: expected a folder with traces, found none in it`);
  return traces;
}

/** Whether the beginning of a file is one of a trace. What cannot be read is not for us to hide. */
async function isTrace(path: string): Promise<boolean> {
  try {
    const source = await onlyTrace(await openTrace(path));
    await source.close();
    return true;
  } catch (error) {
    return !(isTraceError(error) && error.code === "not-a-trace");
  }
}

async function matching(pattern: string): Promise<string[]> {
  const paths = await globbed(pattern, ".");
  if (paths.length === 0)
    throw new CliError(
      `expected a file, a folder or a pattern that matches some, found ${JSON.stringify(pattern)}`,
    );
  return paths;
}

/** Paths as the pattern spells their folders, in the order of their code points. */
async function globbed(pattern: string, cwd: string): Promise<string[]> {
  const { glob } = await import("tinyglobby");
  const paths = await glob(pattern, { cwd, expandDirectories: false, dot: false });
  return paths.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
