import type { DmaRecord } from "../../../parsers/trace/records.ts";
import {
  ACCEPTED,
  CONTEXT_CACHE,
  coversDevice,
  type Invalidation,
  PASID_CACHE,
} from "../../../walkers/invalidation.ts";
import type { GuestMemory } from "../../../walkers/memory.ts";
import type { Word64 } from "../../../walkers/registers.ts";
import { WalkRequest } from "../../../walkers/request.ts";
import { OK } from "../../../walkers/result.ts";
import type { VersionedMemory } from "../../caches/history/versioned-memory.ts";
import type { IommuUnit } from "../../iommus/iommu-unit.ts";
import { aim, type Route } from "../../iommus/iommus.ts";
import type { Outcome } from "../../iommus/outcome.ts";
import type { LiveTable } from "../tables/linter.ts";
import type { StoreWatcher } from "../tables/written-entries.ts";
import { EntryHistory, placeOf, type TableEntry } from "./entry-history.ts";
import { type EntryPlace, lookAt } from "./request-look.ts";
import { EntryState } from "./stores.ts";
import { UpdateWindows } from "./windows.ts";

/** Histories that are kept at once, stores of one, and requests of one that are looked at. */
const MAX_HISTORIES = 1 << 10;
const MAX_STORES = 1 << 6;
const MAX_LOOKS = 1 << 6;

/** A store that is under way. */
interface PendingStore {
  readonly entry: TableEntry;
  readonly place: EntryPlace;
  readonly from: number;
  readonly to: number;
  readonly beyond: boolean;
  readonly before: EntryState;
}

/** What becomes of histories and windows that are over. */
export interface UpdateJudge {
  /** @param stores how many of the stores an invalidation separates from those before them, in ascending order */
  over(history: EntryHistory, separate: readonly number[]): void;
  /** An entry was made valid, and serves. */
  served(history: EntryHistory): void;
  reopened(window: NonNullable<ReturnType<UpdateWindows["closes"]>>, now: EntryState, line: number): void;
}

/**
 * How entries of tables in use are changed: which stores the IOMMU may have read an entry between, and what requests met.
 *
 * A record that lies within one entry tells of stores to it: of one, where it is no larger than what one store changes,
 * else of several whose order is not known. A record that reaches beyond an entry says how memory is, not how it came
 * to be: it is no store. A history ends with an invalidation that covers the entry and is complete.
 */
export class UpdatedEntries implements StoreWatcher {
  readonly #memory: GuestMemory;
  readonly #past: VersionedMemory;
  readonly #unitOf: (table: LiveTable) => IommuUnit | undefined;
  readonly #judge: UpdateJudge;
  readonly #histories = new Map<string, EntryHistory>();
  /** By the device that they are about; -1: several. */
  readonly #byDevice = new Map<IommuUnit, Map<number, Set<EntryHistory>>>();
  readonly #windows = new UpdateWindows();
  readonly #stores: PendingStore[] = [];
  /** Units that have waited for an invalidation. */
  readonly #waits = new Set<IommuUnit>();
  readonly #request = new WalkRequest();

  constructor(
    memory: GuestMemory,
    past: VersionedMemory,
    unitOf: (table: LiveTable) => IommuUnit | undefined,
    judge: UpdateJudge,
  ) {
    this.#memory = memory;
    this.#past = past;
    this.#unitOf = unitOf;
    this.#judge = judge;
  }

  // ── stores ──

  storing(table: LiveTable, index: number, from: number, to: number, beyond: boolean): void {
    const entry = { table, index };
    const place = placeOf(entry);
    const before = place === null ? null : this.#stateOf(entry, place);
    if (before !== null) this.#stores.push({ entry, place: place!, from, to, beyond, before });
  }

  stored(line: number): void {
    for (const store of this.#stores) {
      const after = this.#stateOf(store.entry, store.place);
      if (after?.words.some((word, i) => word !== store.before.words[i])) this.#changed(store, after, line);
    }
    this.#stores.length = 0;
  }

