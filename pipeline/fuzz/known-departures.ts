/** Departures of a device whose mistakes are known in part: what is expected of it beside them. */
import type { VendorFuzzing } from "../../walkers/fuzz/vendor-fuzzing.ts";
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import type { EntryPlaces, ExpectedDepartures } from "./expected-departures.ts";
import type { Departure } from "./judge.ts";
import { type Signature, signaturesOf } from "./signature.ts";

export interface KnownDepartures {
  readonly expected: ExpectedDepartures;
  readonly isKnown: (signature: string) => boolean;
  readonly fuzzing: VendorFuzzing;
}

/**
 * Of departures of one world, in the order of their lines. One that nobody knows may be another one in the world as a
 * device sees it that makes its mistakes: if that is known, it is that one.
 * @param shrunk what is from a cache by its verdict is known to be so
 */
export function namesOf(
  { expected, isKnown, fuzzing }: KnownDepartures,
  records: readonly WorldRecord[],
  departures: readonly Departure[],
  places: EntryPlaces,
  shrunk: boolean,
): Signature[] {
  const { codeAliases } = expected;
  const own = signaturesOf(records, departures, codeAliases, shrunk, fuzzing);
  if (own.every(({ text }) => isKnown(text))) return own;
  const seen = expected.withMistakes(records, places);
  if (seen === null) return own;
  const others = signaturesOf(seen.records, seen.departures, codeAliases, shrunk, fuzzing, seen.bugs);
  return own.map((signature, i) => {
    if (isKnown(signature.text)) return signature;
    const other = others[seen.departures.findIndex(({ line }) => line === departures[i]!.line)];
    return other !== undefined && isKnown(other.text) ? other : signature;
  });
}
