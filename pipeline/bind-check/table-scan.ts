import { FRAME_BYTES, FRAME_SHIFT, FRAMES, type GuestMemory } from "../../walkers/memory.ts";
import { addressIn, type TableLevel } from "../../walkers/pasid-tables/format.ts";

/** What a scan tells of a table's present entries. */
export interface TableVisitor {
  /** A table that an entry points to. */
  table(start: bigint, bytes: number, what: string, entry: bigint): void;
  /** An entry of a PASID, readable until the next fetch. */
  entry(pasid: number, view: DataView, at: number): void;
}

/** Reads the present entries of a PASID table, from its root on. */
export class TableScan {
  readonly #memory: GuestMemory;
  readonly #visitor: TableVisitor;
  readonly #levels: readonly TableLevel[];
  readonly #pasids: number;
  readonly #littleEndian: boolean;
  #left: number;

  /**
   * @param levels from the root on
   * @param pasidBits of the PASIDs whose entries are read
   * @param maxEntries entries that are read at most, present or not
   */
  constructor(
    levels: readonly TableLevel[],
    pasidBits: number,
    memory: GuestMemory,
    visitor: TableVisitor,
    maxEntries: number,
    littleEndian: boolean,
  ) {
    this.#memory = memory;
    this.#visitor = visitor;
    this.#levels = levels;
    this.#pasids = 2 ** pasidBits;
    this.#left = maxEntries;
    this.#littleEndian = littleEndian;
  }

  run(base: bigint): void {
    this.#table(base, 0, 0, this.#pasids);
  }

  #table(base: bigint, depth: number, firstPasid: number, pasids: number): void {
    if (base >> 64n !== 0n) return;
    const level = this.#levels[depth]!;
    const { layout } = level;
    const present = layout.reader(level.present, this.#littleEndian);
    const step = 2 ** level.below;
    // In numbers: most entries are not present, and of those a bind reads thousands.
    const frame = Number(base >> BigInt(FRAME_SHIFT));
    const offset = Number(base % BigInt(FRAME_BYTES));
    for (let i = 0; i * step < pasids && this.#left > 0; i++) {
      this.#left--;
      const at = offset + i * layout.bytes;
      if (!this.#fetch(frame + (at >>> FRAME_SHIFT), at % FRAME_BYTES, layout.bytes)) continue;
      if (present(this.#memory.view, this.#memory.at) === 0) continue;
      const pasid = firstPasid + i * step;
      if (level.next === undefined) {
        this.#visitor.entry(pasid, this.#memory.view, this.#memory.at);
        continue;
      }
      const { field, bytes, what } = level.next;
      const next = addressIn(layout, field, this.#memory.view, this.#memory.at, this.#littleEndian);
      this.#visitor.table(next, bytes, what, base + BigInt(i * layout.bytes));
      this.#table(next, depth + 1, pasid, Math.min(step, pasids - i * step));
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