  #changed({ entry, place, from, to, beyond, before }: PendingStore, after: EntryState, line: number): void {
    if (before.valid && !after.valid) this.#windows.opens(entry, place, before, line);
    if (!after.valid) this.#windows.written(place, after);
    const window = after.valid ? this.#windows.closes(entry, place) : null;
    if (window !== null) this.#judge.reopened(window, after, line);
    const key = `${place.frame}:${place.offset}`;
    let history = this.#histories.get(key);
    // What was only read says how memory is, too.
    if (beyond || this.#past.asRead) {
      if (history !== undefined) this.#forget(key, history);
      return;
    }
    if (history === undefined) {
      const unit = this.#unitOf(entry.table);
      if (unit === undefined || (!before.valid && !after.valid)) return;
      history = new EntryHistory(unit, entry, place, before, this.#past.time);
      this.#histories.set(key, history);
      this.#index(history, entry);
      this.#bound();
    } else if (!history.entries.some((known) => known.table === entry.table && known.index === entry.index)) {
      history.entries.push(entry);
      this.#index(history, entry);
    }
    // Another table that it is part of tells of the same store.
    if (history.stores.at(-1)?.line === line) return;
    history.push({ line, time: this.#past.time, from, to, after });
    this.#followUp(history);
    if (history.stores.length >= MAX_STORES) this.#close(key, history);
  }

  #stateOf({ table }: TableEntry, { frame, offset, bytes }: EntryPlace): EntryState | null {
    const memory = this.#memory;
    if (!memory.fetch(frame, offset, bytes)) return null;
    const copy = new Uint8Array(bytes);
    copy.set(new Uint8Array(memory.view.buffer, memory.view.byteOffset + memory.at, bytes));
    return new EntryState(table.spec.kind, new DataView(copy.buffer));
  }

  // ── requests ──

  /** Entries of an IOMMU's tables are being changed. */
  concern(unit: IommuUnit): boolean {
    return this.#byDevice.has(unit);
  }

  /** A request was walked: whether it used an entry that is being changed. */
  request(line: number, route: Route, record: DmaRecord, outcome: Outcome): void {
    if (outcome.status === OK && outcome.passthrough) this.#passed(line, route);
    const devices = this.#byDevice.get(route.unit);
    if (devices === undefined) return;
    for (const device of [route.id, -1])
      for (const history of devices.get(device) ?? []) this.#use(history, line, route, record, outcome);
  }

  /** Nothing has translated a request: its device's entry may be one that is being replaced. */
  #passed(line: number, { unit, id, binding }: Route): void {
    const window = this.#windows.passing(id);
    if (window === undefined || binding !== null || window.passedLine !== 0) return;
    if (this.#unitOf(window.entry.table) === unit) window.passedLine = line;
  }

  #use(history: EntryHistory, line: number, route: Route, record: DmaRecord, outcome: Outcome): void {
    if (history.looks >= MAX_LOOKS || !history.state.valid) return;
    history.looks++;
    const request = this.#request;
    aim(request, route, record);
    const { reads, answer } = lookAt(history.unit, request, history.place);
    if (!reads) return;
    // What was just made valid, and serves, is complete.
    if (!history.base.valid && outcome.status === OK) {
      this.#judge.served(history);
      this.#forget(keyOf(history), history);
      return;
    }
    const { stores, updateStart } = history;
    // What it comes to as before the update is nothing new.
    if (updateStart === stores.length) return;
    const before = stores[updateStart]!.time - 1;
    const { value } = this.#past.readAsOf(before, () => lookAt(history.unit, request, history.place));
    if (value.answer === answer) return;
    history.uses.push({ line, stores: stores.length, answer, request: request.clone(), after: null });
  }

  /** Some entry is invalid that was valid, and may be again. */
  get anyWindow(): boolean {
    return this.#windows.any;
  }

  faulted(line: number, record: DmaRecord, outcome: Outcome): void {
    this.#windows.faulted(line, record, outcome);
  }

  // ── invalidations ──

