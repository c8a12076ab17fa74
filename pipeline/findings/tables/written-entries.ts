import { FRAME_BYTES, FRAME_MASK, FRAME_SHIFT, frameOf, type GuestMemory } from "../../../walkers/memory.ts";
import { type FrameUser, type LiveTable, TableLinter } from "./linter.ts";

/** An entry that was written to since it was last judged. */
export interface WrittenEntry {
  readonly table: LiveTable;
  readonly index: number;
  /** The valid entry that it was; null where it was none. */
  readonly before: DataView | null;
  /** Line of the last record that wrote to it. */
  line: number;
  /** It was not valid after one of the writes. */
  wasInvalid: boolean;
}

/** Which entries of tables in use are written to, and what becomes of them until they are judged. */
export class WrittenEntries implements FrameUser {
  readonly #memory: GuestMemory;
  /** Tables, and which of their frames it is, by frame number. */
  readonly #frames = new Map<number, { readonly table: LiveTable; readonly slot: number }[]>();
  readonly #written = new Map<LiveTable, Map<number, WrittenEntry>>();
  /** Entries that the write under way touches. */
  readonly #touched: WrittenEntry[] = [];

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Entries that wait to be judged. */
  get any(): boolean {
    return this.#written.size > 0;
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
      for (const { table, slot } of this.#frames.get(frame) ?? []) this.#touch(table, slot, from, to);
      left -= to - from;
      from = 0;
    }
  }

  /** They have been written. */
  written(line: number): void {
    for (const entry of this.#touched) {
      entry.line = line;
      if (!this.#validNow(entry.table, entry.index)) entry.wasInvalid = true;
    }
    this.#touched.length = 0;
  }

  /**
   * Bits of the units that have changed in an entry that was valid, never was not, and still is; "" where there are
   * not several: the IOMMU may have read some as they were and some as they are.
   */
  changedWhileValid({ table, index, before, wasInvalid }: WrittenEntry): string {
    if (before === null || wasInvalid || !this.#validNow(table, index)) return "";
    const { kind } = table.spec;
    const { view, at } = this.#memory;
    const { unit: bytes, used: usedUnits } = kind.updates;
    const used = usedUnits?.(before, 0) ?? -1;
    const changed: string[] = [];
    for (let unit = 0; unit * bytes < kind.layout.bytes; unit++) {
      const start = unit * bytes;
      let differs = false;
      for (let b = start; b < Math.min(start + bytes, kind.layout.bytes); b++)
        if (before.getUint8(b) !== view.getUint8(at + b)) differs = true;
      if (differs && (used & (1 << unit)) !== 0) changed.unshift(`${(start + bytes) * 8 - 1}:${start * 8}`);
    }
    return changed.length > 1 ? changed.join(",") : "";
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

  /** Marks the entries of a table that bytes `from` to `to` - 1 of one of its frames belong to. */
  #touch(table: LiveTable, slot: number, from: number, to: number): void {
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
        const before = this.#copyOfValid(table, index);
        entry = { table, index, before, line: 0, wasInvalid: false };
        written.set(index, entry);
      }
      this.#touched.push(entry);
    }
  }

  #validNow(table: LiveTable, index: number): boolean {
    const place = TableLinter.place(table, index);
    const { kind } = table.spec;
    const memory = this.#memory;
    return (
      place !== null &&
      memory.fetch(place.frame, place.offset, kind.layout.bytes) &&
      kind.valid(memory.view, memory.at)
    );
  }

  #copyOfValid(table: LiveTable, index: number): DataView | null {
    if (!this.#validNow(table, index)) return null;
    const { view, at } = this.#memory;
    const copy = new Uint8Array(table.spec.kind.layout.bytes);
    copy.set(new Uint8Array(view.buffer, view.byteOffset + at, copy.length));
    return new DataView(copy.buffer);
  }
}
