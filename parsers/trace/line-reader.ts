/**
 * Reads one line of any kind by JSON.parse and the schema: the truth about what a record is and which message a
 * bad one gets. The scanner takes over the two common record types where nothing about them is unusual.
 */

import { isUtf8 } from "node:buffer";
import { EXECUTE, READ, WRITE } from "../../walkers/request.ts";
import { FAULT, MSI, OK } from "../../walkers/result.ts";
import type { ACCESSES } from "./accesses.ts";
import { Check, type ErrorCode, isObject } from "./field.ts";
import { JsonSyntax, skipSpace } from "./json-syntax.ts";
import { Names } from "./names.ts";
import { DmaRecord, type HarmlessNames, MemRecord, type ObservedRecord, type TraceNames } from "./records.ts";
import {
  type DmaInput,
  isRecordType,
  type MemInput,
  type OBSERVED_RESULTS,
  type PlainRecord,
  RECORD_TYPES,
  RECORDS,
  readRecord,
} from "./schema.ts";
import { show } from "./show.ts";
import { didYouMean, meant, type OnUnknown, unknownFields } from "./unknown-names.ts";
import { wellFormedLength } from "./utf8.ts";

/** Told about every record of a trace, in order. Calls are synchronous; nothing that is reused may be kept. */
export interface TraceHandler {
  /** @param line line number of the record, from 1 */
  dma(line: number, record: DmaRecord): void;
  mem(line: number, record: MemRecord): void;
  /** Any other record; a fresh object. */
  record(line: number, record: PlainRecord): void;
  /** A record of a type that the contract does not know. */
  unknown(line: number, type: string): void;
  /** A record that cannot be used. `message` says field, what was expected and what was found, not the line. */
  error(line: number, code: ErrorCode, message: string): void;
  /**
   * A field that its record does not have; it is ignored.
   * @param path of the object that it stands in: "dma.observed"
   * @param known the names of those that the object has
   * @returns false where it need not be told of this name again
   */
  unknownField?(line: number, path: string, name: string, known: readonly string[]): boolean;
}

/** Where further fields may stand that mean nothing here. */
const OBSERVED = "dma.observed";
/** Different names that are told apart; a trace that has more is not told of them all. */
const MOST_HARMLESS = 4096;

/** `ACCESSES` as bits. */
export const ACCESS_BITS: Readonly<Record<(typeof ACCESSES)[number], number>> = {
  r: READ,
  w: WRITE,
  rw: READ | WRITE,
  x: EXECUTE,
};

export const RESULT_NUMBERS: Readonly<Record<(typeof OBSERVED_RESULTS)[number], number>> = {
  ok: OK,
  fault: FAULT,
  msi: MSI,
};

export class LineReader {
  readonly names: TraceNames;
  readonly dma = new DmaRecord();
  readonly mem = new MemRecord();
  readonly #handler: TraceHandler;
  readonly #check: Check;
  readonly #syntax = new JsonSyntax();
  /** The bytes last read from, and as a Buffer. */
  #bytes: Uint8Array | null = null;
  #buffer: Buffer = Buffer.alloc(0);

  /** Names of unknown fields that nobody needs to be told of: the scanner may step over them. */
  readonly harmless: HarmlessNames | null;
  readonly #strict: boolean;
  #line = 0;
  /** What `strict` refuses in the record at hand. */
  #refused = "";

  /** @param strict a record with a name that the contract does not know is an error */
  constructor(names: TraceNames, handler: TraceHandler, strict = false) {
    this.names = names;
    this.#handler = handler;
    this.#strict = strict;
    this.harmless =
      handler.unknownField === undefined ? null : { record: new Names(["type"]), observed: new Names() };
    this.#check = new Check(names.devices);
  }

  /**
   * Reads the record in bytes `start` to `end` (exclusive), which a newline follows and which are not all white
   * space, and tells the handler.
   */
  read(line: number, bytes: Uint8Array, start: number, end: number): void {
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
    if (!isObject(value)) {
      this.#handler.error(line, "schema", `record: expected an object, found ${show(value)}`);
      return;
    }
    const type = value.type;
    if (typeof type !== "string") {
      this.#handler.error(line, "schema", `type: expected a record type such as "dma", found ${show(type)}`);
      return;
    }
    if (!isRecordType(type)) {
      if (this.#strict) {
        const known = didYouMean(meant(type, RECORD_TYPES));
        this.#handler.error(
          line,
          "schema",
          `type: expected a known record type, found ${show(type)}${known}`,
        );
      } else this.#handler.unknown(line, type);
      return;
    }
    if (this.#strict || this.harmless !== null) {
      this.#line = line;
      this.#refused = "";
      unknownFields(RECORDS[type].fields, value, type, this.#unknownField);
      if (this.#refused !== "") {
        this.#handler.error(line, "schema", this.#refused);
        return;
      }
    }
    const check = this.#check;
    check.reset();
    const record = readRecord(type, value, check);
    if (record === null) {
      this.#handler.error(line, check.code as ErrorCode, check.message);
      return;
    }
    if (record.type === "dma") this.#dma(line, record, bytes, start);
    else if (record.type === "mem") this.#mem(line, record);
    else this.#handler.record(line, record);
  }

