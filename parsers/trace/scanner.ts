/**
 * Reads `dma` and `mem` records straight from the bytes of their line: no string, no object, no exception. It
 * takes any order of fields, any white space and any unknown fields; whatever else is unusual (escapes, other
 * record types, anything wrong) it declines, and LineReader reads the line. It accepts nothing that LineReader
 * would refuse, and gives the same values (test/trace-scanner.test.ts).
 */
import { EXECUTE, READ, WRITE } from "../../walkers/request.ts";
import { FAULT, MSI, OK } from "../../walkers/result.ts";
import {
  CLOSE_BRACE,
  COLON,
  COMMA,
  hex64At,
  hexBytesAt,
  integerAt,
  isAscii,
  OPEN_BRACE,
  plainTextAt,
  QUOTE,
  Scalars,
  space,
  wordOf,
} from "./bytes.ts";
import { JsonSyntax, NEWLINE } from "./json-syntax.ts";
import { isShort } from "./names.ts";
import type { DmaRecord, MemRecord, ObservedRecord, TraceNames } from "./records.ts";

/** Record types that the scanner knows. */
export const DMA = 1;
export const MEM = 2;

const MAX_PASID = 2 ** 20 - 1;
const MAX_LEN = 2 ** 32 - 1;

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
const PA = wordOf('pa"');
const RESU = wordOf("resu");
const CODE = wordOf("code");
const REAS = wordOf("reas");
const STAG = wordOf("stag");
const CLAS = wordOf("clas");
const IPA = wordOf('ipa"');
const FLAG = wordOf("flag");
const RECO = wordOf("reco");
const RDED = wordOf("rded");
const LT = wordOf('lt"');
const ON = wordOf('on"');
const SS = wordOf('ss"');

const VALUE_DMA = wordOf('dma"');
const VALUE_MEM = wordOf('mem"');
const VALUE_R = wordOf('r"');
const VALUE_W = wordOf('w"');
const VALUE_X = wordOf('x"');
const VALUE_RW = wordOf('rw"');
const VALUE_OK = wordOf('ok"');
const VALUE_MSI = wordOf('msi"');
const VALUE_FAUL = wordOf("faul");
const VALUE_T = wordOf('t"');
const VALUE_CD = wordOf('CD"');
const VALUE_TT = wordOf('TT"');
const VALUE_IN = wordOf('IN"');
const VALUE_TRUE = wordOf("true");
const VALUE_FALS = wordOf("fals");
/** A quote and a colon. */
const QUOTE_COLON = 0x3a22;
const THREE = 0xff_ffff;
const TWO = 0xffff;

// Fields, as bits of those seen.
const F_UNKNOWN = 0;
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

// Fields of `observed`.
const O_UNKNOWN = 0;
const O_RESULT = 1;
const O_PA = 2;
const O_CODE = 3;
const O_REASON = 4;
const O_STAGE = 5;
const O_CLASS = 6;
const O_IPA = 7;
const O_FLAGS = 8;
const O_RECORDED = 9;

export class RecordScanner {
  readonly #names: TraceNames;
  readonly #dma: DmaRecord;
  readonly #observed: ObservedRecord;
  readonly #mem: MemRecord;
  readonly #syntax = new JsonSyntax();
  readonly #out = new Scalars();
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  /** After `scan`: DMA or MEM. */
  type = 0;
  /** Length of the last device name that was scanned, always one of which `isShort` holds. */
  #deviceLength = 12;
  /** Offset after the field name that `#field` read. */
  #after = 0;

  constructor(names: TraceNames, dma: DmaRecord, mem: MemRecord) {
    this.#names = names;
    this.#dma = dma;
    this.#observed = dma.observed;
    this.#mem = mem;
  }

  /**
   * The buffer that `scan` reads from now on. At least 4 bytes must follow every newline in it that ends a line.
   */
  use(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /**
   * Reads the record that starts at `start`, in a line that a newline ends, into the DmaRecord or the MemRecord.
   * @returns offset of that newline, or -1 where LineReader must read the line
   */
  scan(start: number): number {
    const bytes = this.#bytes;
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
      p = this.#after;
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
    const bytes = this.#bytes;
    if (bytes[at] !== QUOTE) {
      this.#after = -1;
      return F_UNKNOWN;
    }
    const view = this.#view;
    const word = view.getInt32(at + 1, true);
    let field = F_UNKNOWN;
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
        field = bytes[at + 5] === 0x75 ? F_IOMMU : F_UNKNOWN;
        end = at + 6;
        break;
      case ACCE:
        field = (view.getInt32(at + 5, true) & THREE) === SS ? F_ACCESS : F_UNKNOWN;
        end = at + 7;
        break;
      case OBSE:
        field = view.getInt32(at + 5, true) === RVED ? F_OBSERVED : F_UNKNOWN;
        end = at + 9;
        break;
      case DATA:
        field = F_DATA;
        break;
      case PASI:
        field = bytes[at + 5] === 0x64 ? F_PASID : F_UNKNOWN;
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
    return this.#colon(at, end, field);
  }

  /**
   * Ends a field name: its closing quote and the colon.
   * @param end where the closing quote of a known field is
   * @returns `field`, or 0 where the name only begins like it
   */
  #colon(at: number, end: number, field: number): number {
    const bytes = this.#bytes;
    if (field !== F_UNKNOWN && this.#view.getUint16(end, true) === QUOTE_COLON) {
      this.#after = space(bytes, end + 2);
      return field;
    }
    let known = field;
    let quote = end;
    if (field === F_UNKNOWN || bytes[end] !== QUOTE) {
      known = F_UNKNOWN;
      quote = plainTextAt(bytes, at + 1);
      if (quote < 0) {
        this.#after = -1;
        return F_UNKNOWN;
      }
    }
    const colon = space(bytes, quote + 1);
    this.#after = bytes[colon] === COLON ? space(bytes, colon + 1) : -1;
    return known;
  }

