/**
 * Reads `dma` and `mem` records straight from the bytes of their line: no string, no object, no exception. It
 * takes any order of fields, any white space and any unknown fields; whatever else is unusual (escapes, other
 * record types, anything wrong) it declines, and LineReader reads the line. It accepts nothing that LineReader
 * would refuse, and gives the same values (test/trace-scanner.test.ts).
 */
import { EXECUTE, READ, WRITE } from "../../walkers/request.ts";
import {
  CLOSE_BRACE,
  COMMA,
  hex64At,
  hexBytesAt,
  integerAt,
  OPEN_BRACE,
  plainTextAt,
  QUOTE,
  space,
  wordOf,
} from "./bytes.ts";
import { NEWLINE } from "./json-syntax.ts";
import { isShort } from "./names.ts";
import { ObjectScanner, QUOTE_COLON, SPACE, THREE, TWO } from "./object-scanner.ts";
import { ObservedScanner } from "./observed-scanner.ts";
import type { DmaRecord, HarmlessNames, MemRecord, TraceNames } from "./records.ts";
import { MAX_LENGTH, MAX_PASID } from "./schema.ts";

/** Record types that the scanner knows. */
export const DMA = 1;
const MEM = 2;

// Names and values by their first four bytes, the closing quote included where they are shorter.
const TYPE = wordOf("type");
const ADDR = wordOf("addr");
const DEV = wordOf('dev"');
const LEN = wordOf('len"');
const SEQ = wordOf('seq"');
const IOMM = wordOf("iomm");
const READ_WORD = wordOf("read");
const ACCE = wordOf("acce");
const OBSE = wordOf("obse");
const PASI = wordOf("pasi");
const PRIV = wordOf("priv");
const DATA = wordOf("data");
const RVED = wordOf("rved");
const TS = wordOf('ts"');
const BY = wordOf('by"');
const SS = wordOf('ss"');

const VALUE_DMA = wordOf('dma"');
const VALUE_MEM = wordOf('mem"');
const VALUE_R = wordOf('r"');
const VALUE_W = wordOf('w"');
const VALUE_X = wordOf('x"');
const VALUE_RW = wordOf('rw"');

// Bits of the fields that a record must have.
const SEEN_TYPE = 1;
const SEEN_DEV = 2;
const SEEN_ADDR = 4;
const SEEN_DATA = 8;
const DMA_REQUIRED = SEEN_TYPE | SEEN_DEV | SEEN_ADDR;
const MEM_REQUIRED = SEEN_TYPE | SEEN_ADDR | SEEN_DATA;

export class RecordScanner extends ObjectScanner {
  readonly #names: TraceNames;
  readonly #dma: DmaRecord;
  readonly #observed: ObservedScanner;
  readonly #mem: MemRecord;
  /** After `scan`: DMA or MEM. */
  type = 0;
  #seen = 0;
  /** Length of the last device name that was scanned, always one of which `isShort` holds. */
  #deviceLength = 12;

  /**
   * @param harmless names of fields that nobody needs to be told of; a record with another unknown one is declined.
   *   Null: all are stepped over
   */
  constructor(names: TraceNames, dma: DmaRecord, mem: MemRecord, harmless: HarmlessNames | null = null) {
    super(harmless?.record);
    this.#names = names;
    this.#dma = dma;
    this.#observed = new ObservedScanner(names, dma.observed, harmless?.observed);
    this.#mem = mem;
  }

  override use(bytes: Uint8Array): void {
    super.use(bytes);
    this.#observed.use(bytes);
  }

