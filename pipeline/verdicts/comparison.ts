import type { ObservedRecord, TraceNames } from "../../parsers/trace/records.ts";
import { MODEL_OWNER } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { FAULT, OK } from "../../walkers/result.ts";
import { DIFFERENCES, type Difference, type Outcome } from "../iommus/outcome.ts";
import type { PaGranularity } from "./pa-granularity.ts";

/** Codes that stand for a fault code of the specification in a recorded system: legacy ones of an emulator. */
export type CodeAliases = ReadonlyMap<number, ReadonlySet<number>>;
export const NO_ALIASES: CodeAliases = new Map();

/** @param code of the specification */
export function isAlias(aliases: CodeAliases, code: number, recorded: number): boolean {
  return aliases.size > 0 && (aliases.get(code)?.has(recorded) ?? false);
}

/**
 * Compares an outcome with what the recorded system did. Two outcomes are equal when their `result` is; for `ok`
 * also `pa`; for `fault` also `code` where both have one, else `reason` where both have one; and `stage`, `class`
 * and `recorded` where `observed` has them ("record").
 */
export class Comparison {
  readonly #names: TraceNames;
  /** Index in DIFFERENCES of the finest difference that counts. */
  readonly depth: number;
  readonly #granularity: PaGranularity;
  readonly #aliases: CodeAliases;

  constructor(names: TraceNames, depth: Difference, granularity: PaGranularity, aliases: CodeAliases) {
    this.#names = names;
    this.depth = DIFFERENCES.indexOf(depth);
    this.#granularity = granularity;
    this.#aliases = aliases;
  }

  /** Comparisons that leave out what tells one fault from another: the record, then the code too. */
  coarser(): Comparison[] {
    const depths: Difference[] = ["code", "pa"];
    return depths
      .filter((depth) => DIFFERENCES.indexOf(depth) < this.depth)
      .map((depth) => new Comparison(this.#names, depth, this.#granularity, this.#aliases));
  }

  /** @returns the first thing that differs, or "" where the two are equal as deep as this comparison looks */
  difference(o: Outcome, observed: ObservedRecord): Difference | "" {
    if (o.status !== observed.result) return "result";
    if (this.depth >= 1 && o.status === OK && observed.hasPa && !this.#samePa(o, observed)) return "pa";
    if (o.status !== FAULT) return "";
    if (this.depth >= 2 && !this.#sameCode(o, observed)) return "code";
    if (this.depth >= 3 && !sameRecord(o, observed)) return "record";
    return "";
  }

  #samePa(o: Outcome, observed: ObservedRecord): boolean {
    // A request whose bytes are scattered is observed by where its first byte went.
    const frame = o.runFrame[0]!;
    const hi = (frame / 0x10_0000) | 0;
    const lo = (frame << 12) | o.runOffset[0]!;
    if (this.#granularity === "exact" || o.pageShift === 0)
      return hi === observed.paHi && lo === observed.paLo;
    if (o.pageShift >= 32) return hi >>> (o.pageShift - 32) === observed.paHi >>> (o.pageShift - 32);
    return hi === observed.paHi && lo >>> o.pageShift === observed.paLo >>> o.pageShift;
  }

  #sameCode(o: Outcome, observed: ObservedRecord): boolean {
    if (observed.hasCode) {
      const { faultRecord } = VENDORS[MODEL_OWNER[o.model]];
      const code = faultRecord.loggedCode?.(observed.code) ?? observed.code;
      return (
        code === o.fault!.code ||
        code === o.otherFault?.code ||
        isAlias(this.#aliases, o.fault!.code, observed.code) ||
        (o.otherFault !== null && isAlias(this.#aliases, o.otherFault.code, observed.code))
      );
    }
    if (observed.reason >= 0) {
      const reason = this.#names.reasons.text(observed.reason);
      return reason === o.reason || reason === o.otherFault?.reason;
    }
    return true;
  }
}

function sameRecord(o: Outcome, observed: ObservedRecord): boolean {
  if (observed.stage !== 0 && observed.stage !== o.stage) return false;
  if (observed.faultClass !== "" && observed.faultClass !== o.faultClass) return false;
  return observed.recorded < 0 || (observed.recorded === 1) === o.recorded;
}