  /** Reads the value of a field of the record; returns the offset after it, or -1. */
  #value(field: number, at: number): number {
    const bytes = this.#bytes;
    const dma = this.#dma;
    const out = this.#out;
    let p: number;
    switch (field) {
      case F_TYPE: {
        const word = bytes[at] === QUOTE ? this.#view.getInt32(at + 1, true) : 0;
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
        return out.number < 1 || out.number > MAX_LEN ? -1 : p;
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
        p = this.#boolean(at);
        dma.priv = out.number === 1;
        dma.privGiven = true;
        return p;
      case F_OBSERVED:
        return this.#observedAt(at);
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
        return this.#skip(at);
    }
  }

  /**
   * Reads a device name. A name as long as the last one, and known, needs no scan for its end: device names have
   * no character that JSON escapes.
   */
  #device(at: number): number {
    const bytes = this.#bytes;
    const dma = this.#dma;
    const guess = at + 1 + this.#deviceLength;
    if (bytes[at] === QUOTE && bytes[guess] === QUOTE) {
      dma.dev = this.#names.devices.findShort(this.#view, at + 1, this.#deviceLength);
      if (dma.dev >= 0) return guess + 1;
    }
    const end = this.#textEnd(at);
    if (end < 0) return -1;
    dma.dev = this.#names.devices.find(bytes, at + 1, end);
    if (isShort(end - at - 1)) this.#deviceLength = end - at - 1;
    return dma.dev < 0 ? -1 : end + 1;
  }

  /** Reads the id of an IOMMU: most often the last record's. */
  #iommu(at: number): number {
    const end = this.#textEnd(at);
    if (end < 0) return -1;
    const iommus = this.#names.iommus;
    const length = end - at - 1;
    const known = isShort(length) ? iommus.findShort(this.#view, at + 1, length) : -1;
    this.#dma.iommu = known >= 0 ? known : iommus.intern(this.#bytes, at + 1, end);
    return end + 1;
  }

  #access(at: number): number {
    if (this.#bytes[at] !== QUOTE) return -1;
    const dma = this.#dma;
    const word = this.#view.getInt32(at + 1, true);
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
    const p = this.#bytes[at] === QUOTE ? plainTextAt(this.#bytes, at + 1) : -1;
    if (p < 0) return -1;
    this.#mem.byIommu =
      p === at + 6 && this.#view.getInt32(at + 1, true) === IOMM && this.#bytes[at + 5] === 0x75;
    return p + 1;
  }

  #timeStamp(at: number): number {
    const bytes = this.#bytes;
    const c = bytes[at]!;
    let p: number;
    if (c === QUOTE) {
      p = plainTextAt(bytes, at + 1);
      if (p < 0) return -1;
      p++;
    } else if (c === 0x2d || (c >= 0x30 && c <= 0x39)) p = this.#syntax.value(bytes, at);
    else return -1;
    this.#dma.tsStart = at;
    this.#dma.tsEnd = p;
    return p;
  }

  /** Reads `observed`; returns the offset after it, or -1. */
  #observedAt(at: number): number {
    const bytes = this.#bytes;
    const observed = this.#observed;
    if (observed.present) observed.clear();
    if (bytes[at] !== OPEN_BRACE) return -1;
    let p = at;
    do {
      const field = this.#observedField(space(bytes, p + 1));
      p = this.#after;
      if (p < 0) return -1;
      p = this.#observedValue(field, p);
      if (p < 0) return -1;
      p = space(bytes, p);
    } while (bytes[p] === COMMA);
    if (bytes[p] !== CLOSE_BRACE || !observed.present) return -1;
    observed.start = at;
    observed.end = p + 1;
    return p + 1;
  }

  /** As `#field`, for a field of `observed`. */
  #observedField(at: number): number {
    const bytes = this.#bytes;
    const view = this.#view;
    if (bytes[at] !== QUOTE) {
      this.#after = -1;
      return O_UNKNOWN;
    }
    const word = view.getInt32(at + 1, true);
    let field = O_UNKNOWN;
    let end = at + 5;
    switch (word) {
      case RESU:
        field = (view.getInt32(at + 5, true) & THREE) === LT ? O_RESULT : O_UNKNOWN;
        end = at + 7;
        break;
      case CODE:
        field = O_CODE;
        break;
      case REAS:
        field = (view.getInt32(at + 5, true) & THREE) === ON ? O_REASON : O_UNKNOWN;
        end = at + 7;
        break;
      case STAG:
        field = bytes[at + 5] === 0x65 ? O_STAGE : O_UNKNOWN;
        end = at + 6;
        break;
      case CLAS:
        field = bytes[at + 5] === 0x73 ? O_CLASS : O_UNKNOWN;
        end = at + 6;
        break;
      case FLAG:
        field = bytes[at + 5] === 0x73 ? O_FLAGS : O_UNKNOWN;
        end = at + 6;
        break;
      case RECO:
        field = view.getInt32(at + 5, true) === RDED ? O_RECORDED : O_UNKNOWN;
        end = at + 9;
        break;
      case IPA:
        field = O_IPA;
        end = at + 4;
        break;
      default:
        if ((word & THREE) === PA) field = O_PA;
        end = at + 3;
    }
    return this.#colon(at, end, field);
  }

  /** Reads the value of a field of `observed`; returns the offset after it, or -1. */
  #observedValue(field: number, at: number): number {
    const out = this.#out;
    const observed = this.#observed;
    let p: number;
    switch (field) {
      case O_RESULT:
        return this.#result(at);
      case O_PA:
        p = hex64At(this.#bytes, at, out);
        observed.hasPa = true;
        observed.paHi = out.hi;
        observed.paLo = out.lo;
        return p;
      case O_CODE:
        p = hex64At(this.#bytes, at, out);
        observed.hasCode = true;
        observed.code = (out.hi >>> 0) * 2 ** 32 + (out.lo >>> 0);
        return p;
      case O_IPA:
        p = hex64At(this.#bytes, at, out);
        observed.hasIpa = true;
        observed.ipaHi = out.hi;
        observed.ipaLo = out.lo;
        return p;
      case O_FLAGS:
        p = hex64At(this.#bytes, at, out);
        observed.hasFlags = true;
        observed.flagsHi = out.hi;
        observed.flagsLo = out.lo;
        return p;
      case O_REASON:
        p = this.#textEnd(at);
        if (p < 0) return -1;
        observed.reason = this.#names.reasons.intern(this.#bytes, at + 1, p);
        return p + 1;
      case O_STAGE:
        p = integerAt(this.#bytes, at, out);
        observed.stage = out.number;
        return p < 0 || out.number < 1 || out.number > 2 ? -1 : p;
      case O_CLASS:
        return this.#class(at);
      case O_RECORDED:
        p = this.#boolean(at);
        observed.recorded = out.number;
        return p;
      default:
        return this.#skip(at);
    }
  }

  #result(at: number): number {
    if (this.#bytes[at] !== QUOTE) return -1;
    const observed = this.#observed;
    const word = this.#view.getInt32(at + 1, true);
    observed.present = true;
    if ((word & THREE) === VALUE_OK) {
      observed.result = OK;
      return at + 4;
    }
    if (word === VALUE_MSI) {
      observed.result = MSI;
      return at + 5;
    }
    observed.result = FAULT;
    return word === VALUE_FAUL && (this.#view.getInt32(at + 5, true) & TWO) === VALUE_T ? at + 7 : -1;
  }

  #class(at: number): number {
    if (this.#bytes[at] !== QUOTE) return -1;
    const word = this.#view.getInt32(at + 1, true) & THREE;
    if (word !== VALUE_CD && word !== VALUE_TT && word !== VALUE_IN) return -1;
    this.#observed.cls = word === VALUE_CD ? "CD" : word === VALUE_TT ? "TT" : "IN";
    return at + 4;
  }

  /** Reads true as 1, false as 0 into `#out.number`. */
  #boolean(at: number): number {
    const word = this.#view.getInt32(at, true);
    this.#out.number = word === VALUE_TRUE ? 1 : 0;
    if (word === VALUE_TRUE) return at + 4;
    return word === VALUE_FALS && this.#bytes[at + 4] === 0x65 ? at + 5 : -1;
  }

  /** Offset of the closing quote of a plain string that is not empty, or -1. */
  #textEnd(at: number): number {
    if (this.#bytes[at] !== QUOTE) return -1;
    const end = plainTextAt(this.#bytes, at + 1);
    return end === at + 1 ? -1 : end;
  }

  /** Skips a value that means nothing here. */
  #skip(at: number): number {
    const p = this.#syntax.value(this.#bytes, at);
    return p >= 0 && isAscii(this.#bytes, at, p) ? p : -1;
  }
}
