import { ADDRESS_TYPE_OF, ADDRESS_TYPES, type AddressType } from "../../parsers/trace/accesses.ts";
import { Devices } from "../../parsers/trace/devices.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { codeText } from "./code-text.ts";
import { type FilterWord, type FilterWords, optionOf } from "./filter-words.ts";
import { globMatches } from "./glob.ts";
import {
  type AddressRange,
  addressRange,
  deviceMatcher,
  type NumberRange,
  numberRange,
  pasidRange,
  patternError,
} from "./patterns.ts";
import { TimeRanges } from "./time-ranges.ts";

type Matcher = (text: string) => boolean;

/** Frames of 4 KiB: an address in two parts that numbers hold exactly. */
const LOW_FRAMES = 2 ** 20;

/**
 * Which records are wanted: all that is asked for must hold. A record that has nothing of what a word asks for is not
 * wanted.
 */
export class RecordFilter {
  readonly pasids: readonly NumberRange[] | null;
  readonly addresses: readonly AddressRange[] | null;
  /** Follows the time, where that is asked for: whoever reads records tells it of each. */
  readonly times: TimeRanges | null;
  /** Of the requests those that fault are wanted; no request is, but findings are. */
  readonly faultsOnly: boolean;
  readonly findingsOnly: boolean;
  readonly #iommus: readonly Matcher[] | null;
  readonly #deviceMatchers: readonly ReturnType<typeof deviceMatcher>[] | null;
  readonly #types: readonly number[] | null;
  readonly #lines: readonly NumberRange[] | null;
  readonly #rules: readonly Matcher[] | null;
  readonly #codes: readonly { readonly code: string | null; readonly name: string }[] | null;
  readonly #reasons: readonly Matcher[] | null;
  readonly #devices = new Devices();
  /** By the spelling of a device. */
  readonly #wanted = new Map<string, boolean>();

  /** @throws PatternError */
  constructor(words: FilterWords) {
    const list = <T>(word: FilterWord, make: (field: string, text: string) => T): readonly T[] | null => {
      const given = words[word];
      if (given === undefined) return null;
      const texts = partsOf(given);
      if (texts.length === 0) throw patternError(`--${optionOf(word)}`, "a value", "");
      return texts.map((text) => make(`--${optionOf(word)}`, text));
    };
    const glob =
      (_field: string, text: string): Matcher =>
      (other) =>
        globMatches(text, other);
    this.#deviceMatchers = list("dev", deviceMatcher);
    this.pasids = list("pasid", pasidRange);
    this.#iommus = list("iommu", glob);
    this.addresses = list("addr", addressRange);
    this.#types = list("addressType", addressType);
    this.#lines = list("line", (field, text) =>
      numberRange(field, text, 'a line, or a range such as "100-200"'),
    );
    this.times = words.time === undefined ? null : new TimeRanges("--time", partsOf(words.time));
    this.#rules = list("rule", glob);
    this.#codes = list("code", (_field, text) => ({ code: codeText(text), name: text }));
    this.#reasons = list("reason", glob);
    this.faultsOnly = this.#codes !== null || this.#reasons !== null;
    this.findingsOnly = this.#rules !== null && !this.faultsOnly;
  }

  /** IOMMUs are asked for. */
  get hasIommus(): boolean {
    return this.#iommus !== null;
  }

  /** Rules are asked for. */
  get hasRules(): boolean {
    return this.#rules !== null;
  }

  iommu(id: string | undefined): boolean {
    return this.#iommus === null || (id !== undefined && this.#iommus.some((matches) => matches(id)));
  }

  /** @param text as the trace spells it; undefined: there is none */
  device(text: string | undefined): boolean {
    if (this.#deviceMatchers === null) return true;
    if (text === undefined) return false;
    let wanted = this.#wanted.get(text);
    if (wanted === undefined) {
      const parsed = this.#devices.parse(text);
      // A finding may name what is no device of a trace: only a pattern can mean it.
      const device = typeof parsed === "string" ? { text, segment: -1, id: -1 } : parsed;
      wanted = this.#deviceMatchers.some((matches) => matches(device));
      this.#wanted.set(text, wanted);
    }
    return wanted;
  }

  names({ iommu, device }: RequestNames): boolean {
    return this.iommu(iommu) && this.device(device);
  }

  /** @param pasid negative: none */
  pasid(pasid: number): boolean {
    if (this.pasids === null) return true;
    const key = pasid < 0 ? -1 : pasid;
    return this.pasids.some(([first, last]) => key >= first && key <= last);
  }

  /** Some of PASIDs that a finding is about. */
  pasidsBetween(from: number, to: number): boolean {
    return this.pasids === null || this.pasids.some(([first, last]) => from <= last && to >= first);
  }

  /** Bytes from an input address on, of which some must be wanted. */
  address(hi: number, lo: number, bytes: number): boolean {
    if (this.addresses === null) return true;
    const frame = (hi >>> 0) * LOW_FRAMES + (lo >>> 12);
    const offset = lo & 0xfff;
    const end = offset + bytes - 1;
    const lastFrame = frame + Math.floor(end / 4096);
    const last = BigInt(lastFrame) * 4096n + BigInt(end % 4096);
    const first = BigInt(frame) * 4096n + BigInt(offset);
    return this.addresses.some((range) => first <= range[1] && last >= range[0]);
  }

  /** As `address`, by 4 KiB frames. */
  frames(frame: number, frames: number): boolean {
    if (this.addresses === null) return true;
    const first = BigInt(frame) * 4096n;
    const last = BigInt(frame + frames) * 4096n - 1n;
    return this.addresses.some((range) => first <= range[1] && last >= range[0]);
  }

  /** @param at as of a request; undefined: what the record is about has none */
  addressType(at: number | undefined): boolean {
    return this.#types === null || (at !== undefined && this.#types.includes(at));
  }

  line(line: number): boolean {
    if (this.times !== null && !this.times.has(line)) return false;
    return this.#lines === null || this.#lines.some(([first, last]) => line >= first && line <= last);
  }

  /** @param code hex without padding; "" where there is none */
  fault(code: string, name: string, reason: string): boolean {
    const codes = this.#codes;
    if (codes !== null && !codes.some((one) => isFault(one, code, name))) return false;
    return this.#reasons === null || this.#reasons.some((matches) => matches(reason));
  }

  rule(id: string): boolean {
    return this.#rules === null || this.#rules.some((matches) => matches(id));
  }
}

function addressType(field: string, text: string): number {
  if (!Object.hasOwn(ADDRESS_TYPE_OF, text)) throw patternError(field, ADDRESS_TYPES.join(", "), text);
  return ADDRESS_TYPE_OF[text as AddressType];
}

function isFault(
  wanted: { readonly code: string | null; readonly name: string },
  code: string,
  name: string,
) {
  return (wanted.code !== null && wanted.code === code) || globMatches(wanted.name, name);
}

function partsOf(given: string | readonly string[]): string[] {
  return [given]
    .flat()
    .flatMap((text) => text.split(","))
    .map((text) => text.trim())
    .filter((text) => text !== "");
}