  /**
   * Reads the record that starts at `start`, in a line that a newline ends, into the DmaRecord or the MemRecord.
   * @returns offset of that newline, or -1 where LineReader must read the line
   */
  scan(start: number): number {
    const bytes = this.bytes;
    const dma = this.#dma;
    const mem = this.#mem;
    dma.clear();
    dma.bytes = bytes;
    mem.clear();
    mem.bytes = bytes;
    this.#seen = 0;
    let p = space(bytes, start);
    if (bytes[p] !== OPEN_BRACE) return -1;
    do {
      p = this.#member(space(bytes, p + 1));
      if (p < 0) return -1;
      p = space(bytes, p);
    } while (bytes[p] === COMMA);
    if (bytes[p] !== CLOSE_BRACE) return -1;
    p = space(bytes, p + 1);
    const required = this.type === DMA ? DMA_REQUIRED : MEM_REQUIRED;
    return bytes[p] === NEWLINE && (this.#seen & required) === required ? p : -1;
  }

  /**
   * Reads a field, from the opening quote of its name. That a value follows the name at once, as it nearly always does,
   * is tested in place: as a call it costs a fifth of the whole scan (test/bench/scanner.ts).
   */
  #member(at: number): number {
    const { bytes, view } = this;
    if (bytes[at] !== QUOTE) return -1;
    const word = view.getInt32(at + 1, true);
    let p = 0;
    switch (word) {
      case TYPE:
        p =
          view.getUint16(at + 5, true) === QUOTE_COLON && bytes[at + 7]! > SPACE
            ? at + 7
            : this.valueBehind(at + 5);
        if (p > 0) return this.#type(p);
        break;
      case ADDR:
        p =
          view.getUint16(at + 5, true) === QUOTE_COLON && bytes[at + 7]! > SPACE
            ? at + 7
            : this.valueBehind(at + 5);
        if (p > 0) return this.#addr(p);
        break;
      case DEV:
        p =
          view.getUint16(at + 4, true) === QUOTE_COLON && bytes[at + 6]! > SPACE
            ? at + 6
            : this.valueBehind(at + 4);
        if (p > 0) return this.#device(p);
        break;
      case LEN:
        p =
          view.getUint16(at + 4, true) === QUOTE_COLON && bytes[at + 6]! > SPACE
            ? at + 6
            : this.valueBehind(at + 4);
        if (p > 0) return this.#len(p);
        break;
      case SEQ:
        p =
          view.getUint16(at + 4, true) === QUOTE_COLON && bytes[at + 6]! > SPACE
            ? at + 6
            : this.valueBehind(at + 4);
        if (p > 0) return this.#sequence(p);
        break;
      case IOMM:
        if (bytes[at + 5] === 0x75)
          p =
            view.getUint16(at + 6, true) === QUOTE_COLON && bytes[at + 8]! > SPACE
              ? at + 8
              : this.valueBehind(at + 6);
        if (p > 0) return this.#iommu(p);
        break;
      case ACCE:
        if ((view.getInt32(at + 5, true) & THREE) === SS)
          p =
            view.getUint16(at + 7, true) === QUOTE_COLON && bytes[at + 9]! > SPACE
              ? at + 9
              : this.valueBehind(at + 7);
        if (p > 0) return this.#access(p);
        break;
      case OBSE:
        if (view.getInt32(at + 5, true) === RVED)
          p =
            view.getUint16(at + 9, true) === QUOTE_COLON && bytes[at + 11]! > SPACE
              ? at + 11
              : this.valueBehind(at + 9);
        if (p > 0) return this.#observed.read(p);
        break;
      case DATA:
        p =
          view.getUint16(at + 5, true) === QUOTE_COLON && bytes[at + 7]! > SPACE
            ? at + 7
            : this.valueBehind(at + 5);
        if (p > 0) return this.#data(p);
        break;
      case PASI:
        if (bytes[at + 5] === 0x64)
          p =
            view.getUint16(at + 6, true) === QUOTE_COLON && bytes[at + 8]! > SPACE
              ? at + 8
              : this.valueBehind(at + 6);
        if (p > 0) return this.#pasid(p);
        break;
      case PRIV:
        p =
          view.getUint16(at + 5, true) === QUOTE_COLON && bytes[at + 7]! > SPACE
            ? at + 7
            : this.valueBehind(at + 5);
        if (p > 0) return this.#priv(p);
        break;
      default:
        if ((word & THREE) === TS) {
          p =
            view.getUint16(at + 3, true) === QUOTE_COLON && bytes[at + 5]! > SPACE
              ? at + 5
              : this.valueBehind(at + 3);
          if (p > 0) return this.#timeStamp(p);
        } else if ((word & THREE) === BY) {
          p =
            view.getUint16(at + 3, true) === QUOTE_COLON && bytes[at + 5]! > SPACE
              ? at + 5
              : this.valueBehind(at + 3);
          if (p > 0) return this.#by(p);
        }
    }
    return this.unknownField(at);
  }

