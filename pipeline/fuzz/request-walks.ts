import type { TraceHandler } from "../../parsers/trace/record-source.ts";
import { RecordTeller } from "../../parsers/trace/record-teller.ts";
import { type DmaRecord, type MemRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord } from "../../parsers/trace/schema.ts";
import type { Bug } from "../../walkers/fuzz/bug.ts";
import type { VendorFuzzing } from "../../walkers/fuzz/vendor-fuzzing.ts";
import { allOnes, type WorldRecord } from "../../walkers/fuzz/world.ts";
import { type Invalidation, REJECTED } from "../../walkers/invalidation.ts";
import type { Layout } from "../../walkers/layout.ts";
import { frameHi, frameLo } from "../../walkers/memory.ts";
import { WalkRequest } from "../../walkers/request.ts";
import { WalkResult } from "../../walkers/result.ts";
import type { WalkObserver } from "../../walkers/table-reader.ts";
import { hexHalves } from "../../walkers/word64.ts";
import { Misdecoder } from "../device/misdecoder.ts";
import { aim } from "../iommus/iommus.ts";
import { Outcome } from "../iommus/outcome.ts";
import { walkRequest } from "../iommus/request-walk.ts";
import { DEFAULT_OPTIONS } from "../replay/options.ts";
import { RecordedSystem } from "../replay/recorded-system.ts";
import { fieldClasses } from "./field-classes.ts";
import { encode } from "./mutations.ts";
import type { LookUp } from "./past-invalidations.ts";

/** In the place of a field. */
const RESERVED_BITS = "reserved bits";

/** An entry that a walk read. */
export interface ReadEntry {
  readonly layout: Layout;
  readonly frame: number;
  readonly offset: number;
  /** Of page tables; NO_LEVEL for another structure. */
  readonly level: number;
  readonly littleEndian: boolean;
  /** What was there. */
  readonly bytes: Uint8Array;
}

/** What an entry would be, were one of its fields of another value. */
export interface Reading {
  /** Its name, or RESERVED_BITS. */
  readonly field: string;
  readonly bytes: Uint8Array;
}

/** A world's tables as they stand at each of its requests, and what walks of them read. */
export class RequestWalks implements TraceHandler {
  readonly names = new TraceNames();
  readonly #system = new RecordedSystem(this.names, { ...DEFAULT_OPTIONS, caches: false, findings: false });
  readonly #request = new WalkRequest();
  readonly #outcome = new Outcome();
  readonly #onRequest: (line: number, record: DmaRecord) => void;
  /** The queue has stopped, at a command that is refused. Worlds do not restart it. */
  #stopped = false;
  readonly #misdecoder: Misdecoder;

  /**
   * @param onRequest told of each request, when all that stands before it has happened
   * @param bugs mistakes that are made: of each, what contexts come to counts
   */
  constructor(onRequest: (line: number, record: DmaRecord) => void, bugs: readonly Bug[] = []) {
    this.#onRequest = onRequest;
    this.#misdecoder = new Misdecoder(bugs);
  }

  /** @param onCommand told of each command before it happens */
  run(records: readonly WorldRecord[], onCommand: (record: WorldRecord) => void = () => {}): void {
    const teller = new RecordTeller(this.names, this);
    try {
      records.forEach((record, i) => {
        if (record.type === "cmd") onCommand(record);
        teller.parsed(i + 1, record);
      });
    } finally {
      this.#system.close();
    }
  }

