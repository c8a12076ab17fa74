/**
 * What is behind a departure: the structure and field on whose value the answer depends. A device that ignores a field
 * answers as a correct one would if the field had another value; so the fields of all that the walk reads are tried.
 */

import type { TraceHandler } from "../../parsers/trace/record-source.ts";
import { RecordTeller } from "../../parsers/trace/record-teller.ts";
import { type DmaRecord, type MemRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord } from "../../parsers/trace/schema.ts";
import type { VendorFuzzing } from "../../walkers/fuzz/vendor-fuzzing.ts";
import { allOnes, type WorldRecord } from "../../walkers/fuzz/world.ts";
import type { Layout } from "../../walkers/layout.ts";
import { frameHi, frameLo } from "../../walkers/memory.ts";
import { WalkRequest } from "../../walkers/request.ts";
import type { WalkObserver } from "../../walkers/table-reader.ts";
import { aim } from "../iommus/iommus.ts";
import { Outcome } from "../iommus/outcome.ts";
import { walkRequest } from "../iommus/request-walk.ts";
import { DEFAULT_OPTIONS } from "../replay/options.ts";
import { RecordedSystem } from "../replay/recorded-system.ts";
import { Comparison, NO_ALIASES } from "../verdicts/comparison.ts";
import { fieldClasses, hasReserved } from "./field-classes.ts";
import type { Departure } from "./judge.ts";
import { encode } from "./mutations.ts";

const PAGE_SHIFT = 12n;
/** In the place of a field. */
const RESERVED_BITS = "reserved bits";

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
}

/** An entry that a walk read. */
interface ReadEntry {
  readonly layout: Layout;
  readonly frame: number;
  readonly offset: number;
  readonly level: number;
  readonly littleEndian: boolean;
}

/** What is alike in departures of one kind before anything is known of their cause: it is kept while they are shrunk. */
export function kindOf(departure: Departure): string {
  const { verdict, diff } = departure.outcome;
  return `${verdict}: ${expectedOf(departure)} → ${observedOf(departure)}${diff === "record" ? " (record)" : ""}`;
}

function expectedOf({ outcome, condition }: Pick<Departure, "outcome" | "condition">): string {
  if (outcome.result !== "fault") return outcome.result;
  const { code, name } = outcome;
  return `${code === undefined ? name! : `${name} (${code})`}${condition === "" ? "" : `, ${condition}`}`;
}

function observedOf({ answer }: Pick<Departure, "answer">): string {
  if (answer.result !== "fault") return answer.result;
  return answer.code ?? answer.reason ?? "fault";
}

/**
 * Of departures of one world, in the order of their lines.
 * @param records with what was observed, up to the last of them at least
 */
export function signaturesOf(
  records: readonly WorldRecord[],
  departures: readonly Departure[],
  fuzzing: VendorFuzzing,
): Signature[] {
  if (departures.length === 0) return [];
  const places = new Attribution(records, departures, fuzzing).places();
  const held = new Map<string, Signature>();
  return departures.map((departure) => {
    const translation = translationOf(records[departure.line - 1]!, departure);
    const earlier = held.get(translation);
    if (earlier !== undefined && departure.outcome.verdict === "mismatch") return earlier;
    const signature = signatureOf(places.get(departure)!, departure);
    if (translation !== "") held.set(translation, signature);
    return signature;
  });
}

