import { CliError } from "./errors.ts";
import { FolderOutput } from "./folder-output.ts";
import { type Output, openOutput } from "./output.ts";
import type { TableOptions } from "./table-options.ts";

const NOTHING = new Uint8Array(0);

/** Where the output of a replay goes. */
export interface ReplayOutput {
  readonly output: Output;
  /** What it begins with, before all that comes of the traces. */
  readonly head: Uint8Array;
  /** The same as `output`, where it has a folder for each trace. */
  readonly folders: FolderOutput | undefined;
}

/**
 * @param traces how many there are
 * @param apart each has a folder of its own, where it has one at all
 * @throws CliError where it cannot be opened, or has no room for so many traces
 */
export async function openReplayOutput(
  path: string,
  tables: TableOptions | undefined,
  traces: number,
  apart: boolean,
): Promise<ReplayOutput> {
  if (tables === undefined) return { output: openOutput(path), head: NOTHING, folders: undefined };
  if (tables.table === undefined) {
    const output = new FolderOutput(path);
    return { output, head: NOTHING, folders: apart ? output : undefined };
  }
  if (tables.format === "parquet" && traces > 1)
    throw new CliError(
      `--output: expected a folder for the tables of ${traces} traces, found one file for all`,
      true,
    );
  const { tableHead } = await import("./tabulate-trace.ts");
  return { output: openOutput(path), head: tableHead(tables.format, tables.table), folders: undefined };
}