  #type(at: number): number {
    const word = this.bytes[at] === QUOTE ? this.view.getInt32(at + 1, true) : 0;
    this.#seen |= SEEN_TYPE;
    this.type = word === VALUE_DMA ? DMA : MEM;
    return word === VALUE_DMA || word === VALUE_MEM ? at + 5 : -1;
  }

  #addr(at: number): number {
    const { out } = this;
    const p = hex64At(this.bytes, at, out);
    this.#seen |= SEEN_ADDR;
    this.#dma.addrHi = out.hi;
    this.#dma.addrLo = out.lo;
    this.#mem.addrHi = out.hi;
    this.#mem.addrLo = out.lo;
    return p;
  }

  #len(at: number): number {
    const p = integerAt(this.bytes, at, this.out);
    const length = this.out.number;
    this.#dma.len = length;
    return length < 1 || length > MAX_LENGTH ? -1 : p;
  }

  #sequence(at: number): number {
    const p = integerAt(this.bytes, at, this.out);
    this.#dma.seq = this.out.number;
    return p;
  }

  #pasid(at: number): number {
    const p = integerAt(this.bytes, at, this.out);
    this.#dma.pasid = this.out.number;
    return this.out.number > MAX_PASID ? -1 : p;
  }

  #priv(at: number): number {
    const p = this.boolean(at);
    this.#dma.priv = this.out.number === 1;
    this.#dma.privGiven = true;
    return p;
  }

  #data(at: number): number {
    const end = hexBytesAt(this.bytes, at);
    this.#seen |= SEEN_DATA;
    this.#mem.start = at + 1;
    this.#mem.end = end;
    return end < 0 ? -1 : end + 1;
  }

  /**
   * Reads a device name. A name as long as the last one, and known, needs no scan for its end: device names have
   * no character that JSON escapes.
   */
  #device(at: number): number {
    const bytes = this.bytes;
    const dma = this.#dma;
    this.#seen |= SEEN_DEV;
    const guess = at + 1 + this.#deviceLength;
    if (bytes[at] === QUOTE && bytes[guess] === QUOTE) {
      dma.dev = this.#names.devices.findShort(this.view, at + 1, this.#deviceLength);
      if (dma.dev >= 0) return guess + 1;
    }
    const end = this.textEnd(at);
    if (end < 0) return -1;
    dma.dev = this.#names.devices.find(bytes, at + 1, end);
    if (isShort(end - at - 1)) this.#deviceLength = end - at - 1;
    return dma.dev < 0 ? -1 : end + 1;
  }

  /** Reads the id of an IOMMU: most often the last record's. */
  #iommu(at: number): number {
    const end = this.textEnd(at);
    if (end < 0) return -1;
    const iommus = this.#names.iommus;
    const length = end - at - 1;
    const known = isShort(length) ? iommus.findShort(this.view, at + 1, length) : -1;
    this.#dma.iommu = known >= 0 ? known : iommus.intern(this.bytes, at + 1, end);
    return end + 1;
  }

  #access(at: number): number {
    if (this.bytes[at] !== QUOTE) return -1;
    const dma = this.#dma;
    const word = this.view.getInt32(at + 1, true);
    dma.accessGiven = true;
    if ((word & THREE) === VALUE_RW) {
      dma.access = READ | WRITE;
      return at + 4;
    }
    switch (word & TWO) {
      case VALUE_R:
        dma.access = READ;
        return at + 3;
      case VALUE_W:
        dma.access = WRITE;
        return at + 3;
      case VALUE_X:
        dma.access = EXECUTE;
        return at + 3;
      default:
        return -1;
    }
  }

  #by(at: number): number {
    const p = this.bytes[at] === QUOTE ? plainTextAt(this.bytes, at + 1) : -1;
    if (p < 0) return -1;
    const word = this.view.getInt32(at + 1, true);
    this.#mem.byIommu = p === at + 6 && word === IOMM && this.bytes[at + 5] === 0x75;
    this.#mem.asRead = p === at + 5 && word === READ_WORD;
    return p + 1;
  }

  #timeStamp(at: number): number {
    const bytes = this.bytes;
    const c = bytes[at]!;
    let p: number;
    if (c === QUOTE) {
      p = plainTextAt(bytes, at + 1);
      if (p < 0) return -1;
      p++;
    } else if (c === 0x2d || (c >= 0x30 && c <= 0x39)) p = this.syntax.value(bytes, at);
    else return -1;
    this.#dma.tsStart = at;
    this.#dma.tsEnd = p;
    return p;
  }
}