function signatureOf(where: string, departure: Departure): Signature {
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

class Attribution implements TraceHandler {
  readonly #names = new TraceNames();
  readonly #system = new RecordedSystem(this.#names, { ...DEFAULT_OPTIONS, caches: false, findings: false });
  readonly #records: readonly WorldRecord[];
  readonly #usual: NonNullable<VendorFuzzing["usual"]>;
  /** By their lines. */
  readonly #departures: ReadonlyMap<number, Departure>;
  readonly #places = new Map<Departure, string>();
  readonly #request = new WalkRequest();
  readonly #outcome = new Outcome();
  /** What was invalidated last; "": nothing. */
  #invalidated = "";

  constructor(
    records: readonly WorldRecord[],
    departures: readonly Departure[],
    { usual }: Pick<VendorFuzzing, "usual">,
  ) {
    this.#records = records;
    this.#usual = usual ?? (() => null);
    this.#departures = new Map(departures.map((departure) => [departure.line, departure]));
  }

  places(): ReadonlyMap<Departure, string> {
    const last = Math.max(...this.#departures.keys());
    const teller = new RecordTeller(this.#names, this);
    try {
      this.#records.slice(0, last).forEach((record, i) => {
        if (record.type === "cmd") this.#invalidated = this.#nameOf(record) || this.#invalidated;
        teller.parsed(i + 1, record);
      });
      return this.#places;
    } finally {
      this.#system.close();
    }
  }

  /** What an invalidation is called; "" for another command. */
  #nameOf(command: WorldRecord): string {
    const unit = this.#system.iommus.units[0];
    const words = (command.data as string[]).map((word) => {
      const value = BigInt(word);
      return { hi: Number(value >> 32n) | 0, lo: Number(value & 0xffff_ffffn) | 0 };
    });
    return unit?.commands.invalidation(words) ? unit.commands.spec!.name : "";
  }

  dma(line: number, record: DmaRecord): void {
    const departure = this.#departures.get(line);
    if (departure === undefined) return;
    const found = record.observed.present ? this.#decide(record, departure) : "";
    // Who ignores a field looks like somebody who has kept what was there before it changed.
    const kept = departure.outcome.verdict === "stale-after-invalidation" && !found.includes(".");
    this.#places.set(departure, kept && this.#invalidated !== "" ? `after ${this.#invalidated}` : found);
  }

  mem(_line: number, record: MemRecord): void {
    this.#system.write(record);
  }

  record(_line: number, record: PlainRecord): void {
    this.#system.take(record);
  }

  unknown(): void {
    // Means nothing here either.
  }

  error(): void {
    // A replay has said it.
  }

  /** The field that the answer depends on; else the structure that the walk ended with. */
  #decide(record: DmaRecord, departure: Departure): string {
    const entries = this.#entriesOf(record);
    // A field that would suppress the record explains why there is none, though it does not say so.
    if (lacksRecord(departure)) return entries.at(-1)?.layout.name ?? "";
    const ways = [
      (entry: ReadEntry) => this.#rareFieldOf(entry, record),
      (entry: ReadEntry) => this.#fieldOf(entry, record),
    ];
    for (const [way, entry] of ways.flatMap((way) =>
      entries.toReversed().map((entry) => [way, entry] as const),
    )) {
      const field = way(entry);
      if (field !== "") return `${entry.layout.name}.${field}`;
    }
    return entries.at(-1)?.layout.name ?? "";
  }

  #walk(record: DmaRecord): Outcome | null {
    const route = this.#system.iommus.route(record);
    if ("code" in route) return null;
    route.unit.engine.drop();
    aim(this.#request, route, record);
    walkRequest(route.unit.engine, this.#request, record.len, this.#outcome);
    return this.#outcome;
  }

  #entriesOf(record: DmaRecord): ReadEntry[] {
    const entries: ReadEntry[] = [];
    const observer: WalkObserver = {
      entry(layout, frame, offset, view, _at, _stage, level, littleEndian) {
        if (view !== null) entries.push({ layout, frame, offset, level, littleEndian });
      },
    };
    const route = this.#system.iommus.route(record);
    if ("code" in route) return entries;
    const { tables } = route.unit.walker;
    tables.observer = observer;
    this.#walk(record);
    tables.observer = null;
    return entries;
  }

  /** The field whose rarer meaning the device does not know. */
  #rareFieldOf(entry: ReadEntry, record: DmaRecord): string {
    const { layout, level, littleEndian } = entry;
    const was = this.#bytesOf(entry);
    const values = was && this.#usual(layout, new DataView(was.buffer), level);
    if (was === null || values === null) return "";
    const usual = Uint8Array.from(was);
    layout.encode(values, new DataView(usual.buffer), 0, littleEndian);
    return this.#explains(entry, usual, was, record) ? Object.keys(values).join() : "";
  }

  /** The first field of an entry with which, had it another value, the device would be right. */
  #fieldOf(entry: ReadEntry, record: DmaRecord): string {
    const { layout } = entry;
    const was = this.#bytesOf(entry);
    if (was === null) return "";
    const explains = (change: (view: DataView) => void) => {
      const bytes = Uint8Array.from(was);
      change(new DataView(bytes.buffer));
      return this.#explains(entry, bytes, was, record);
    };
    if (hasReserved(layout) && explains((view) => setReserved(layout, view, entry.littleEndian, false)))
      return RESERVED_BITS;
    // Who checks more of them than there are to check is right as soon as all are set.
    if (
      layout.reservedSet(new DataView(was.buffer), 0, entry.littleEndian).length > 0 &&
      explains((view) => setReserved(layout, view, entry.littleEndian, true))
    )
      return RESERVED_BITS;
    for (const field of layout.names())
      for (const value of valuesOf(layout, field))
        if (explains((view) => encode(layout, field, value, view, entry.littleEndian))) return field;
    return "";
  }

  #explains({ frame, offset }: ReadEntry, bytes: Uint8Array, was: Uint8Array, record: DmaRecord): boolean {
    const { memory } = this.#system;
    const hi = frameHi(frame);
    const lo = frameLo(frame) | offset;
    memory.write(hi, lo, bytes);
    const outcome = this.#walk(record);
    const comparison = new Comparison(this.#names, "record", "exact", NO_ALIASES);
    const same = outcome !== null && comparison.difference(outcome, record.observed) === "";
    memory.write(hi, lo, was);
    return same;
  }

  #bytesOf({ layout, frame, offset }: ReadEntry): Uint8Array | null {
    const { memory } = this.#system;
    if (!memory.peek(frame, offset, layout.bytes)) return null;
    const { view, at } = memory;
    return Uint8Array.from({ length: layout.bytes }, (_, i) => view.getUint8(at + i));
  }
}

/** Other values that a device may take a field for. */
function valuesOf(layout: Layout, field: string): bigint[] {
  const classes = fieldClasses(layout, field);
  if (!classes.includes("other")) return classes.map((value) => BigInt(value));
  return [0n, allOnes(layout, field)];
}

function lacksRecord({ outcome, answer }: Departure): boolean {
  return outcome.diff === "record" && answer.recorded === false;
}

/** Sets or clears all reserved bits. */
function setReserved(layout: Layout, view: DataView, littleEndian: boolean, set: boolean): void {
  if (layout.bytes < 8) return;
  const words = layout.reserved();
  for (let at = 0; at < layout.bytes; at += 8) {
    const mask = (BigInt(words[at / 4 + 1]!) << 32n) | BigInt(words[at / 4]!);
    const word = view.getBigUint64(at, littleEndian);
    view.setBigUint64(at, set ? word | mask : word & ~mask, littleEndian);
  }
}
