/**
 * Reads one line of any kind by JSON.parse and the schema: the truth about what a record is and which message a
 * bad one gets. Scanners take over the common record types where nothing about them is unusual.
 */

import { isUtf8 } from "node:buffer";
import { CommandScanner } from "./command-scanner.ts";
import { fillDma } from "./fill-record.ts";
import { JsonSyntax, skipSpace } from "./json-syntax.ts";
import { BYTES_BEHIND } from "./object-scanner.ts";
import type { TraceHandler } from "./record-source.ts";
import { RecordTeller } from "./record-teller.ts";
import type { DmaRecord, HarmlessNames, MemRecord, TraceNames } from "./records.ts";
import type { DmaInput, RecordOf } from "./schema.ts";
import { afterMark, wellFormedLength } from "./utf8.ts";

export class LineReader {
  readonly names: TraceNames;
  readonly dma: DmaRecord;
  readonly mem: MemRecord;
  readonly #handler: TraceHandler;
  readonly #teller: RecordTeller;
  readonly #syntax = new JsonSyntax();
  readonly #commands = new CommandScanner();
  /** The bytes last read from, and as a Buffer. */
  #bytes: Uint8Array | null = null;
  #buffer: Buffer = Buffer.alloc(0);

  /** Names of unknown fields that nobody needs to be told of: the scanner may step over them. */
  get harmless(): HarmlessNames | null {
    return this.#teller.harmless;
  }

  /** @param strict a record with a name that the contract does not know is an error */
  constructor(names: TraceNames, handler: TraceHandler, strict = false) {
    this.names = names;
    this.#handler = handler;
    this.#teller = new RecordTeller(names, handler, strict);
    this.dma = this.#teller.dma;
    this.mem = this.#teller.mem;
  }

  /**
   * Reads the record in bytes `at` to `end` (exclusive), which a newline follows and which are not all white
   * space, and tells the handler. A byte order mark before it is passed over: a trace may have been put together of
   * files that have one.
   */
  read(line: number, bytes: Uint8Array, at: number, end: number): void {
    const start = afterMark(bytes, at);
    if (start > at && skipSpace(bytes, start) === end) return;
    const command = this.#command(bytes, start, end);
    if (command !== null) {
      this.#handler.record(line, command);
      return;
    }
    if (!isUtf8(bytes.subarray(start, end))) {
      const wellFormed = wellFormedLength(bytes, start, end);
      this.#handler.error(line, "json", `column ${wellFormed + 1}: expected UTF-8, found other bytes`);
      return;
    }
    let value: unknown;
    try {
      value = JSON.parse(this.#text(bytes, start, end));
    } catch {
      const why = this.#syntax.explain(bytes, start, end);
      this.#handler.error(line, "json", why ?? "expected one JSON object, found none");
      return;
    }
    const record = this.#teller.validated(line, value);
    if (record === null) return;
    if (record.type === "dma") this.#dma(line, record, bytes, start);
    else this.#teller.record(line, record);
  }

  #command(bytes: Uint8Array, start: number, end: number): RecordOf<"cmd"> | null {
    if (bytes.length - end <= BYTES_BEHIND) return null;
    this.#use(bytes);
    return this.#commands.scan(start, end);
  }

  #use(bytes: Uint8Array): void {
    if (this.#bytes === bytes) return;
    this.#bytes = bytes;
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#commands.use(bytes);
  }

  #text(bytes: Uint8Array, start: number, end: number): string {
    this.#use(bytes);
    // Buffer decodes short texts several times as fast as TextDecoder does.
    return this.#buffer.toString("utf8", start, end);
  }

  /** The texts of `ts` and `observed` stay as they are written. */
  #dma(line: number, input: DmaInput, bytes: Uint8Array, start: number): void {
    const { dma } = this;
    fillDma(dma, input, this.names);
    dma.bytes = bytes;
    const brace = skipSpace(bytes, start);
    if (input.ts !== undefined) {
      dma.tsStart = this.#syntax.member(bytes, brace, "ts");
      dma.tsEnd = this.#syntax.value(bytes, dma.tsStart);
    }
    if (input.observed !== undefined) {
      dma.observed.start = this.#syntax.member(bytes, brace, "observed");
      dma.observed.end = this.#syntax.value(bytes, dma.observed.start);
    }
    this.#handler.dma(line, dma);
  }
}
