/**
 * What is behind a departure: the structure and field on whose value the answer depends. A device that ignores a field
 * answers as a correct one would if the field had another value; so the fields of all that the walk reads are tried.
 */

import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { Bug } from "../../walkers/fuzz/bug.ts";
import type { VendorFuzzing } from "../../walkers/fuzz/vendor-fuzzing.ts";
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import { type CodeAliases, Comparison, NO_ALIASES } from "../verdicts/comparison.ts";
import { firstDeparture, formerDeparture } from "./former-entries.ts";
import type { Departure, SeenDeparture } from "./judge.ts";
import { isTagged, PastInvalidations } from "./past-invalidations.ts";
import {
  addressOfEntry,
  type ReadEntry,
  type Reading,
  RequestWalks,
  readingsOf,
  reservedReadings,
  usualReadings,
} from "./request-walks.ts";

const PAGE_SHIFT = 12n;
const SINCE_CHANGED = " (entry since changed)";

/** What a vendor knows of the rarer meanings of entries. */
type Rarities = Pick<VendorFuzzing, "usual">;

/** What departures have in common that are of one mistake, as far as can be told. */
export interface Signature {
  /** The whole of it, for an ignore file. */
  readonly text: string;
  /** "VT-d context entry.TT"; "" where no field decides. */
  readonly where: string;
  /** It names a field: the answer depends on that. */
  readonly decided: boolean;
  /** What a correct IOMMU answers, and what the device did. */
  readonly expected: string;
  readonly observed: string;
  /**
   * What the same is called where an entry is as it was before it changed, or as a device reads it that makes the mistakes
   * which are known, or where the request is the first.
   */
  also(): readonly string[];
}

/** The signature by the name that is known of it, if there is one. */
export function asKnown(signature: Signature, isKnown: (text: string) => boolean): Signature {
  if (isKnown(signature.text)) return signature;
  const text = signature.also().find(isKnown);
  return text === undefined ? signature : { ...signature, text };
}

/** What is alike in departures of one kind before anything is known of their cause: it is kept while they are shrunk. */
export function kindOf(departure: Departure): string {
  const { verdict, diff } = departure.outcome;
  const kind = `${verdict}: ${expectedOf(departure)} → ${observedOf(departure)}`;
  return kind + elsewhere(departure) + (diff === "record" ? " (record)" : "");
}

/** Where a device says that it has met a fault, if that is not where it is to be: " (stage 2, TT)". */
function elsewhere({ outcome, answer }: Pick<Departure, "outcome" | "answer">): string {
  if (answer.class === undefined || answer.stage === undefined) return "";
  const same = answer.stage === outcome.stage && answer.class === outcome.class;
  return same ? "" : ` (stage ${answer.stage}, ${answer.class})`;
}

function expectedOf({ outcome, condition }: Pick<Departure, "outcome" | "condition">): string {
  if (outcome.result !== "fault") return outcome.result;
  const { code, name } = outcome;
  return `${code === undefined ? name! : `${name} (${code})`}${condition === undefined ? "" : `, ${condition}`}`;
}

function observedOf({ answer }: Pick<Departure, "answer">): string {
  if (answer.result !== "fault") return answer.result;
  return answer.code ?? answer.reason ?? "fault";
}

/**
 * Of departures of one world, in the order of their lines.
 * @param records with what was observed, up to the last of them at least
 * @param codeAliases codes that the device gives for others
 * @param shrunk what is from a cache by its verdict is known to be so
 * @param bugs mistakes that are made beside: of each, what contexts come to counts
 */