  /** A command of the unit's queue, as `unit.commands` has just decoded it. */
  command(unit: IommuUnit, words: readonly Word64[]): void {
    const completes = unit.commands.completion;
    if (completes) this.#waits.add(unit);
    if (!this.#byDevice.has(unit)) return;
    const invalidation = unit.commands.invalidation(words);
    for (const [key, history] of this.#of(unit)) {
      // Software turns to the queue: what has been stored by then is meant to be.
      history.endUpdate();
      // What has been made valid is complete when software turns to the queue.
      if (!history.base.valid || (completes && history.issued.length > 0)) this.#close(key, history);
      else if (invalidation !== null && invalidation.status === ACCEPTED && covers(invalidation, history))
        history.issued.push(history.stores.length);
    }
  }

  /** What requests in the middle of an update come to after one more of its stores. */
  #followUp({ unit, place, uses, updateStart }: EntryHistory): void {
    for (const use of uses) if (use.stores > updateStart) use.after = lookAt(unit, use.request, place).answer;
  }

  /** An invalidation that has happened, in whatever way. */
  invalidated(unit: IommuUnit, invalidation: Invalidation): void {
    if (!this.#byDevice.has(unit)) return;
    for (const [key, history] of this.#of(unit))
      if (!history.base.valid || covers(invalidation, history)) this.#close(key, history);
  }

  /** Nothing leads to a table any more: what has been written to it may have been meant for another use of the page. */
  gone(table: LiveTable): void {
    for (const [key, history] of this.#histories)
      if (history.entries.some((entry) => entry.table === table)) this.#forget(key, history);
  }

  /** All is over: memory, or what the tables look like, is another one from now on. */
  clear(): void {
    for (const [key, history] of this.#histories) this.#close(key, history);
    this.#windows.clear();
  }

  // ── which there are ──

  #of(unit: IommuUnit): [string, EntryHistory][] {
    return [...this.#histories].filter(([, history]) => history.unit === unit);
  }

  #index(history: EntryHistory, entry: TableEntry): void {
    const devices = this.#byDevice.get(history.unit) ?? new Map<number, Set<EntryHistory>>();
    this.#byDevice.set(history.unit, devices);
    const device = EntryHistory.deviceOf(entry);
    const histories = devices.get(device) ?? new Set();
    devices.set(device, histories);
    histories.add(history);
  }

  #bound(): void {
    if (this.#histories.size <= MAX_HISTORIES) return;
    const [oldest] = this.#histories;
    this.#close(...oldest!);
  }

  #forget(key: string, history: EntryHistory): void {
    this.#histories.delete(key);
    const devices = this.#byDevice.get(history.unit)!;
    for (const entry of history.entries) {
      const device = EntryHistory.deviceOf(entry);
      const histories = devices.get(device);
      histories?.delete(history);
      if (histories?.size === 0) devices.delete(device);
    }
    if (devices.size === 0) this.#byDevice.delete(history.unit);
  }

  /** A system that never waits is taken to have had its invalidations at once. */
  #close(key: string, history: EntryHistory): void {
    this.#forget(key, history);
    this.#judge.over(history, this.#waits.has(history.unit) ? [] : history.issued);
  }
}

function keyOf({ place }: EntryHistory): string {
  return `${place.frame}:${place.offset}`;
}

/** Whether it drops what a cache holds of the entry. Which domain it is about says nothing that is not said by that. */
function covers(invalidation: Invalidation, { entries }: EntryHistory): boolean {
  const { caches, anyDevice, pasid } = invalidation;
  return entries.some(({ table, index }) => {
    const { kind, first, device } = table.spec;
    const id = first + index * kind.span;
    // A table that serves one device is of what is below its context.
    if (device < 0)
      return (caches & CONTEXT_CACHE) !== 0 && (anyDevice || kind.span > 1 || coversDevice(invalidation, id));
    if ((caches & PASID_CACHE) === 0 || !coversDevice(invalidation, device)) return false;
    return kind.ids === "device" || pasid < 0 || (pasid >= id && pasid < id + kind.span);
  });
}
