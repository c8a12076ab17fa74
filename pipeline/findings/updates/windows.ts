import type { DmaRecord } from "../../../parsers/trace/records.ts";
import { FAULT } from "../../../walkers/result.ts";
import type { Outcome } from "../../iommus/outcome.ts";
import { EntryHistory, type TableEntry } from "./entry-history.ts";
import type { EntryPlace } from "./request-look.ts";
import type { EntryState } from "./stores.ts";

/** Entries that are remembered because they were made invalid; past it the oldest are forgotten. */
const MAX_WINDOWS = 1 << 10;

/** A time in which an entry is not valid, that was and may be again. */
export interface UpdateWindow {
  readonly entry: TableEntry;
  readonly place: EntryPlace;
  /** The valid entry that it was. */
  readonly before: EntryState;
  /** Line of the write that made it invalid. */
  readonly line: number;
  /** Requests that it refused, the line of the first, and whether the recorded system refused one, too. */
  refused: number;
  firstLine: number;
  observed: boolean;
  /** Line of the first request that passed untranslated; 0: none did. */
  passedLine: number;
  /** Nothing was left of the entry meanwhile: it was removed, and is another one now. */
  emptied: boolean;
}

/** The windows that are open. */
export class UpdateWindows {
  readonly #byFrame = new Map<number, Map<number, UpdateWindow>>();
  /** Those of entries that let requests pass while they are not valid, by device. */
  readonly #passing = new Map<number, UpdateWindow>();
  #count = 0;

  opens(entry: TableEntry, place: EntryPlace, before: EntryState, line: number): void {
    if (this.#count >= MAX_WINDOWS) {
      const [oldest] = this.#byFrame.keys();
      this.#count -= this.#byFrame.get(oldest!)!.size;
      this.#byFrame.delete(oldest!);
      this.#passing.clear();
    }
    const inFrame = this.#byFrame.get(place.frame) ?? new Map<number, UpdateWindow>();
    this.#byFrame.set(place.frame, inFrame);
    if (inFrame.has(place.offset)) return;
    const window: UpdateWindow = {
      entry,
      place,
      before,
      line,
      refused: 0,
      firstLine: 0,
      observed: false,
      passedLine: 0,
      emptied: false,
    };
    inFrame.set(place.offset, window);
    this.#count++;
    if (entry.table.spec.kind.updates.refusing !== undefined)
      this.#passing.set(EntryHistory.deviceOf(entry), window);
  }

  /** An entry that is not valid was written to. */
  written({ frame, offset }: EntryPlace, { words }: EntryState): void {
    const window = this.#byFrame.get(frame)?.get(offset);
    if (window !== undefined && words.every((word) => word === 0n)) window.emptied = true;
  }

  /**
   * The entry is valid again.
   * @returns the window that this closes; null: there was none, or of a structure of another kind in the same place
   */
  closes({ table }: TableEntry, { frame, offset }: EntryPlace): UpdateWindow | null {
    const inFrame = this.#byFrame.get(frame);
    const window = inFrame?.get(offset);
    if (inFrame === undefined || window === undefined) return null;
    if (window.entry.table.spec.kind !== table.spec.kind) return null;
    inFrame.delete(offset);
    this.#count--;
    if (inFrame.size === 0) this.#byFrame.delete(frame);
    for (const [device, passing] of this.#passing) if (passing === window) this.#passing.delete(device);
    return window;
  }

  get any(): boolean {
    return this.#count > 0;
  }

  /** A request faults. */
  faulted(line: number, record: DmaRecord, { entryFrame, entryOffset }: Outcome): void {
    if (this.#count === 0 || entryFrame < 0) return;
    for (const window of this.#byFrame.get(entryFrame)?.values() ?? []) {
      const { offset, bytes } = window.place;
      if (entryOffset < offset || entryOffset >= offset + bytes) continue;
      if (window.refused++ === 0) window.firstLine = line;
      if (record.observed.present && record.observed.result === FAULT) window.observed = true;
    }
  }

  /** The window of a device's entry that lets its requests pass; undefined: there is none. */
  passing(device: number): UpdateWindow | undefined {
    return this.#passing.size === 0 ? undefined : this.#passing.get(device);
  }

  clear(): void {
    this.#byFrame.clear();
    this.#passing.clear();
    this.#count = 0;
  }
}
