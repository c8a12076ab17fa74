import { hexHalves } from "../../walkers/word64.ts";
import { Check, type ErrorCode, isObject } from "./field.ts";
import { fillDma, fillMem } from "./fill-record.ts";
import { Names } from "./names.ts";
import type { TraceHandler } from "./record-source.ts";
import { DmaRecord, type HarmlessNames, MemRecord, type TraceNames } from "./records.ts";
import {
  type AnyRecord,
  type DmaInput,
  isRecordType,
  RECORD_TYPES,
  RECORDS,
  type RecordType,
  readRecord,
} from "./schema.ts";
import { show } from "./show.ts";
import { didYouMean, meant, type OnUnknown, unknownFields } from "./unknown-names.ts";

/** Where further fields may stand that mean nothing here. */
const OBSERVED = "dma.observed";
/** Different names that are told apart; a trace that has more is not told of them all. */
const MOST_HARMLESS = 4096;

/** Most bytes of UTF-8 that a unit of a string takes. */
const MOST_UTF8 = 3;

/**
 * Tells a handler of records that are values: those of a program, of a log, of a line that has been parsed. The two
 * record types that come as reused objects are filled from them.
 */
export class RecordTeller {
  readonly names: TraceNames;
  readonly dma = new DmaRecord();
  readonly mem = new MemRecord();
  readonly #handler: TraceHandler;
  readonly #check: Check;
  /** The texts of a record that came from none. */
  #bytes: Uint8Array = new Uint8Array(256);
  #fill = 0;

  /** Names of unknown fields that nobody needs to be told of; null: of none. */
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
   * Tells of a typed record.
   * @param record addresses in halves, devices as `names.devices.parse` gives them
   */
  record(line: number, record: AnyRecord): void {
    if (record.type !== "dma") this.#other(line, record);
    else this.#dma(line, record, record.observed && observedOf(record.observed));
  }

  /** Tells of a record as JSON has it, after validation: what is wrong with it goes to `handler.error`. */
  parsed(line: number, value: unknown): void {
    const record = this.validated(line, value);
    if (record === null) return;
    if (record.type !== "dma") this.#other(line, record);
    else this.#dma(line, record, (value as { observed?: unknown }).observed);
  }

  /** @returns the typed record of a JSON value; null after having told of what it is instead */
  validated(line: number, value: unknown): AnyRecord | null {
    if (!isObject(value)) {
      this.#handler.error(line, "schema", `record: expected an object, found ${show(value)}`);
      return null;
    }
    const type = value.type;
    if (typeof type !== "string") {
      this.#handler.error(line, "schema", `type: expected a record type such as "dma", found ${show(type)}`);
      return null;
    }
    if (!isRecordType(type)) {
      if (this.#strict) {
        const hint = didYouMean(meant(type, RECORD_TYPES));
        this.#handler.error(line, "schema", `type: expected a known record type, found ${show(type)}${hint}`);
      } else this.#handler.unknown(line, type);
      return null;
    }
    if ((this.#strict || this.harmless !== null) && !this.#knowsFields(line, type, value)) return null;
    const check = this.#check;
    check.reset();
    const record = readRecord(type, value, check);
    if (record === null) this.#handler.error(line, check.code as ErrorCode, check.message);
    return record;
  }

  /** Tells of fields that a record does not have; @returns false where that makes it unusable */
  #knowsFields(line: number, type: RecordType, value: Readonly<Record<string, unknown>>): boolean {
    this.#line = line;
    this.#refused = "";
    unknownFields(RECORDS[type].fields, value, type, this.#unknownField);
    if (this.#refused === "") return true;
    this.#handler.error(line, "schema", this.#refused);
    return false;
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

  #other(line: number, record: Exclude<AnyRecord, DmaInput>): void {
    if (record.type !== "mem") {
      this.#handler.record(line, record);
      return;
    }
    fillMem(this.mem, record, this.names);
    this.#handler.mem(line, this.mem);
  }

  /** @param observed as JSON has it */
  #dma(line: number, input: DmaInput, observed: unknown): void {
    const { dma } = this;
    fillDma(dma, input, this.names);
    this.#fill = 0;
    if (input.ts !== undefined) {
      dma.tsEnd = this.#text(input.ts);
    }
    if (observed !== undefined) {
      dma.observed.start = this.#fill;
      dma.observed.end = this.#text(observed);
    }
    dma.bytes = this.#bytes;
    this.#handler.dma(line, dma);
  }

  /** Appends a value as JSON text; returns where it ends. */
  #text(value: unknown): number {
    const text = JSON.stringify(value);
    const most = this.#fill + text.length * MOST_UTF8;
    if (most > this.#bytes.length) {
      const larger = new Uint8Array(most * 2);
      larger.set(this.#bytes.subarray(0, this.#fill));
      this.#bytes = larger;
    }
    this.#fill += encoder.encodeInto(text, this.#bytes.subarray(this.#fill)).written;
    return this.#fill;
  }
}

/** `observed` as JSON has it. */
function observedOf(input: NonNullable<DmaInput["observed"]>): object {
  return Object.fromEntries(
    Object.entries(input).map(([name, value]) => [
      name,
      typeof value === "object" ? hexHalves(value.hi, value.lo) : value,
    ]),
  );
}

const encoder = new TextEncoder();
