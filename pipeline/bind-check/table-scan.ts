import { Gcr3Entry } from "../../walkers/amd-vi/device-table-entry.ts";
import type { Layout } from "../../walkers/layout.ts";
import { FRAME_BYTES, FRAME_SHIFT, FRAMES, type GuestMemory } from "../../walkers/memory.ts";
import { PdtEntry, ProcessContextLayout } from "../../walkers/riscv/layouts.ts";
import { Cd, L1Cd } from "../../walkers/smmuv3/cd.ts";
import { ExtendedPasidEntry } from "../../walkers/vtd/ecs-structures.ts";
import { PasidDirectoryEntry, PasidEntry } from "../../walkers/vtd/structures.ts";
import { isTwoLevel, leafBytes, type TableUse } from "./shape.ts";

/** What a scan tells of a table's present entries. */
export interface TableVisitor {
  /** A table that an entry points to. */
  table(start: bigint, bytes: number, what: string, entry: bigint): void;
  /** An entry of a PASID, readable until the next fetch. */
  entry(pasid: number, view: DataView, at: number): void;
}

/** One level of a table: how an entry is told to be present, and where it leads. */
interface Level {
  readonly layout: Layout;
  readonly present: string;
  /** PASID bits that the levels below this one index. */
  readonly below: number;
  /** Field of the next table; undefined for the level of PASIDs. */
  readonly next?: string;
  readonly nextBytes: number;
  readonly nextWhat: string;
}

/** Reads the present entries of a PASID table, from its root on. */
export class TableScan {
  readonly #memory: GuestMemory;
  readonly #visitor: TableVisitor;
  readonly #levels: readonly Level[];
  readonly #pasids: number;
  readonly #littleEndian: boolean;
  #left: number;

  /**
   * @param pasidBits of the PASIDs whose entries are read
   * @param maxEntries entries that are read at most, present or not
   */
  constructor(
    use: TableUse,
    pasidBits: number,
    memory: GuestMemory,
    visitor: TableVisitor,
    maxEntries: number,
    littleEndian: boolean,
  ) {
    this.#memory = memory;
    this.#visitor = visitor;
    this.#levels = levelsOf(use, pasidBits);
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
      const next = addressOf(layout, level.next, this.#field(layout, level.next));
      this.#visitor.table(next, level.nextBytes, level.nextWhat, base + BigInt(i * layout.bytes));
      this.#table(next, depth + 1, pasid, Math.min(step, pasids - i * step));
    }
  }

  #field(layout: Layout, name: string): bigint {
    return layout.extract(name, this.#memory.view, this.#memory.at, this.#littleEndian);
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

/** The byte address that a field of a frame number, or of address bits in place, holds. */
export function addressOf(layout: Layout, name: string, value: bigint): bigint {
  const field = layout.fields[name]!;
  const shift = field.kind === "address" ? field.parts[0]![1] % 64 : FRAME_SHIFT;
  return value << BigInt(shift);
}

/** The levels of each format, from the root on. */
function levelsOf(use: TableUse, pasidBits: number): readonly Level[] {
  const leaf = (layout: Layout, present: string): Level => ({
    layout,
    present,
    below: 0,
    nextBytes: 0,
    nextWhat: "",
  });
  switch (use.model) {
    case "intel":
      return [
        {
          layout: PasidDirectoryEntry,
          present: "P",
          below: Math.log2(FRAME_BYTES / PasidEntry.bytes),
          next: "SMPTBLPTR",
          nextBytes: FRAME_BYTES,
          nextWhat: "PASID table",
        },
        leaf(PasidEntry, "P"),
      ];
    case "intel-ecs":
      return [leaf(ExtendedPasidEntry, "P")];
    case "arm-1lvl":
    case "arm-2lvl": {
      if (pasidBits === 0 || !isTwoLevel(use.s1fmt)) return [leaf(Cd, "V")];
      const nextBytes = leafBytes(use.s1fmt);
      return [
        {
          layout: L1Cd,
          present: "V",
          below: Math.log2(nextBytes / Cd.bytes),
          next: "L2Ptr",
          nextBytes,
          nextWhat: "level 2 context descriptor table",
        },
        leaf(Cd, "V"),
      ];
    }
    case "amd":
      return radix(
        use.glx,
        Gcr3Entry,
        "GCR3",
        "guest CR3 table",
        Math.log2(FRAME_BYTES / Gcr3Entry.bytes),
        0,
        [leaf(Gcr3Entry, "V")],
      );
    case "riscv": {
      const contexts = Math.log2(FRAME_BYTES / ProcessContextLayout.bytes);
      const bits = use.directoryBits ?? contexts;
      const above = bits <= contexts ? 0 : Math.ceil((bits - contexts) / 9);
      return radix(above, PdtEntry, "PPN", "process directory table", 9, contexts, [
        leaf(ProcessContextLayout, "V"),
      ]);
    }
  }
}

/**
 * `count` levels of the same entries over a last one.
 * @param bits PASID bits that each indexes; the lowest of them stands over `lowest` bits
 */
function radix(
  count: number,
  layout: Layout,
  next: string,
  nextWhat: string,
  bits: number,
  lowest: number,
  last: readonly Level[],
): Level[] {
  const under = lowest === 0 ? bits : lowest;
  const levels: Level[] = [];
  for (let i = count; i >= 1; i--)
    levels.push({
      layout,
      present: "V",
      below: under + (i - 1) * bits,
      next,
      nextBytes: FRAME_BYTES,
      nextWhat,
    });
  return [...levels, ...last];
}
