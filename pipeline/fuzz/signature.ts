/**
 * What is behind a departure: the structure and field on whose value the answer depends. A device that ignores a field
 * answers as a correct one would if the field had another value; so the fields of all that the walk reads are tried.
 */

import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import type { Outcome } from "../iommus/outcome.ts";
import { outcomeRecord } from "../output/outcome-record.ts";
import { type CodeAliases, Comparison, NO_ALIASES } from "../verdicts/comparison.ts";
import type { Departure } from "./judge.ts";
import { isTagged, PastInvalidations } from "./past-invalidations.ts";
import { addressOfEntry, type ReadEntry, RequestWalks, readingsOf } from "./request-walks.ts";

/** What departures have in common that are of one mistake, as far as can be told. */
export interface Signature {
  /** The whole of it, for an ignore file. */
  readonly text: string;
  /** "VT-d context entry.TT"; "" where no field decides. */
  readonly where: string;
  /** What a correct IOMMU answers, and what the device did. */
  readonly expected: string;
  readonly observed: string;
}

/** What is alike in departures of one kind before anything is known of their cause: it is kept while they are shrunk. */
export function kindOf({ outcome, answer }: Departure): string {
  const kind = `${outcome.verdict}: ${expectedOf({ outcome })} → ${observedOf({ answer })}`;
  return kind + elsewhere({ outcome, answer }) + (outcome.diff === "record" ? " (record)" : "");
}

/** Where a device says that it has met a fault, if that is not where it is to be: " (stage 2, TT)". */
function elsewhere({ outcome, answer }: Pick<Departure, "outcome" | "answer">): string {
  if (answer.class === undefined || answer.stage === undefined) return "";
  const same = answer.stage === outcome.stage && answer.class === outcome.class;
  return same ? "" : ` (stage ${answer.stage}, ${answer.class})`;
}

