import { FRAME_BYTES, FRAME_MASK, FRAME_SHIFT, frameOf } from "../../../walkers/memory.ts";
import type { FrameUser, LiveTable } from "./linter.ts";

/** An entry that was written to since it was last judged. */
export interface WrittenEntry {
  readonly table: LiveTable;
  readonly index: number;
  /** Line of the last record that wrote to it. */
  line: number;
}

/** Told of every write to an entry of a table in use. */
export interface StoreWatcher {
  /**
   * A record is about to write to an entry.
   * @param from first byte of the entry that it writes, and the one after the last
   * @param beyond it writes more than this entry
   */
  storing(table: LiveTable, index: number, from: number, to: number, beyond: boolean): void;
  /** It has. */
  stored(line: number): void;
}

/** Which entries of tables in use are written to, and what becomes of them until they are judged. */
export class WrittenEntries implements FrameUser {
  readonly #watcher: StoreWatcher;
  /** Tables, and which of their frames it is, by frame number. */
  readonly #frames = new Map<number, { readonly table: LiveTable; readonly slot: number }[]>();
  readonly #written = new Map<LiveTable, Map<number, WrittenEntry>>();
  /** Entries that the write under way touches. */
  readonly #touched: WrittenEntry[] = [];

  constructor(watcher: StoreWatcher) {
    this.#watcher = watcher;
  }

  /** Entries that wait to be judged. */
  get any(): boolean {
    return this.#written.size > 0;
  }

  /** Frames of the tables in use. */
  frames(): ReadonlySet<number> {
    return new Set(this.#frames.keys());
  }

  /** Takes them out, from the roots down: what nothing leads to any more is not to be judged. */
  take(): WrittenEntry[] {
    const entries: WrittenEntry[] = [];
    for (const some of this.#written.values()) entries.push(...some.values());
    this.#written.clear();
    return entries.sort((a, b) => a.table.depth - b.table.depth);
  }

  /** Whether bytes from an address on are, in part, of a table in use: then `writing` and `written` are to be called. */
  concerns(addrHi: number, addrLo: number, bytes: number): boolean {
    const frames = this.#frames;
    if (frames.size === 0) return false;
    const first = frameOf(addrHi, addrLo);
    if (frames.has(first)) return true;
    const last = first + (((addrLo & FRAME_MASK) + bytes - 1) >>> FRAME_SHIFT);
    for (let frame = first + 1; frame <= last; frame++) if (frames.has(frame)) return true;
    return false;
  }

  /** Bytes are about to be written. */
  writing(addrHi: number, addrLo: number, bytes: number): void {
    this.#touched.length = 0;
    const first = frameOf(addrHi, addrLo);
    let from = addrLo & FRAME_MASK;
    for (let frame = first, left = bytes; left > 0; frame++) {
      const to = Math.min(from + left, FRAME_BYTES);
      for (const { table, slot } of this.#frames.get(frame) ?? [])
        this.#touch(table, slot, from, to, to - from < bytes);
      left -= to - from;
      from = 0;
    }
  }

  /** They have been written. */
  written(line: number): void {
    for (const entry of this.#touched) entry.line = line;
    this.#touched.length = 0;
    this.#watcher.stored(line);
  }

  tableComes(table: LiveTable): void {
    table.frames.forEach((frame, slot) => {
      if (frame < 0) return;
      const tables = this.#frames.get(frame);
      if (tables === undefined) this.#frames.set(frame, [{ table, slot }]);
      else tables.push({ table, slot });
    });
  }

  tableGoes(table: LiveTable): void {
    this.#written.delete(table);
    for (const frame of table.frames) {
      const left = this.#frames.get(frame)?.filter((user) => user.table !== table);
      if (left === undefined) continue;
      if (left.length === 0) this.#frames.delete(frame);
      else this.#frames.set(frame, left);
    }
  }

  /**
   * Marks the entries of a table that bytes `from` to `to` - 1 of one of its frames belong to.
   * @param beyond the record goes on in another frame
   */
  #touch(table: LiveTable, slot: number, from: number, to: number, beyond: boolean): void {
    const { spec } = table;
    const { bytes } = spec.kind.layout;
    const base = slot * FRAME_BYTES - spec.offset;
    const first = Math.max(Math.floor((base + from) / bytes), 0);
    const last = Math.min(Math.floor((base + to - 1) / bytes), spec.entries - 1);
    let written = this.#written.get(table);
    for (let index = first; index <= last; index++) {
      let entry = written?.get(index);
      if (entry === undefined) {
        if (written === undefined) {
          written = new Map();
          this.#written.set(table, written);
        }
        entry = { table, index, line: 0 };
        written.set(index, entry);
      }
      this.#touched.push(entry);
      const start = base + from - index * bytes;
      const end = base + to - index * bytes;
      const more = beyond || start < 0 || end > bytes;
      this.#watcher.storing(table, index, Math.max(start, 0), Math.min(end, bytes), more);
    }
  }
}
