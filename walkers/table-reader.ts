import type { Layout } from "./layout.ts";
import type { GuestMemory } from "./memory.ts";
import type { WalkResult } from "./result.ts";
import { NO_LEVEL } from "./result.ts";

/** Told about every entry that a walk reads; `walk` and `inspect` print from it. Never set on the hot path. */
export interface WalkObserver {
  /**
   * @param view null where the fetch left all recorded memory
   * @param stage 1 or 2 for a page-table entry, 0 for a context or PASID structure
   * @param level page-table level, or NO_LEVEL
   */
  entry(
    layout: Layout,
    frame: number,
    offset: number,
    view: DataView | null,
    at: number,
    stage: number,
    level: number,
    littleEndian: boolean,
  ): void;
}

/**
 * Reads table entries for one walker: counts the reads, remembers the last entry for fault reports, and tells
 * an observer. All walkers of one IOMMU share one.
 */
export class TableReader {
  readonly memory: GuestMemory;
  observer: WalkObserver | null = null;
  /** Byte order of the tables read next. */
  littleEndian = true;
  /** Reads since the caller last cleared it. */
  reads = 0;

  /** The last entry read: where it is, and its first 64-bit word. */
  frame = 0;
  offset = 0;
  hi = 0;
  lo = 0;
  /** The last fetch left recorded memory. */
  hole = false;
  /** After a successful `read`: the structure's bytes. */
  view: DataView;
  at = 0;

  constructor(memory: GuestMemory) {
    this.memory = memory;
    this.view = memory.view;
  }

  /**
   * Reads a structure of `layout.bytes` bytes (its first word also into `hi`/`lo`).
   * @returns false where it is not in recorded memory
   */
  read(layout: Layout, frame: number, offset: number, stage = 0, level = NO_LEVEL): boolean {
    this.reads++;
    this.frame = frame;
    this.offset = offset;
    const memory = this.memory;
    if (!memory.fetch(frame, offset, layout.bytes)) {
      this.hole = true;
      this.hi = 0;
      this.lo = 0;
      if (this.observer !== null)
        this.observer.entry(layout, frame, offset, null, 0, stage, level, this.littleEndian);
      return false;
    }
    const view = memory.view;
    const at = memory.at;
    this.hole = false;
    this.view = view;
    this.at = at;
    if (this.littleEndian) {
      this.lo = view.getInt32(at, true);
      this.hi = view.getInt32(at + 4, true);
    } else {
      this.hi = view.getInt32(at, false);
      this.lo = view.getInt32(at + 4, false);
    }
    if (this.observer !== null) {
      const structure = layout.told?.(this.hi, this.lo) ?? layout;
      this.observer.entry(structure, frame, offset, view, at, stage, level, this.littleEndian);
    }
    return true;
  }

  /**
   * As `read`, for a table whose entries are 4 bytes: `lo` is the entry, `hi` is 0.
   * @returns false where it is not in recorded memory
   */
  read32(layout: Layout, frame: number, offset: number, stage = 0, level = NO_LEVEL): boolean {
    this.reads++;
    this.frame = frame;
    this.offset = offset;
    this.hi = 0;
    const memory = this.memory;
    this.hole = !memory.fetch(frame, offset, layout.bytes);
    if (this.hole) {
      this.lo = 0;
    } else {
      this.view = memory.view;
      this.at = memory.at;
      this.lo = memory.view.getInt32(memory.at, this.littleEndian);
    }
    if (this.observer !== null) {
      const view = this.hole ? null : this.view;
      this.observer.entry(
        layout,
        frame,
        offset,
        view,
        this.hole ? 0 : this.at,
        stage,
        level,
        this.littleEndian,
      );
    }
    return !this.hole;
  }

  /** Puts the last entry read into a fault result: its address, and its value unless it was a hole. */
  blame(out: WalkResult): void {
    out.entryFrame = this.frame;
    out.entryOffset = this.offset;
    out.hole = this.hole;
    out.entryKnown = !this.hole;
    out.entryHi = this.hi;
    out.entryLo = this.lo;
  }
}