  /**
   * What a command invalidates, until the next command is looked at; null: it is none that does, or behind one at which the
   * queue has stopped.
   */
  invalidationOf(
    command: WorldRecord,
  ): { readonly name: string; readonly invalidation: Invalidation } | null {
    if (this.#stopped) return null;
    const unit = this.#system.iommus.units[0];
    const words = (command.data as string[]).map((word) => {
      const value = BigInt(word);
      return { hi: Number(value >> 32n) | 0, lo: Number(value & 0xffff_ffffn) | 0 };
    });
    const invalidation = unit?.commands.invalidation(words);
    this.#stopped = unit?.commands.status === REJECTED && unit.vendor.restart !== null;
    if (this.#stopped) return null;
    return invalidation ? { name: unit!.commands.spec!.name, invalidation } : null;
  }

  /** How a cache would look up what a request asks for, by the contexts as they are; null: they lead nowhere. */
  lookUpOf(record: DmaRecord): LookUp | null {
    const route = this.#system.iommus.route(record);
    if ("code" in route) return null;
    const { walker, vendor } = route.unit;
    const request = this.#request;
    aim(request, route, record);
    const [out, device, process] = [new WalkResult(), walker.newDevice(), walker.newPasidContext()];
    out.reset();
    if (!walker.loadDevice(request, device, out) || !walker.loadPasidContext(request, device, process, out))
      return null;
    const tag = vendor.caching.translationTag(device, process, request.pasid);
    return { tag, addrHi: record.addrHi, addrLo: record.addrLo };
  }

  /** @returns the outcome of a request, which is valid until the next walk; null: it is of no IOMMU */
  walk(record: DmaRecord): Outcome | null {
    const route = this.#system.iommus.route(record);
    if ("code" in route) return null;
    route.unit.engine.drop();
    aim(this.#request, route, record);
    walkRequest(route.unit.engine, this.#request, record.len, this.#outcome);
    return this.#outcome;
  }

  /** As `walk`, were an entry of other bytes. */
  walkWith(entry: ReadEntry, bytes: Uint8Array, record: DmaRecord): Outcome | null {
    return this.with(entry, bytes, () => this.walk(record));
  }

  /** Does something while an entry is of other bytes. */
  with<T>({ frame, offset, bytes: was }: ReadEntry, bytes: Uint8Array, act: () => T): T {
    const { memory } = this.#system;
    const hi = frameHi(frame);
    const lo = frameLo(frame) | offset;
    memory.write(hi, lo, bytes);
    const result = act();
    memory.write(hi, lo, was);
    return result;
  }

  /** What the walk of a request reads, in its order. */
  entriesOf(record: DmaRecord): ReadEntry[] {
    const entries: ReadEntry[] = [];
    const observer: WalkObserver = {
      entry(layout, frame, offset, view, at, _stage, level, littleEndian) {
        if (view === null) return;
        const bytes = Uint8Array.from({ length: layout.bytes }, (_, i) => view.getUint8(at + i));
        entries.push({ layout, frame, offset, level, littleEndian, bytes });
      },
    };
    const route = this.#system.iommus.route(record);
    if ("code" in route) return entries;
    const { tables } = route.unit.walker;
    tables.observer = observer;
    this.walk(record);
    tables.observer = null;
    return entries;
  }

  dma(line: number, record: DmaRecord): void {
    this.#onRequest(line, record);
  }

  mem(_line: number, record: MemRecord): void {
    this.#system.write(record);
  }

  record(_line: number, record: PlainRecord): void {
    this.#system.take(record);
    if (record.type === "iommu") this.#misdecoder.meet(this.#system.iommus.units);
  }

  unknown(): void {
    // Means nothing here either.
  }

  error(): void {
    // A replay has said it.
  }
}

const FRAME_32 = 0xffff_ffffn;

/** What a device would take an entry for that looks at one of its fields in another way. */
export function* readingsOf(entry: ReadEntry): Generator<Reading> {
  const { layout, littleEndian } = entry;
  yield* reservedReadings(entry);
  for (const field of layout.names())
    for (const value of valuesOf(layout, field))
      yield reading(entry, field, (view) => encode(layout, field, value, view, littleEndian));
  yield* cutAddresses(entry);
}

/** What is left of frames for those who have 32 bits for them. */
function* cutAddresses(entry: ReadEntry): Generator<Reading> {
  const { layout, bytes, littleEndian } = entry;
  for (const field of layout.names().filter((name) => layout.fields[name]!.kind === "frame")) {
    const frame = layout.extract(field, new DataView(bytes.buffer), 0, littleEndian);
    if (frame > FRAME_32)
      yield reading(entry, field, (view) => encode(layout, field, frame & FRAME_32, view, littleEndian));
  }
}

/** The same of its reserved bits, where any are set: it is rather these than a field, which every entry has. */
export function* reservedReadings(entry: ReadEntry): Generator<Reading> {
  const { layout, bytes, littleEndian } = entry;
  const view = new DataView(bytes.buffer);
  if (layout.reservedSet(view, 0, littleEndian).length > 0) {
    yield reading(entry, RESERVED_BITS, (other) => setReserved(layout, other, littleEndian, false));
    // Who checks more of them than there are to check is right as soon as all are set.
    yield reading(entry, RESERVED_BITS, (other) => setReserved(layout, other, littleEndian, true));
  }
  // Who does not know an extension takes what it has put there for reserved bits.
  for (const field of layout.names())
    if (layout.fields[field]!.needs !== undefined && layout.extract(field, view, 0, littleEndian) !== 0n)
      yield reading(entry, field, (other) => setReserved(layout, other, littleEndian, true));
}

/** And where it says something rare, of what that usually is. */
export function* usualReadings(
  entry: ReadEntry,
  { usual }: Pick<VendorFuzzing, "usual">,
): Generator<Reading> {
  const { layout, bytes, level, littleEndian } = entry;
  const values = usual?.(layout, new DataView(bytes.buffer), level) ?? null;
  if (values === null) return;
  yield reading(entry, Object.keys(values).join(), (view) => layout.encode(values, view, 0, littleEndian));
}

function reading({ bytes: was }: ReadEntry, field: string, change: (view: DataView) => void): Reading {
  const bytes = Uint8Array.from(was);
  change(new DataView(bytes.buffer));
  return { field, bytes };
}

/** Where an entry is, as records have it. */
export function addressOfEntry({ frame, offset }: ReadEntry): string {
  return hexHalves(frameHi(frame), frameLo(frame) | offset);
}

/** The record that writes other bytes in an entry's place. */
export function written(entry: ReadEntry, bytes: Uint8Array): WorldRecord {
  return { type: "mem", addr: addressOfEntry(entry), data: Buffer.from(bytes).toString("hex") };
}

/** Other values that a device may take a field for. */
function valuesOf(layout: Layout, field: string): bigint[] {
  const classes = fieldClasses(layout, field);
  if (!classes.includes("other")) return classes.map((value) => BigInt(value));
  return [0n, allOnes(layout, field)];
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