export function signaturesOf(
  records: readonly WorldRecord[],
  departures: readonly Departure[],
  codeAliases = NO_ALIASES,
  shrunk = false,
  fuzzing: Rarities = {},
  bugs: readonly Bug[] = [],
): Signature[] {
  if (departures.length === 0) return [];
  const attribution = new Attribution(records, departures, codeAliases, shrunk, fuzzing, bugs);
  const places = attribution.places();
  const held = new Map<string, Signature>();
  return departures.map((departure) => {
    const translation = translationOf(records[departure.line - 1]!, departure);
    const earlier = held.get(translation);
    if (earlier !== undefined && departure.outcome.verdict === "mismatch") return earlier;
    const place = places.get(departure)!;
    const of = (seen: SeenDeparture | null | undefined) =>
      seen ? signaturesOf(seen.records, [seen.departure], codeAliases, shrunk, fuzzing, seen.bugs)[0]! : null;
    const former = place.includes(".") ? null : attribution.formerOf(departure, true);
    const before = of(former);
    const signature: Signature = {
      ...(before === null
        ? signatureOf(place, departure)
        : signatureOf(sinceChanged(before.where), former!.departure)),
      also: () =>
        [
          before ?? of(attribution.formerOf(departure, false)),
          of(departure.seen),
          of(firstDeparture(records, departure, codeAliases, bugs)),
        ].flatMap((one) => (one === null ? [] : [one.text, ...one.also()])),
    };
    if (translation !== "") held.set(translation, signature);
    return signature;
  });
}

const sinceChanged = (where: string) => (where.endsWith(SINCE_CHANGED) ? where : where + SINCE_CHANGED);

function signatureOf(where: string, departure: Departure): Omit<Signature, "also"> {
  const kind = kindOf(departure);
  const text = where === "" ? kind : `${where}: ${kind}`;
  const [expected, observed] = [expectedOf(departure), observedOf(departure)];
  return { text, where, decided: where.includes("."), expected, observed };
}

/**
 * The translation that a device has used: where there should be none, it has it in a cache from then on, and what it
 * answers from that is no other mistake. "": it has used none.
 */
function translationOf({ dev, pasid, addr }: WorldRecord, { answer }: Departure): string {
  if (answer.result !== "ok" || answer.pa === undefined) return "";
  return [dev, pasid, BigInt(addr as string) >> PAGE_SHIFT, BigInt(answer.pa) >> PAGE_SHIFT].join();
}

class Attribution {
  readonly #records: readonly WorldRecord[];
  readonly #fuzzing: Rarities;
  /** By their lines. */
  readonly #departures: ReadonlyMap<number, Departure>;
  readonly #places = new Map<Departure, string>();
  /** Addresses of what walks read, in their order. */
  readonly #entries = new Map<Departure, string[]>();
  readonly #walks: RequestWalks;
  readonly #comparison: Comparison;
  readonly #codeAliases: CodeAliases;
  readonly #shrunk: boolean;
  readonly #bugs: readonly Bug[];
  readonly #invalidated = new PastInvalidations();

  constructor(
    records: readonly WorldRecord[],
    departures: readonly Departure[],
    codeAliases: CodeAliases,
    shrunk: boolean,
    fuzzing: Rarities,
    bugs: readonly Bug[],
  ) {
    this.#bugs = bugs;
    this.#walks = new RequestWalks((line, record) => this.#request(line, record), bugs);
    this.#shrunk = shrunk;
    this.#codeAliases = codeAliases;
    this.#comparison = new Comparison(this.#walks.names, "record", "exact", codeAliases);
    this.#records = records;
    this.#fuzzing = fuzzing;
    this.#departures = new Map(departures.map((departure) => [departure.line, departure]));
  }

