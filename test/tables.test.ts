import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parquetMetadata, parquetReadObjects } from "hyparquet";
import { describe, expect, test } from "vitest";
import { bytesSource, openTrace } from "../parsers/trace/source.ts";
import { type OutputRecord, replay } from "../pipeline/library/index.ts";
import { DEFAULT_OPTIONS } from "../pipeline/replay/options.ts";
import { CsvWriter } from "../pipeline/tables/csv-writer.ts";
import { ParquetTableWriter } from "../pipeline/tables/parquet-writer.ts";
import { replayTables } from "../pipeline/tables/replay-tables.ts";
import type { TableWriter } from "../pipeline/tables/table-writer.ts";
import { TABLE_NAMES, TABLES, type TableName, tableOf } from "../pipeline/tables/tables.ts";
import { ROOT } from "./support/cli.ts";
import { parseCsv } from "./support/csv.ts";

type Json = Readonly<Record<string, unknown>>;

/** What all vendors, stages and kinds of findings come to; requests over several runs; verdicts decided late; errors. */
const TRACES = [
  "samples/intel/intel-11.1-fs-inval-s1.ndjson.gz",
  "samples/arm/arm-11.1-nested-4k-inval-1.ndjson.gz",
  "samples/amd/amd-11.1-inval-s1.ndjson.gz",
  "samples/riscv/riscv-ref-inval-s1.ndjson.gz",
  "samples/bind/entry-update.ndjson",
  "test/fixtures/vtd-bound.ndjson",
].map((path) => join(ROOT, path));

/** Names, labels and times that a format could trip over, and 64-bit values at their ends. */
const HOSTILE = [
  { type: "iommu", id: 'a "quoted", name', model: "intel", regs: { rtaddr: "0x1000" } },
  { type: "ram", addr: "0x0", size: "0x10000" },
  { type: "mark", label: "" },
  { type: "mark", label: 'two\r\nlines, "quotes" and = a \u001b[31mcolour\u202e' },
  { type: "mark", label: "naïve 😀" },
  { type: "dma", dev: "00:03.0", addr: "0xfffffffffffff000", len: 4096, access: "w", ts: "1,5 s" },
  {
    type: "dma",
    dev: "00:03.0",
    addr: "0x0",
    len: 4294967295,
    access: "r",
    seq: -9007199254740991,
    ts: 1.25,
  },
  {
    type: "dma",
    dev: "00:03.0",
    addr: "0x8000000000000000",
    len: 1,
    access: "x",
    seq: 9007199254740991,
    priv: false,
  },
  { type: "dma", dev: "00:03.0", addr: "nowhere, at all", len: 1 },
  "no record",
];

/** Tables as bytes, and what is in none. @param makeWriter of the tables that are wanted */
async function tablesOf(
  trace: string | Buffer,
  makeWriter: (table: TableName) => TableWriter,
): Promise<{ readonly bytes: Map<TableName, Buffer>; readonly others: OutputRecord[] }> {
  const bytes = new Map<TableName, Buffer>();
  const others: OutputRecord[] = [];
  const writers = new Map(TABLE_NAMES.map((table) => [table, makeWriter(table)]));
  const source = typeof trace === "string" ? await openTrace(trace) : bytesSource(trace);
  const directory = typeof trace === "string" ? dirname(trace) : ".";
  await replayTables(
    source,
    writers,
    { ...DEFAULT_OPTIONS, directory, trace: labelOf(trace) },
    {
      write: async (table, chunk) => {
        bytes.set(table, Buffer.concat([bytes.get(table) ?? Buffer.alloc(0), chunk]));
      },
      other: (record) => others.push(record),
    },
  );
  return { bytes, others };
}

const labelOf = (trace: string | Buffer) => (typeof trace === "string" ? trace : "trace, of bytes");

type ByTable = Map<TableName | undefined, Json[]>;
const replayed = new Map<string | Buffer, Promise<ByTable>>();

/** What the library gives: by tables, and what is in none. */
function recordsOf(trace: string | Buffer): Promise<ByTable> {
  const known = replayed.get(trace) ?? sortedRecords(trace);
  replayed.set(trace, known);
  return known;
}

async function sortedRecords(trace: string | Buffer): Promise<ByTable> {
  const found: ByTable = new Map(TABLE_NAMES.map((table) => [table, []]));
  found.set(undefined, []);
  for await (const record of replay(trace, { trace: labelOf(trace) }))
    found.get(tableOf(record))!.push(record as unknown as Json);
  return found;
}

const csv = (table: TableName) => new CsvWriter(TABLES[table]);
const parquet = (groupRows?: number) => (table: TableName) =>
  new ParquetTableWriter(TABLES[table], "a test", groupRows);

/** By an implementation of its own. */
async function readParquet(bytes: Buffer): Promise<Json[]> {
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
  return parquetReadObjects({ file });
}

/** A cell of Parquet as the record has it. */
function recordedValue(cell: unknown, recorded: unknown): unknown {
  if (typeof recorded === "string" && typeof cell === "bigint") return `0x${cell.toString(16)}`;
  if (typeof cell === "bigint") return Number(cell);
  if (Array.isArray(recorded)) return JSON.parse(cell as string);
  return typeof recorded === "number" && typeof cell === "string" ? Number(cell) : cell;
}

