import { FAULT, MSI, OK } from "../../walkers/result.ts";
import { CLOSE_BRACE, COMMA, hex64At, OPEN_BRACE, QUOTE, space, wordOf } from "./bytes.ts";
import type { Names } from "./names.ts";
import { ObjectScanner, QUOTE_COLON, SPACE, THREE, TWO } from "./object-scanner.ts";
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

/** Reads `observed` of a request. */
export class ObservedScanner extends ObjectScanner {
  readonly #names: TraceNames;
  readonly #observed: ObservedRecord;

  constructor(names: TraceNames, observed: ObservedRecord, harmless: Names | null = null) {
    super(harmless);
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
      p = this.#member(space(bytes, p + 1));
      if (p < 0) return -1;
      p = space(bytes, p);
    } while (bytes[p] === COMMA);
    if (bytes[p] !== CLOSE_BRACE || !observed.present) return -1;
    observed.start = at;
    observed.end = p + 1;
    return p + 1;
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
      case RESU:
        if ((view.getInt32(at + 5, true) & THREE) === LT)
          p =
            view.getUint16(at + 7, true) === QUOTE_COLON && bytes[at + 9]! > SPACE
              ? at + 9
              : this.valueBehind(at + 7);
        if (p > 0) return this.#result(p);
        break;
      case CODE:
        p =
          view.getUint16(at + 5, true) === QUOTE_COLON && bytes[at + 7]! > SPACE
            ? at + 7
            : this.valueBehind(at + 5);
        if (p > 0) return this.#code(p);
        break;
      case REAS:
        if ((view.getInt32(at + 5, true) & THREE) === ON)
          p =
            view.getUint16(at + 7, true) === QUOTE_COLON && bytes[at + 9]! > SPACE
              ? at + 9
              : this.valueBehind(at + 7);
        if (p > 0) return this.#reason(p);
        break;
      case STAG:
        if (bytes[at + 5] === 0x65)
          p =
            view.getUint16(at + 6, true) === QUOTE_COLON && bytes[at + 8]! > SPACE
              ? at + 8
              : this.valueBehind(at + 6);
        if (p > 0) return this.#stage(p);
        break;
      case CLAS:
        if (bytes[at + 5] === 0x73)
          p =
            view.getUint16(at + 6, true) === QUOTE_COLON && bytes[at + 8]! > SPACE
              ? at + 8
              : this.valueBehind(at + 6);
        if (p > 0) return this.#class(p);
        break;
      case FLAG:
        if (bytes[at + 5] === 0x73)
          p =
            view.getUint16(at + 6, true) === QUOTE_COLON && bytes[at + 8]! > SPACE
              ? at + 8
              : this.valueBehind(at + 6);
        if (p > 0) return this.#flags(p);
        break;
      case RECO:
        if (view.getInt32(at + 5, true) === RDED)
          p =
            view.getUint16(at + 9, true) === QUOTE_COLON && bytes[at + 11]! > SPACE
              ? at + 11
              : this.valueBehind(at + 9);
        if (p > 0) return this.#recorded(p);
        break;
      case IPA:
        p =
          view.getUint16(at + 4, true) === QUOTE_COLON && bytes[at + 6]! > SPACE
            ? at + 6
            : this.valueBehind(at + 4);
        if (p > 0) return hex64At(bytes, p, this.out);
        break;
      default:
        if ((word & THREE) === PA)
          p =
            view.getUint16(at + 3, true) === QUOTE_COLON && bytes[at + 5]! > SPACE
              ? at + 5
              : this.valueBehind(at + 3);
        if (p > 0) return this.#pa(p);
    }
    return this.unknownField(at);
  }

  #pa(at: number): number {
    const { out } = this;
    const observed = this.#observed;
    const p = hex64At(this.bytes, at, out);
    observed.hasPa = true;
    observed.paHi = out.hi;
    observed.paLo = out.lo;
    return p;
  }

  #code(at: number): number {
    const { out } = this;
    const p = hex64At(this.bytes, at, out);
    this.#observed.hasCode = true;
    this.#observed.code = (out.hi >>> 0) * 2 ** 32 + (out.lo >>> 0);
    return p;
  }

  #reason(at: number): number {
    const end = this.textEnd(at);
    if (end < 0) return -1;
    this.#observed.reason = this.#names.reasons.intern(this.bytes, at + 1, end);
    return end + 1;
  }

  #stage(at: number): number {
    const stage = this.bytes[at]! - 0x30;
    this.#observed.stage = stage;
    return stage === 1 || stage === 2 ? at + 1 : -1;
  }

  #recorded(at: number): number {
    const p = this.boolean(at);
    this.#observed.recorded = this.out.number;
    return p;
  }

  /** Those beyond 31 bits are no flags of any record. */
  #flags(at: number): number {
    const { out } = this;
    const p = hex64At(this.bytes, at, out);
    if (out.hi === 0 && out.lo >= 0) this.#observed.flags = out.lo;
    return p;
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
    this.#observed.faultClass = word === VALUE_CD ? "CD" : word === VALUE_TT ? "TT" : "IN";
    return at + 4;
  }
}
