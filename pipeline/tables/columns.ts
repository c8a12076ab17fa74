import type { DescribedFields, JsonSchema } from "../../parsers/trace/field.ts";
import { HEX } from "../output/output-fields.ts";

/**
 * What values of a column are. `hex64` is a 64-bit quantity that records write as hex: an address, an entry, flags. `json`
 * is a list, as JSON.
 */
export type ColumnType = "text" | "int32" | "uint32" | "int64" | "hex64" | "boolean" | "json";

/** A column of a table: a field of the records that are its rows. */
export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  /** No row is without a value. */
  readonly required: boolean;
}

/** Hex that names something, with which nobody calculates. */
const LABELS: ReadonlySet<string> = new Set(["code", "other_code"]);
/** Of every table: one that is made of many must tell where a row is from. */
const TRACE = "trace";

/** The columns for records with these fields, in their order. */
export function tableColumns(fields: DescribedFields): Column[] {
  return Object.entries(fields).map(([name, field]) => ({
    name,
    type: LABELS.has(name) ? "text" : typeOf(field.schema()),
    required: field.optional !== true || name === TRACE,
  }));
}

const HEX_PATTERN = `^${HEX}$`;

function typeOf(schema: JsonSchema): ColumnType {
  if (schema.pattern === HEX_PATTERN) return "hex64";
  if (schema.type === "integer") return integerType(schema.minimum as number, schema.maximum as number);
  if (schema.type === "array") return "json";
  if (schema.type === "boolean" || typeof schema.const === "boolean") return "boolean";
  return "text";
}

function integerType(least: number, most: number): ColumnType {
  if (least >= -(2 ** 31) && most < 2 ** 31) return "int32";
  return least >= 0 && most < 2 ** 32 ? "uint32" : "int64";
}
