import { FRAME_BYTES, FRAME_SHIFT, FRAMES, type GuestMemory } from "../../walkers/memory.ts";
import { Entry } from "../../walkers/tables/entry.ts";
import type { TableSpec } from "../../walkers/tables/tree.ts";
import { byteAddress } from "../../walkers/word64.ts";

/** What a scan tells of a table's present entries. */
export interface TableVisitor {
  /** A table that the entry at a byte address points to. */
  table(table: TableSpec, entry: bigint): void;
  /** An entry of a PASID, readable until the next fetch. */
  entry(entry: Entry): void;
}

/** Reads the present entries of a PASID table, from its root on. */
export class TableScan {
  readonly #memory: GuestMemory;
  readonly #visitor: TableVisitor;
  #left: number;

  /** @param maxEntries entries that are read at most, present or not */
  constructor(memory: GuestMemory, visitor: TableVisitor, maxEntries: number) {
    this.#memory = memory;
    this.#visitor = visitor;
    this.#left = maxEntries;
  }

  /** @param pasids that are looked up in the table */
  run(table: TableSpec, pasids: number): void {
    const { kind, frame, offset } = table;
    const { bytes } = kind.layout;
    // Most entries are not present, and of those a bind reads thousands.
    for (let i = 0; i * kind.span < pasids && this.#left > 0; i++) {
      this.#left--;
      const at = offset + i * bytes;
      if (!this.#fetch(frame + Math.floor(at / FRAME_BYTES), at % FRAME_BYTES, bytes)) continue;
      const { view, at: start } = this.#memory;
      if (!kind.valid(view, start)) continue;
      const entry = new Entry(
        table,
        i,
        new DataView(view.buffer, view.byteOffset + start, bytes),
        this.#memory,
      );
      if (kind.below === undefined) this.#visitor.entry(entry);
      else this.#below(entry, Math.min(kind.span, pasids - i * kind.span), byteAddress(frame, at));
    }
  }

  #below(entry: Entry, pasids: number, at: bigint): void {
    for (const { table } of entry.table.kind.points?.(entry) ?? []) {
      if (table === undefined) continue;
      this.#visitor.table(table, at);
      this.run(table, pasids);
    }
  }

  /** An entry that crosses a frame counts as absent: its table is misaligned. */
  #fetch(frame: number, offset: number, bytes: number): boolean {
    return offset + bytes <= FRAME_BYTES && frame < FRAMES && this.#memory.fetch(frame, offset, bytes);
  }
}

/** Makes bytes at an address readable; they must not cross a frame, or they count as absent. */
export function fetchAt(memory: GuestMemory, address: bigint, bytes: number): boolean {
  const offset = Number(address % BigInt(FRAME_BYTES));
  if (offset + bytes > FRAME_BYTES || address >> 64n !== 0n) return false;
  return memory.fetch(Number(address >> BigInt(FRAME_SHIFT)), offset, bytes);
}