  places(): ReadonlyMap<Departure, string> {
    const last = Math.max(...this.#departures.keys());
    this.#walks.run(this.#records.slice(0, last), (command) => {
      const found = this.#walks.invalidationOf(command);
      if (found !== null) this.#invalidated.add(found.name, found.invalidation);
    });
    return this.#places;
  }

  /** What it departs from in an entry that has changed since; null: in what there is. @param nearer see `formerDeparture` */
  formerOf(departure: Departure, nearer: boolean): SeenDeparture | null {
    const kind = kindOf(departure);
    return formerDeparture(
      this.#records,
      departure,
      this.#entries.get(departure)!,
      this.#codeAliases,
      this.#bugs,
      (one) => kindOf(one) !== kind,
      nearer,
    );
  }

  #request(line: number, record: DmaRecord): void {
    const departure = this.#departures.get(line);
    if (departure === undefined) return;
    this.#entries.set(departure, this.#walks.entriesOf(record).map(addressOfEntry));
    const found = record.observed.present ? this.#decide(record, departure) : "";
    const after =
      departure.outcome.verdict === "stale-after-invalidation" ? this.#after(line, record, found) : "";
    const tagged = departure.outcome.verdict === "mismatch" && this.#isRefusedForItsTag(record, departure);
    this.#places.set(departure, after || (tagged ? `${found} (tagged address)` : found));
  }

  /** Whether what is refused has an address whose top byte says nothing. */
  #isRefusedForItsTag(record: DmaRecord, { answer }: Departure): boolean {
    const lookUp = answer.result === "fault" ? this.#walks.lookUpOf(record) : null;
    return lookUp !== null && isTagged(lookUp);
  }

  /**
   * The invalidation that did not do what it should; "" where the answer is rather another one's. Who ignores a field looks
   * like somebody who has kept what was there before it changed: it is the field, unless something is special about what
   * was to be invalidated, and it is what was there before that the device goes by.
   */
  #after(line: number, record: DmaRecord, found: string): string {
    const { name, how } = this.#invalidated.after(this.#walks.lookUpOf(record));
    if (name === "") return "";
    // Once it is shrunk, there is no other answer without what was there before.
    const field = found.includes(".") && !this.#shrunk;
    const special = how !== "" && (!field || this.#isFormer(line, record));
    if (special) return `after ${name} (${how})`;
    return field ? "" : `after ${name}`;
  }

  /** Whether the device would be right, were one of the entries that the walk reads as it once was. */
  #isFormer(line: number, record: DmaRecord): boolean {
    const before = this.#records.slice(0, line - 1);
    return this.#walks.entriesOf(record).some((entry) => {
      const place = addressOfEntry(entry);
      const formers = new Set(
        before.flatMap(({ type, addr, data }) => (type === "mem" && addr === place ? [data] : [])),
      );
      return [...formers].some((data) => this.#explains(entry, Buffer.from(data as string, "hex"), record));
    });
  }

  /** The field that the answer depends on; else the structure that the walk ended with. */
  #decide(record: DmaRecord, departure: Departure): string {
    const entries = this.#walks.entriesOf(record);
    const last = entries.at(-1)?.layout.name ?? "";
    // A field that would suppress the record explains why there is none, though it does not say so.
    if (lacksRecord(departure)) return last;
    return (
      this.#placeIn(entries, record, reservedReadings) ??
      this.#placeIn(entries, record, (entry) => usualReadings(entry, this.#fuzzing)) ??
      this.#placeIn(entries, record, readingsOf) ??
      last
    );
  }

  /** The first field, of the entry read last at first, with which, had it another value, the device would be right. */
  #placeIn(
    entries: readonly ReadEntry[],
    record: DmaRecord,
    readings: (entry: ReadEntry) => Iterable<Reading>,
  ): string | undefined {
    for (const entry of entries.toReversed())
      for (const { field, bytes } of readings(entry))
        if (this.#explains(entry, bytes, record)) return `${entry.layout.name}.${field}`;
    return undefined;
  }

  #explains(entry: ReadEntry, bytes: Uint8Array, record: DmaRecord): boolean {
    const outcome = this.#walks.walkWith(entry, bytes, record);
    return outcome !== null && this.#comparison.difference(outcome, record.observed) === "";
  }
}

function lacksRecord({ outcome, answer }: Departure): boolean {
  return outcome.diff === "record" && answer.recorded === false;
}
