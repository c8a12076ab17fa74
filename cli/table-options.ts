import { statSync } from "node:fs";
import type { SelectionName } from "../pipeline/output/selection.ts";
import type { TableName } from "../pipeline/tables/tables.ts";
import { CliError } from "./errors.ts";

/** What `replay` can write. */
export const FORMATS = ["ndjson", "csv", "parquet"] as const;
export type Format = (typeof FORMATS)[number];

/** Tables instead of records; what a thread can be given. */
export interface TableOptions {
  readonly format: Exclude<Format, "ndjson">;
  /** The one that is written; undefined: all, each into a file of a folder. */
  readonly table: TableName | undefined;
}

/** Names that say what is in a file. */
const KNOWN_ENDING = /\.(csv|parquet|ndjson|jsonl|json)$/i;

/**
 * How tables are written; undefined: they are not.
 * @param output "-", a folder, or the file of one table
 * @throws CliError where the output cannot be of that format
 */
export function tableOptions(
  format: Format,
  output: string,
  only: readonly SelectionName[] | undefined,
): TableOptions | undefined {
  if (format === "ndjson") return undefined;
  const [, ending] = KNOWN_ENDING.exec(output) ?? [];
  if (ending !== undefined && ending.toLowerCase() !== format)
    throw new CliError(
      `--output: expected a folder, or a file that ends in .${format}, found ${JSON.stringify(output)}`,
      true,
    );
  const stat = output === "-" ? undefined : statSync(output, { throwIfNoEntry: false });
  const isFile = output === "-" || (stat === undefined ? ending !== undefined : !stat.isDirectory());
  if (format === "parquet" && output === "-" && process.stdout.isTTY)
    throw new CliError("--format parquet: expected --output, or a pipe, found a terminal", true);
  return { format, table: isFile ? tableFor(only) : undefined };
}

/** The table that a selection is of: findings and marks have columns of their own. */
function tableFor(only: readonly SelectionName[] | undefined): TableName {
  const [first, ...others] = only ?? [];
  if (others.length === 0 && (first === "findings" || first === "marks")) return first;
  return "outcomes";
}
