import type { OutputRecord } from "../output/records.ts";
import { ERROR, FINDING, MARK, OUTCOME } from "../schemas/replay-schema.ts";
import { type Column, tableColumns } from "./columns.ts";

/** Tables that a replay comes to, by their names: a row for each record of a type. `stats` and `summary` are no rows. */
export const TABLES = {
  outcomes: tableColumns(OUTCOME),
  findings: tableColumns(FINDING),
  errors: tableColumns(ERROR),
  marks: tableColumns(MARK),
} as const satisfies Record<string, readonly Column[]>;

export type TableName = keyof typeof TABLES;

export const TABLE_NAMES = Object.keys(TABLES) as TableName[];

const BY_TYPE: { readonly [T in OutputRecord["type"]]?: TableName } = {
  outcome: "outcomes",
  finding: "findings",
  error: "errors",
  mark: "marks",
};

/** The table that a record is a row of; undefined: none. */
export function tableOf({ type }: OutputRecord): TableName | undefined {
  return BY_TYPE[type];
}
