import { FAULT, MSI, OK } from "../../walkers/result.ts";
import { CLOSE_BRACE, COMMA, hex64At, integerAt, OPEN_BRACE, QUOTE, space, wordOf } from "./bytes.ts";
import { ObjectScanner, THREE, TWO, UNKNOWN } from "./object-scanner.ts";
import type { ObservedRecord, TraceNames } from "./records.ts";

// Names and values by their first four bytes, the closing quote included where they are shorter.
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

const VALUE_OK = wordOf('ok"');
const VALUE_MSI = wordOf('msi"');
const VALUE_FAUL = wordOf("faul");
const VALUE_T = wordOf('t"');
const VALUE_CD = wordOf('CD"');
const VALUE_TT = wordOf('TT"');
const VALUE_IN = wordOf('IN"');

const O_RESULT = 1;
const O_PA = 2;
const O_CODE = 3;
const O_REASON = 4;
const O_STAGE = 5;
const O_CLASS = 6;
const O_IPA = 7;
const O_FLAGS = 8;
const O_RECORDED = 9;

/** Reads `observed` of a request. */
export class ObservedScanner extends ObjectScanner {
  readonly #names: TraceNames;
  readonly #observed: ObservedRecord;

  constructor(names: TraceNames, observed: ObservedRecord) {
    super();
    this.#names = names;
    this.#observed = observed;
  }

  /** Reads `observed`; returns the offset after it, or -1. */
  read(at: number): number {
    const bytes = this.bytes;
    const observed = this.#observed;
    if (observed.present) observed.clear();
    if (bytes[at] !== OPEN_BRACE) return -1;
    let p = at;
    do {
      const field = this.#field(space(bytes, p + 1));
      p = this.after;
      if (p < 0) return -1;
      p = this.#value(field, p);
      if (p < 0) return -1;
      p = space(bytes, p);
    } while (bytes[p] === COMMA);
    if (bytes[p] !== CLOSE_BRACE || !observed.present) return -1;
    observed.start = at;
    observed.end = p + 1;
    return p + 1;
  }

  /** Reads the field name at `at` and its colon; returns which one it is. */
  #field(at: number): number {
    const bytes = this.bytes;
    const view = this.view;
    if (bytes[at] !== QUOTE) {
      this.after = -1;
      return UNKNOWN;
    }
    const word = view.getInt32(at + 1, true);
    let field = UNKNOWN;
    let end = at + 5;
    switch (word) {
      case RESU:
        field = (view.getInt32(at + 5, true) & THREE) === LT ? O_RESULT : UNKNOWN;
        end = at + 7;
        break;
      case CODE:
        field = O_CODE;
        break;
      case REAS:
        field = (view.getInt32(at + 5, true) & THREE) === ON ? O_REASON : UNKNOWN;
        end = at + 7;
        break;
      case STAG:
        field = bytes[at + 5] === 0x65 ? O_STAGE : UNKNOWN;
        end = at + 6;
        break;
      case CLAS:
        field = bytes[at + 5] === 0x73 ? O_CLASS : UNKNOWN;
        end = at + 6;
        break;
      case FLAG:
        field = bytes[at + 5] === 0x73 ? O_FLAGS : UNKNOWN;
        end = at + 6;
        break;
      case RECO:
        field = view.getInt32(at + 5, true) === RDED ? O_RECORDED : UNKNOWN;
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
    return this.colon(at, end, field);
  }

  /** Reads the value of a field of `observed`; returns the offset after it, or -1. */
  #value(field: number, at: number): number {
    const out = this.out;
    const observed = this.#observed;
    let p: number;
    switch (field) {
      case O_RESULT:
        return this.#result(at);
      case O_PA:
        p = hex64At(this.bytes, at, out);
        observed.hasPa = true;
        observed.paHi = out.hi;
        observed.paLo = out.lo;
        return p;
      case O_CODE:
        p = hex64At(this.bytes, at, out);
        observed.hasCode = true;
        observed.code = (out.hi >>> 0) * 2 ** 32 + (out.lo >>> 0);
        return p;
      case O_IPA:
        p = hex64At(this.bytes, at, out);
        observed.hasIpa = true;
        observed.ipaHi = out.hi;
        observed.ipaLo = out.lo;
        return p;
      case O_FLAGS:
        p = hex64At(this.bytes, at, out);
        observed.hasFlags = true;
        observed.flagsHi = out.hi;
        observed.flagsLo = out.lo;
        return p;
      case O_REASON:
        p = this.textEnd(at);
        if (p < 0) return -1;
        observed.reason = this.#names.reasons.intern(this.bytes, at + 1, p);
        return p + 1;
      case O_STAGE:
        p = integerAt(this.bytes, at, out);
        observed.stage = out.number;
        return p < 0 || out.number < 1 || out.number > 2 ? -1 : p;
      case O_CLASS:
        return this.#class(at);
      case O_RECORDED:
        p = this.boolean(at);
        observed.recorded = out.number;
        return p;
      default:
        return this.skip(at);
    }
  }

  #result(at: number): number {
    if (this.bytes[at] !== QUOTE) return -1;
    const observed = this.#observed;
    const word = this.view.getInt32(at + 1, true);
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
    return word === VALUE_FAUL && (this.view.getInt32(at + 5, true) & TWO) === VALUE_T ? at + 7 : -1;
  }

  #class(at: number): number {
    if (this.bytes[at] !== QUOTE) return -1;
    const word = this.view.getInt32(at + 1, true) & THREE;
    if (word !== VALUE_CD && word !== VALUE_TT && word !== VALUE_IN) return -1;
    this.#observed.cls = word === VALUE_CD ? "CD" : word === VALUE_TT ? "TT" : "IN";
    return at + 4;
  }
}
