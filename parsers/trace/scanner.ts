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
import { ObjectScanner, THREE, TWO, UNKNOWN } from "./object-scanner.ts";
import { ObservedScanner } from "./observed-scanner.ts";
import type { DmaRecord, MemRecord, TraceNames } from "./records.ts";
import { MAX_LENGTH, MAX_PASID } from "./schema.ts";

/** Record types that the scanner knows. */
export const DMA = 1;
export const MEM = 2;

// Names and values by their first four bytes, the closing quote included where they are shorter.
const TYPE = wordOf("type");
const ADDR = wordOf("addr");
const DEV = wordOf('dev"');
const LEN = wordOf('len"');
const SEQ = wordOf('seq"');
const IOMM = wordOf("iomm");
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

// Fields, as bits of those seen.
const F_TYPE = 1;
const F_DEV = 2;
const F_ADDR = 4;
const F_DATA = 8;
const F_IOMMU = 16;
const F_PASID = 32;
const F_LEN = 64;
const F_ACCESS = 128;
const F_PRIV = 256;
const F_SEQ = 512;
const F_TS = 1024;
const F_OBSERVED = 2048;
const F_BY = 4096;
const DMA_REQUIRED = F_DEV | F_ADDR;
const MEM_REQUIRED = F_ADDR | F_DATA;

export class RecordScanner extends ObjectScanner {
  readonly #names: TraceNames;
  readonly #dma: DmaRecord;
  readonly #observed: ObservedScanner;
  readonly #mem: MemRecord;
  /** After `scan`: DMA or MEM. */
  type = 0;
  /** Length of the last device name that was scanned, always one of which `isShort` holds. */
  #deviceLength = 12;

  constructor(names: TraceNames, dma: DmaRecord, mem: MemRecord) {
    super();
    this.#names = names;
    this.#dma = dma;
    this.#observed = new ObservedScanner(names, dma.observed);
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
    let seen = 0;
    let p = space(bytes, start);
    if (bytes[p] !== OPEN_BRACE) return -1;
    do {
      p = space(bytes, p + 1);
      const field = this.#field(p);
      p = this.after;
      if (p < 0) return -1;
      seen |= field;
      p = this.#value(field, p);
      if (p < 0) return -1;
      p = space(bytes, p);
    } while (bytes[p] === COMMA);
    if (bytes[p] !== CLOSE_BRACE) return -1;
    p = space(bytes, p + 1);
    if (bytes[p] !== NEWLINE || (seen & F_TYPE) === 0) return -1;
    if (this.type === DMA) {
      if ((seen & DMA_REQUIRED) !== DMA_REQUIRED) return -1;
    } else if ((seen & MEM_REQUIRED) !== MEM_REQUIRED) return -1;
    return p;
  }

  /**
   * Reads the field name at the quote at `at`, and its colon.
   * @returns which one; `#after` is the offset of the value, or -1
   */
  #field(at: number): number {
    const bytes = this.bytes;
    if (bytes[at] !== QUOTE) {
      this.after = -1;
      return UNKNOWN;
    }
    const view = this.view;
    const word = view.getInt32(at + 1, true);
    let field = UNKNOWN;
    // Offset of the closing quote.
    let end = at + 5;
    switch (word) {
      case TYPE:
        field = F_TYPE;
        break;
      case ADDR:
        field = F_ADDR;
        break;
      case DEV:
        field = F_DEV;
        end = at + 4;
        break;
      case LEN:
        field = F_LEN;
        end = at + 4;
        break;
      case SEQ:
        field = F_SEQ;
        end = at + 4;
        break;
      case IOMM:
        field = bytes[at + 5] === 0x75 ? F_IOMMU : UNKNOWN;
        end = at + 6;
        break;
      case ACCE:
        field = (view.getInt32(at + 5, true) & THREE) === SS ? F_ACCESS : UNKNOWN;
        end = at + 7;
        break;
      case OBSE:
        field = view.getInt32(at + 5, true) === RVED ? F_OBSERVED : UNKNOWN;
        end = at + 9;
        break;
      case DATA:
        field = F_DATA;
        break;
      case PASI:
        field = bytes[at + 5] === 0x64 ? F_PASID : UNKNOWN;
        end = at + 6;
        break;
      case PRIV:
        field = F_PRIV;
        break;
      default:
        end = at + 3;
        if ((word & THREE) === TS) field = F_TS;
        else if ((word & THREE) === BY) field = F_BY;
    }
    return this.colon(at, end, field);
  }

  /** Reads the value of a field of the record; returns the offset after it, or -1. */
  #value(field: number, at: number): number {
    const bytes = this.bytes;
    const dma = this.#dma;
    const out = this.out;
    let p: number;
    switch (field) {
      case F_TYPE: {
        const word = bytes[at] === QUOTE ? this.view.getInt32(at + 1, true) : 0;
        this.type = word === VALUE_DMA ? DMA : MEM;
        return word === VALUE_DMA || word === VALUE_MEM ? at + 5 : -1;
      }
      case F_ADDR:
        p = hex64At(bytes, at, out);
        dma.addrHi = out.hi;
        dma.addrLo = out.lo;
        this.#mem.addrHi = out.hi;
        this.#mem.addrLo = out.lo;
        return p;
      case F_DEV:
        return this.#device(at);
      case F_IOMMU:
        return this.#iommu(at);
      case F_LEN:
        p = integerAt(bytes, at, out);
        dma.len = out.number;
        dma.lenGiven = true;
        return out.number < 1 || out.number > MAX_LENGTH ? -1 : p;
      case F_SEQ:
        p = integerAt(bytes, at, out);
        dma.seq = out.number;
        return p;
      case F_PASID:
        p = integerAt(bytes, at, out);
        dma.pasid = out.number;
        return out.number > MAX_PASID ? -1 : p;
      case F_ACCESS:
        return this.#access(at);
      case F_PRIV:
        p = this.boolean(at);
        dma.priv = out.number === 1;
        dma.privGiven = true;
        return p;
      case F_OBSERVED:
        return this.#observed.read(at);
      case F_DATA:
        p = hexBytesAt(bytes, at);
        this.#mem.start = at + 1;
        this.#mem.end = p;
        return p < 0 ? -1 : p + 1;
      case F_TS:
        return this.#timeStamp(at);
      case F_BY:
        return this.#by(at);
      default:
        return this.skip(at);
    }
  }

  /**
   * Reads a device name. A name as long as the last one, and known, needs no scan for its end: device names have
   * no character that JSON escapes.
   */
  #device(at: number): number {
    const bytes = this.bytes;
    const dma = this.#dma;
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
    this.#mem.byIommu =
      p === at + 6 && this.view.getInt32(at + 1, true) === IOMM && this.bytes[at + 5] === 0x75;
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
