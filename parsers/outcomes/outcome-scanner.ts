/**
 * Reads `outcome` records straight from the bytes of their line: no string, no object, no exception. As the trace's
 * scanner does, it declines whatever is unusual, and accepts nothing that the slower reader would refuse.
 */
import { EXECUTE, READ, WRITE } from "../../walkers/request.ts";
import { ADDRESS_TYPES } from "../trace/accesses.ts";
import {
  CLOSE_BRACE,
  COLON,
  COMMA,
  hex64At,
  integerAt,
  OPEN_BRACE,
  plainTextAt,
  QUOTE,
  space,
  wordOf,
} from "../trace/bytes.ts";
import type { Devices } from "../trace/devices.ts";
import { NEWLINE } from "../trace/json-syntax.ts";
import { isShort } from "../trace/names.ts";
import { ObjectScanner, THREE, TWO } from "../trace/object-scanner.ts";
import { MAX_LENGTH, MAX_PASID } from "../trace/schema.ts";
import type { OutcomeLine } from "./outcome-line.ts";

// Names and values by their first four bytes, the closing quote included where they are shorter.
const TYPE = wordOf("type");
const LINE = wordOf("line");
const SEQ = wordOf('seq"');
const TS = wordOf('ts"');
const TRAC = wordOf("trac");
const IOMM = wordOf("iomm");
const DEV = wordOf('dev"');
const PASI = wordOf("pasi");
const ADDR = wordOf("addr");
const LEN = wordOf('len"');
const ACCE = wordOf("acce");
const SS = wordOf('ss"');
const PRIV = wordOf("priv");
const AT = wordOf('at"');
const RESU = wordOf("resu");
const LT = wordOf('lt"');
const VALUE_OUTC = wordOf("outc");
const VALUE_OME = wordOf('ome"');
const VALUE_R = wordOf('r"');
const VALUE_W = wordOf('w"');
const VALUE_X = wordOf('x"');
const VALUE_RW = wordOf('rw"');
const VALUE_OK = wordOf('ok"');
const VALUE_MSI = wordOf('msi"');
const VALUE_FAUL = wordOf("faul");
const VALUE_T = wordOf('t"');

/** A quote and a colon. */
const QUOTE_COLON = 0x3a22;

// Fields, as bits of those seen.
/** A field of the answer, or one that means nothing here. */
const UNKNOWN = 0;
const F_TYPE = 1;
const F_DEV = 2;
const F_ADDR = 4;
const F_RESULT = 8;
const F_PASID = 16;
const F_LEN = 32;
const F_ACCESS = 64;
const F_PRIV = 128;
const F_SEQ = 256;
const F_LINE = 512;
const F_AT = 1024;
/** `ts`, `iommu` and `trace`: about the request, and of no use here. */
const F_OTHER = 2048;
const REQUIRED = F_TYPE | F_DEV | F_ADDR | F_RESULT;
const ANSWER = UNKNOWN | F_RESULT;

export class OutcomeScanner extends ObjectScanner {
  readonly #devices: Devices;
  readonly #record: OutcomeLine;
  /** Offset of the value behind the field name that was read last, or -1. */
  #after = 0;
  /** Length of the last device name that was scanned, always one of which `isShort` holds. */
  #deviceLength = 12;

  constructor(devices: Devices, record: OutcomeLine) {
    super();
    this.#devices = devices;
    this.#record = record;
  }

  /**
   * Reads the record that starts at `start`, in a line that a newline ends.
   * @returns offset of that newline, or -1 where the line must be read otherwise
   */
  scan(start: number): number {
    const bytes = this.bytes;
    const record = this.#record;
    record.clear();
    record.bytes = bytes;
    let seen = 0;
    let mixed = false;
    const brace = space(bytes, start);
    if (bytes[brace] !== OPEN_BRACE) return -1;
    let p = brace;
    do {
      const name = space(bytes, p + 1);
      const field = this.#field(name);
      p = this.#after;
      if (p < 0) return -1;
      seen |= field;
      p = this.#value(field, p);
      if (p < 0) return -1;
      if ((field & ~ANSWER) !== 0) mixed ||= record.end !== 0;
      else {
        if (record.end === 0) record.start = name;
        record.end = p;
      }
      p = space(bytes, p);
    } while (bytes[p] === COMMA);
    if (bytes[p] !== CLOSE_BRACE || (seen & REQUIRED) !== REQUIRED) return -1;
    if (mixed) {
      record.start = brace;
      record.end = p + 1;
    }
    p = space(bytes, p + 1);
    return bytes[p] === NEWLINE ? p : -1;
  }