/** A value of a record as CSV has it: what controls a terminal is spelled out. */
function cellOf(value: unknown): string | null {
  if (value === undefined) return null;
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.replace(/[^\P{Cc}\n\t]|\p{Cf}/gu, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

const HOSTILE_TRACE = Buffer.from(HOSTILE.map((record) => `${JSON.stringify(record)}\n`).join(""));

const INPUTS: readonly (readonly [string, string | Buffer])[] = [
  ...TRACES.map((path) => [path.slice(ROOT.length), path] as const),
  ["hostile names", HOSTILE_TRACE],
];

describe.each(INPUTS)("tables of %s", (_, trace) => {
  test("as Parquet say what the records do, value by value", async () => {
    // Few rows a group, so that there are several.
    const { bytes, others } = await tablesOf(trace, parquet(300));
    for (const table of TABLE_NAMES) {
      const expected = (await recordsOf(trace)).get(table)!;
      const rows = await readParquet(bytes.get(table)!);
      expect(rows).toHaveLength(expected.length);
      for (const [i, { type: _, ...record }] of expected.entries()) {
        const row = rows[i]!;
        expect(Object.keys(row)).toEqual(TABLES[table].map(({ name }) => name));
        const there = Object.entries(row).filter(([, cell]) => cell !== null);
        expect(
          Object.fromEntries(there.map(([name, cell]) => [name, recordedValue(cell, record[name])])),
        ).toEqual(record);
      }
    }
    expect(others).toEqual((await recordsOf(trace)).get(undefined));
  });

  test("as CSV do, too", async () => {
    const { bytes, others } = await tablesOf(trace, csv);
    for (const table of TABLE_NAMES) {
      const names = TABLES[table].map(({ name }) => name);
      const rows = (await recordsOf(trace))
        .get(table)!
        .map((record) => names.map((name) => cellOf(record[name])));
      expect(parseCsv(bytes.get(table)!.toString("utf8"))).toEqual([names, ...rows]);
    }
    expect(others).toEqual((await recordsOf(trace)).get(undefined));
  });
});

test("those traces have rows in every table, and lists and late verdicts", async () => {
  const found = new Set<unknown>();
  for (const trace of [...TRACES, HOSTILE_TRACE])
    for (const [table, records] of await recordsOf(trace))
      for (const record of records) {
        found.add(table);
        for (const name of ["sg", "data", "changed_line"]) if (name in record) found.add(name);
        found.add(record.verdict);
      }
  for (const wanted of [...TABLE_NAMES, "sg", "data", "changed_line", "stale", "mismatch"])
    expect(found, `${wanted}`).toContain(wanted);
});

describe("Parquet", () => {
  const rows = 250;
  const bytes = () => {
    const writer = parquet(100)("outcomes");
    for (let line = 1; line <= rows; line++)
      writer.add({
        trace: "t",
        line,
        dev: "00:01.0",
        addr: "0xffff800000000000",
        len: 8,
        access: "r",
        model: "m",
        result: "ok",
        reads: 1,
      });
    return Buffer.concat([writer.take(), writer.end()]);
  };

  test("has row groups, types of 64 bits without a sign, and dictionaries", async () => {
    const file = bytes();
    const metadata = parquetMetadata(new Uint8Array(file).buffer);
    expect(metadata.row_groups.map(({ num_rows }) => num_rows)).toEqual([100n, 100n, 50n]);
    const schema = new Map(metadata.schema.map((element) => [element.name, element]));
    expect(schema.get("addr")).toMatchObject({
      type: "INT64",
      converted_type: "UINT_64",
      repetition_type: "REQUIRED",
    });
    expect(schema.get("pa")).toMatchObject({
      type: "INT64",
      converted_type: "UINT_64",
      repetition_type: "OPTIONAL",
    });
    expect(schema.get("line")).toMatchObject({ type: "INT64" });
    expect(schema.get("len")).toMatchObject({ type: "INT32", converted_type: "UINT_32" });
    expect(schema.get("pasid")).toMatchObject({ type: "INT32" });
    expect(schema.get("hole")).toMatchObject({ type: "BOOLEAN" });
    expect(schema.get("code")).toMatchObject({ type: "BYTE_ARRAY", converted_type: "UTF8" });
    const column = metadata.row_groups[0]!.columns[TABLES.outcomes.findIndex(({ name }) => name === "dev")]!;
    expect(column.meta_data!.encodings).toContain("RLE_DICTIONARY");
    expect(column.meta_data!.statistics).toMatchObject({ min_value: "00:01.0", max_value: "00:01.0" });
    expect((await readParquet(file)).map(({ line }) => Number(line))).toEqual(
      Array.from({ length: rows }, (_, i) => i + 1),
    );
  });

  test("hands on what is written, and keeps none of it", () => {
    const writer = parquet(100)("marks");
    for (let line = 1; line < 100; line++) writer.add({ trace: "t", line, label: "l" });
    // What comes before the first group: "PAR1".
    expect(Buffer.from(writer.take()).toString()).toBe("PAR1");
    writer.add({ trace: "t", line: 100, label: "l" });
    expect(writer.take().length).toBeGreaterThan(0);
    expect(writer.take()).toHaveLength(0);
  });

  test("refuses a row without what every row has", () => {
    const writer = parquet()("marks");
    writer.add({ trace: "t", line: 1 });
    expect(() => writer.end()).toThrow();
  });
});

describe("docs/trace-format.md", () => {
  const document = readFileSync(join(ROOT, "docs/trace-format.md"), "utf8");

  test.each(TABLE_NAMES)("lists the columns of %s, in their order, with their types", (table) => {
    const [, listed] = new RegExp(`^\\*\\*${table}\\*\\*: ([\\s\\S]*?)\\.$`, "m").exec(document)!;
    const columns = [...listed!.matchAll(/`(\w+)`\s+(\w+)/g)].map(([, name, type]) => ({ name, type }));
    expect(columns).toEqual(TABLES[table].map(({ name, type }) => ({ name, type })));
  });
});
