/** Departures that are known by their signatures: their own, or that of what is left once other known mistakes are made. */
import type { VendorFuzzing } from "../../walkers/fuzz/vendor-fuzzing.ts";
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import type { EntryPlaces, ExpectedDepartures } from "./expected-departures.ts";
import type { Departure } from "./judge.ts";
import { type Signature, signaturesOf } from "./signature.ts";

export class KnownDepartures {
  readonly #expected: ExpectedDepartures;
  readonly #fuzzing: VendorFuzzing;
  readonly #isKnown: (signature: string) => boolean;

  constructor(expected: ExpectedDepartures, fuzzing: VendorFuzzing, isKnown: (signature: string) => boolean) {
    this.#expected = expected;
    this.#fuzzing = fuzzing;
    this.#isKnown = isKnown;
  }

  /**
   * The signature that a departure is known by; null: it is not known. A device may depart twice in one request: from what
   * an entry says that it misreads, it goes on to depart from what that would mean to others.
   * @param own its own signature
   * @param records with what was observed
   * @param shrunk what is from a cache by its verdict is known to be so
   */
  find(
    own: Signature,
    { line }: Departure,
    records: readonly WorldRecord[],
    places: EntryPlaces,
    shrunk: boolean,
  ): Signature | null {
    if (this.#isKnown(own.text)) return own;
    const left = this.#expected.left(records.slice(0, line), places);
    if (left?.departures.at(-1)?.line !== line) return null;
    const { codeAliases } = this.#expected;
    const signature = signaturesOf(left.records, left.departures, codeAliases, shrunk, this.#fuzzing).at(-1)!;
    return this.#isKnown(signature.text) ? signature : null;
  }
}