  /** Reads the field name at the quote at `at`, and its colon. */
  #field(at: number): number {
    const { bytes, view } = this;
    if (bytes[at] !== QUOTE) {
      this.#after = -1;
      return UNKNOWN;
    }
    const word = view.getInt32(at + 1, true);
    switch (word) {
      case TYPE:
        return this.#colon(at, at + 5, F_TYPE);
      case LINE:
        return this.#colon(at, at + 5, F_LINE);
      case TRAC:
        return this.#colon(at, at + 6, bytes[at + 5] === 0x65 ? F_OTHER : UNKNOWN);
      case SEQ:
        return this.#colon(at, at + 4, F_SEQ);
      case IOMM:
        return this.#colon(at, at + 6, bytes[at + 5] === 0x75 ? F_OTHER : UNKNOWN);
      case DEV:
        return this.#colon(at, at + 4, F_DEV);
      case PASI:
        return this.#colon(at, at + 6, bytes[at + 5] === 0x64 ? F_PASID : UNKNOWN);
      case ADDR:
        return this.#colon(at, at + 5, F_ADDR);
      case LEN:
        return this.#colon(at, at + 4, F_LEN);
      case ACCE:
        return this.#colon(at, at + 7, (view.getInt32(at + 5, true) & THREE) === SS ? F_ACCESS : UNKNOWN);
      case PRIV:
        return this.#colon(at, at + 5, F_PRIV);
      case RESU:
        return this.#colon(at, at + 7, (view.getInt32(at + 5, true) & THREE) === LT ? F_RESULT : UNKNOWN);
      default:
        return this.#colon(
          at,
          at + 3,
          (word & THREE) === TS ? F_OTHER : (word & THREE) === AT ? F_AT : UNKNOWN,
        );
    }
  }

  /**
   * Ends a field name: its closing quote and the colon.
   * @param end where the closing quote of a known field is
   * @returns `field`, or UNKNOWN where the name only begins like it
   */
  #colon(at: number, end: number, field: number): number {
    const bytes = this.bytes;
    if (field !== UNKNOWN && this.view.getUint16(end, true) === QUOTE_COLON) {
      this.#after = space(bytes, end + 2);
      return field;
    }
    const known = field !== UNKNOWN && bytes[end] === QUOTE;
    const quote = known ? end : plainTextAt(bytes, at + 1);
    const colon = quote < 0 ? -1 : space(bytes, quote + 1);
    this.#after = bytes[colon] === COLON ? space(bytes, colon + 1) : -1;
    return known ? field : UNKNOWN;
  }

  /** Reads the value of a field; returns the offset after it, or -1. */
  #value(field: number, at: number): number {
    const { bytes, out } = this;
    const record = this.#record;
    let p: number;
    switch (field) {
      case F_TYPE: {
        const known =
          bytes[at] === QUOTE &&
          this.view.getInt32(at + 1, true) === VALUE_OUTC &&
          this.view.getInt32(at + 5, true) === VALUE_OME;
        return known ? at + 9 : -1;
      }
      case F_SEQ:
        p = integerAt(bytes, at, out);
        record.seq = out.number;
        return p;
      case F_LINE:
        p = integerAt(bytes, at, out);
        record.traceLine = out.number;
        return p;
      case F_DEV:
        return this.#device(at);
      case F_PASID:
        p = integerAt(bytes, at, out);
        record.pasid = out.number;
        return out.number > MAX_PASID ? -1 : p;
      case F_ADDR:
        p = hex64At(bytes, at, out);
        record.addrHi = out.hi;
        record.addrLo = out.lo;
        return p;
      case F_LEN:
        p = integerAt(bytes, at, out);
        record.len = out.number;
        return out.number < 1 || out.number > MAX_LENGTH ? -1 : p;
      case F_ACCESS:
        return this.#access(at);
      case F_PRIV:
        p = this.boolean(at);
        record.priv = out.number === 1;
        return p;
      case F_AT:
        return this.#addressType(at);
      case F_RESULT:
        return this.#result(at);
      default:
        return this.#other(at);
    }
  }

  /** Skips a value: most are plain texts or integers. */
  #other(at: number): number {
    const bytes = this.bytes;
    if (bytes[at] === QUOTE) {
      const end = plainTextAt(bytes, at + 1);
      return end < 0 ? -1 : end + 1;
    }
    const end = integerAt(bytes, at, this.out);
    return end < 0 ? this.skip(at) : end;
  }

  /** A name as long as the last one, and known, needs no scan for its end. */
  #device(at: number): number {
    const bytes = this.bytes;
    const record = this.#record;
    const guess = at + 1 + this.#deviceLength;
    if (bytes[at] === QUOTE && bytes[guess] === QUOTE) {
      record.dev = this.#devices.findShort(this.view, at + 1, this.#deviceLength);
      if (record.dev >= 0) return guess + 1;
    }
    const end = this.textEnd(at);
    if (end < 0) return -1;
    record.dev = this.#devices.find(bytes, at + 1, end);
    if (isShort(end - at - 1)) this.#deviceLength = end - at - 1;
    return record.dev < 0 ? -1 : end + 1;
  }

  #access(at: number): number {
    if (this.bytes[at] !== QUOTE) return -1;
    const record = this.#record;
    const word = this.view.getInt32(at + 1, true);
    if ((word & THREE) === VALUE_RW) {
      record.access = READ | WRITE;
      return at + 4;
    }
    switch (word & TWO) {
      case VALUE_R:
        record.access = READ;
        return at + 3;
      case VALUE_W:
        record.access = WRITE;
        return at + 3;
      case VALUE_X:
        record.access = EXECUTE;
        return at + 3;
      default:
        return -1;
    }
  }

  #addressType(at: number): number {
    const { bytes, out } = this;
    const end = bytes[at] === QUOTE ? plainTextAt(bytes, at + 1) : -1;
    if (end < 0) return -1;
    out.bytes = bytes;
    out.start = at + 1;
    out.end = end;
    const type = ADDRESS_TYPES.findIndex((name) => out.is(name));
    this.#record.at = type;
    return type < 0 ? -1 : end + 1;
  }

  /** One of the three results there are; which one it is, the answer's text says. */
  #result(at: number): number {
    if (this.bytes[at] !== QUOTE) return -1;
    const word = this.view.getInt32(at + 1, true);
    if ((word & THREE) === VALUE_OK) return at + 4;
    if (word === VALUE_MSI) return at + 5;
    return word === VALUE_FAUL && (this.view.getInt32(at + 5, true) & TWO) === VALUE_T ? at + 7 : -1;
  }
}