  readonly #unknownField: OnUnknown = (path, name, fields) => {
    if (name === "type" && !path.includes(".")) return;
    const known = Object.keys(fields);
    if (this.#strict) {
      const near = meant(name, known);
      if (this.#refused !== "" || (near === undefined && path === OBSERVED)) return;
      this.#refused = `${path}: expected known fields, found ${show(name)}${didYouMean(near)}`;
      return;
    }
    const again = this.#handler.unknownField!(this.#line, path, name, known);
    if (again || this.harmless === null) return;
    const harmless = path === OBSERVED ? this.harmless.observed : this.harmless.record;
    if (harmless.size < MOST_HARMLESS) harmless.internText(name);
  };

  #text(bytes: Uint8Array, start: number, end: number): string {
    // Buffer decodes short texts several times as fast as TextDecoder does.
    if (this.#bytes !== bytes) {
      this.#bytes = bytes;
      this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    return this.#buffer.toString("utf8", start, end);
  }

  #dma(line: number, input: DmaInput, bytes: Uint8Array, start: number): void {
    const dma = this.dma;
    dma.clear();
    dma.bytes = bytes;
    dma.dev = input.dev.index;
    dma.addrHi = input.addr.hi;
    dma.addrLo = input.addr.lo;
    if (input.iommu !== undefined) dma.iommu = this.names.iommus.internText(input.iommu);
    if (input.pasid !== undefined) dma.pasid = input.pasid;
    if (input.len !== undefined) {
      dma.len = input.len;
      dma.lenGiven = true;
    }
    if (input.access !== undefined) {
      dma.access = ACCESS_BITS[input.access];
      dma.accessGiven = true;
    }
    if (input.priv !== undefined) {
      dma.priv = input.priv;
      dma.privGiven = true;
    }
    if (input.seq !== undefined) dma.seq = input.seq;
    const brace = skipSpace(bytes, start);
    if (input.ts !== undefined) {
      dma.tsStart = this.#syntax.member(bytes, brace, "ts");
      dma.tsEnd = this.#syntax.value(bytes, dma.tsStart);
    }
    if (input.observed !== undefined) {
      this.#observed(input.observed, dma.observed);
      dma.observed.start = this.#syntax.member(bytes, brace, "observed");
      dma.observed.end = this.#syntax.value(bytes, dma.observed.start);
    }
    this.#handler.dma(line, dma);
  }

  #observed(input: NonNullable<DmaInput["observed"]>, out: ObservedRecord): void {
    out.present = true;
    out.result = RESULT_NUMBERS[input.result];
    if (input.pa !== undefined) {
      out.hasPa = true;
      out.paHi = input.pa.hi;
      out.paLo = input.pa.lo;
    }
    if (input.code !== undefined) {
      out.hasCode = true;
      out.code = (input.code.hi >>> 0) * 2 ** 32 + (input.code.lo >>> 0);
    }
    if (input.reason !== undefined) out.reason = this.names.reasons.internText(input.reason);
    if (input.stage !== undefined) out.stage = input.stage;
    if (input.class !== undefined) out.cls = input.class;
    if (input.ipa !== undefined) {
      out.hasIpa = true;
      out.ipaHi = input.ipa.hi;
      out.ipaLo = input.ipa.lo;
    }
    if (input.flags !== undefined) {
      out.hasFlags = true;
      out.flagsHi = input.flags.hi;
      out.flagsLo = input.flags.lo;
    }
    if (input.recorded !== undefined) out.recorded = input.recorded ? 1 : 0;
  }

  #mem(line: number, input: MemInput): void {
    const mem = this.mem;
    mem.clear();
    mem.addrHi = input.addr.hi;
    mem.addrLo = input.addr.lo;
    mem.bytes = encoder.encode(input.data);
    mem.end = mem.bytes.length;
    mem.byIommu = input.by === "iommu";
    this.#handler.mem(line, mem);
  }
}

const encoder = new TextEncoder();