function expectedOf({ outcome }: Pick<Departure, "outcome">): string {
  if (outcome.result !== "fault") return outcome.result;
  return outcome.code === undefined ? outcome.name! : `${outcome.name} (${outcome.code})`;
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
 */
export function signaturesOf(
  records: readonly WorldRecord[],
  departures: readonly Departure[],
  codeAliases = NO_ALIASES,
  shrunk = false,
): Signature[] {
  if (departures.length === 0) return [];
  const places = new Attribution(records, departures, codeAliases, shrunk).places();
  return departures.map((departure) => {
    const { where, formerly } = places.get(departure)!;
    const kind = formerly || kindOf(departure);
    const [expected, observed] = [expectedOf(departure), observedOf(departure)];
    return { text: where === "" ? kind : `${where}: ${kind}`, where, expected, observed };
  });
}

const NO_NAMES = { index: 0, iommu: undefined, device: "", trace: undefined };

interface Place {
  readonly where: string;
  /** The kind of departure that it would have been before an entry changed; "": it is one by what the entry is now. */
  readonly formerly: string;
}

class Attribution {
  readonly #records: readonly WorldRecord[];
  /** By their lines. */
  readonly #departures: ReadonlyMap<number, Departure>;
  readonly #places = new Map<Departure, Place>();
  readonly #walks = new RequestWalks((line, record) => this.#request(line, record));
  readonly #comparison: Comparison;
  readonly #shrunk: boolean;
  readonly #invalidated = new PastInvalidations();

  constructor(
    records: readonly WorldRecord[],
    departures: readonly Departure[],
    codeAliases: CodeAliases,
    shrunk: boolean,
  ) {
    this.#shrunk = shrunk;
    this.#comparison = new Comparison(this.#walks.names, "record", "exact", codeAliases);
    this.#records = records;
    this.#departures = new Map(departures.map((departure) => [departure.line, departure]));
  }

  places(): ReadonlyMap<Departure, Place> {
    const last = Math.max(...this.#departures.keys());
    this.#walks.run(this.#records.slice(0, last), (command) => {
      const found = this.#walks.invalidationOf(command);
      if (found !== null) this.#invalidated.add(found.name, found.invalidation);
    });
    return this.#places;
  }

  #request(line: number, record: DmaRecord): void {
    const departure = this.#departures.get(line);
    if (departure === undefined) return;
    const found = record.observed.present ? this.#decide(record) : "";
    const { verdict } = departure.outcome;
    const after = verdict === "stale-after-invalidation" ? this.#after(line, record, found) : "";
    // Of what passes: what a device says of a fault may be another name for it.
    const passes = departure.answer.result === "ok";
    const unexplained = verdict === "mismatch" && passes && !found.includes(".");
    const former = unexplained && record.observed.present ? this.#formerly(line, record, departure) : null;
    const tagged = verdict === "mismatch" && this.#isRefusedForItsTag(record, departure);
    const where = after || (tagged ? `${found} (tagged address)` : found);
    this.#places.set(departure, former ?? { where, formerly: "" });
  }

  /**
   * What departs from what an entry once said, where a cache may hold it: one on the way, the last that has changed.
   * Null: none has, or it makes no difference.
   */
  #formerly(line: number, record: DmaRecord, departure: Departure): Place | null {
    let found: Place | null = null;
    for (const entry of this.#walks.entriesOf(record).toReversed())
      for (const bytes of this.#formersOf(entry, line).toReversed()) {
        // Nothing comes from what said nothing.
        if (Buffer.compare(bytes, entry.bytes) === 0 || bytes.every((byte) => byte === 0)) continue;
        const place = this.#walks.with(entry, bytes, () => this.#placeOfFormer(record, departure));
        if (place?.where.includes(".")) return place;
        found ??= place;
      }
    return found;
  }

  #placeOfFormer(record: DmaRecord, { outcome: now, answer }: Departure): Place | null {
    const outcome = this.#walks.walk(record);
    const diff = outcome === null ? "" : this.#differs(outcome, record);
    if (outcome === null || diff === "") return null;
    const told = outcomeRecord(0, NO_NAMES, record, outcome);
    if (told.result === now.result && told.code === now.code) return null;
    const kind = kindOf({ line: 0, outcome: { ...told, verdict: "mismatch", diff }, answer });
    return { where: this.#decide(record), formerly: kind.replace("mismatch", "formerly") };
  }

  /** Whether what is refused has an address whose top byte says nothing. */
  #isRefusedForItsTag(record: DmaRecord, { answer }: Departure): boolean {
    const lookUp = answer.result === "fault" ? this.#walks.lookUpOf(record) : null;
    return lookUp !== null && isTagged(lookUp);
  }

  /** What an entry was, the latest last. */
  #formersOf(entry: ReadEntry, line: number): Buffer[] {
    const place = addressOfEntry(entry);
    const before = this.#records.slice(0, line - 1);
    const texts = before.flatMap(({ type, addr, data }) => (type === "mem" && addr === place ? [data] : []));
    return [...new Set(texts as string[])].map((data) => Buffer.from(data, "hex"));
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
    return this.#walks
      .entriesOf(record)
      .some((entry) => this.#formersOf(entry, line).some((bytes) => this.#explains(entry, bytes, record)));
  }

  /** The field that the answer depends on; else the structure that the walk ended with. */
  #decide(record: DmaRecord): string {
    const entries = this.#walks.entriesOf(record);
    for (const entry of entries.toReversed()) {
      const field = this.#fieldOf(entry, record);
      if (field !== "") return `${entry.layout.name}.${field}`;
    }
    return entries.at(-1)?.layout.name ?? "";
  }

  /** The first field of an entry with which, had it another value, the device would be right. */
  #fieldOf(entry: ReadEntry, record: DmaRecord): string {
    for (const { field, bytes } of readingsOf(entry)) if (this.#explains(entry, bytes, record)) return field;
    return "";
  }

  #explains(entry: ReadEntry, bytes: Uint8Array, record: DmaRecord): boolean {
    const outcome = this.#walks.walkWith(entry, bytes, record);
    return outcome !== null && this.#differs(outcome, record) === "";
  }

  #differs(outcome: Outcome, record: DmaRecord): ReturnType<Comparison["difference"]> {
    return this.#comparison.difference(outcome, record.observed);
  }
}
