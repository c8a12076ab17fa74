import { ByteWriter, type ColumnSource, ParquetWriter } from "hyparquet-writer";
import type { Column, ColumnType } from "./columns.ts";
import type { Row, TableWriter } from "./table-writer.ts";

type SchemaElement = ConstructorParameters<typeof ParquetWriter>[0]["schema"][number];

/** Rows of a row group: what is kept until it is written, a few tens of megabytes, and what a reader can step over. */
const GROUP_ROWS = 1 << 16;

/** How the types are stored. [Parquet format, LogicalTypes.md: converted types, which older readers know as well] */
const STORED: Readonly<Record<ColumnType, Pick<SchemaElement, "type" | "converted_type">>> = {
  text: { type: "BYTE_ARRAY", converted_type: "UTF8" },
  int32: { type: "INT32" },
  uint32: { type: "INT32", converted_type: "UINT_32" },
  int64: { type: "INT64" },
  hex64: { type: "INT64", converted_type: "UINT_64" },
  boolean: { type: "BOOLEAN" },
  json: { type: "BYTE_ARRAY", converted_type: "UTF8" },
};

/** Makes a stored value of one that is there. */
const CONVERT: Readonly<Record<ColumnType, (value: unknown) => unknown>> = {
  text: (value) => (typeof value === "string" ? value : JSON.stringify(value)),
  int32: (value) => value,
  uint32: (value) => value,
  int64: (value) => BigInt(value as number),
  hex64: (value) => BigInt(value as string),
  boolean: (value) => value,
  json: (value) => JSON.stringify(value),
};

interface Collected {
  readonly column: Column;
  readonly convert: (value: unknown) => unknown;
  readonly values: unknown[];
}

/**
 * Parquet: columns with types, nulls where a record does not have a field, in row groups, so that memory does not grow
 * with the table. Texts that repeat become dictionaries.
 */
export class ParquetTableWriter implements TableWriter {
  readonly #bytes = new ChunkWriter();
  readonly #writer: ParquetWriter;
  readonly #collected: readonly Collected[];
  readonly #groupRows: number;
  #rows = 0;

  /** @param createdBy the program, for the file's metadata */
  constructor(columns: readonly Column[], createdBy: string, groupRows = GROUP_ROWS) {
    this.#groupRows = groupRows;
    this.#collected = columns.map((column) => ({ column, convert: CONVERT[column.type], values: [] }));
    this.#writer = new ParquetWriter({ writer: this.#bytes, schema: schemaOf(columns), createdBy });
  }

  add(row: Row): void {
    for (const { column, convert, values } of this.#collected) {
      const value = row[column.name];
      values.push(value === undefined ? null : convert(value));
    }
    if (++this.#rows === this.#groupRows) this.#endGroup();
  }

  take(): Uint8Array {
    return this.#bytes.takeChunk();
  }

  end(): Uint8Array {
    this.#endGroup();
    this.#writer.finish();
    return this.take();
  }

  #endGroup(): void {
    if (this.#rows === 0) return;
    const columnData = this.#collected.map(
      ({ column, values }): ColumnSource => ({ name: column.name, data: values }),
    );
    this.#writer.write({ columnData, rowGroupSize: this.#groupRows });
    for (const { values } of this.#collected) values.length = 0;
    this.#rows = 0;
  }
}

function schemaOf(columns: readonly Column[]): SchemaElement[] {
  return [
    { name: "schema", num_children: columns.length },
    ...columns.map(
      ({ name, type, required }): SchemaElement => ({
        name,
        repetition_type: required ? "REQUIRED" : "OPTIONAL",
        ...STORED[type],
      }),
    ),
  ];
}

/** Hands on what has been written; offsets go on counting. */
class ChunkWriter extends ByteWriter {
  takeChunk(): Uint8Array {
    const bytes = new Uint8Array(this.getBytes());
    this.index = 0;
    return bytes;
  }
}
