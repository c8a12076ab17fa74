import { printable } from "../../parsers/trace/show.ts";
import type { Column } from "./columns.ts";
import type { Row, TableWriter } from "./table-writer.ts";

/** Ends a record. [RFC 4180, 2] */
const CRLF = "\r\n";
/** Characters of text that are collected before they become bytes. */
const ENOUGH = 1 << 16;
/** Text that needs no quotes, as most does; any may have them. */
const PLAIN = /^[\w.:/ -]+$/;

/**
 * Comma-separated values as of RFC 4180, in UTF-8. A value is written as NDJSON writes it, addresses as hex: exact in
 * whatever reads it. A field that a record does not have is empty, an empty text is "". Characters that would move a
 * terminal's cursor or hide text are written as `\u001b` and the like.
 */
export class CsvWriter implements TableWriter {
  readonly #first: string;
  readonly #others: readonly string[];
  #text = "";
  #chunks: Buffer[] = [];

  /** @param header whether the first line names the columns */
  constructor(columns: readonly Column[], header = true) {
    const [first, ...others] = columns.map(({ name }) => name);
    this.#first = first!;
    this.#others = others;
    if (header) this.#text = csvHeader(columns);
  }

  add(row: Row): void {
    let line = cell(row[this.#first]);
    for (const name of this.#others) line += `,${cell(row[name])}`;
    this.#text += line + CRLF;
    if (this.#text.length >= ENOUGH) this.#encode();
  }

  take(): Uint8Array {
    this.#encode();
    const bytes = Buffer.concat(this.#chunks);
    this.#chunks = [];
    return bytes;
  }

  end(): Uint8Array {
    return this.take();
  }

  #encode(): void {
    if (this.#text !== "") this.#chunks.push(Buffer.from(this.#text, "utf8"));
    this.#text = "";
  }
}

/** The line that names the columns. */
export function csvHeader(columns: readonly Column[]): string {
  return `${columns.map(({ name }) => name).join(",")}${CRLF}`;
}

function cell(value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "number" || typeof value === "boolean") return `${value}`;
  const text = typeof value === "string" ? value : JSON.stringify(value);
  if (PLAIN.test(text)) return text;
  return `"${printable(text).replaceAll('"', '""')}"`;
}
