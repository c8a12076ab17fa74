/**
 * x86-64 page tables, 4 and 5 levels: the first stage of VT-d (Intel VT-d 4.1, section 9.7: FS-PML5E, FS-PML4E,
 * FS-PDPE, FS-PDE, FS-PTE) and AMD-Vi's v2 guest tables (AMD 48882, section 2.2.6.3, and AMD64 APM volume 2,
 * chapter 5).
 *
 * Level numbers: 1 PTE (4 KiB), 2 PDE (2 MiB), 3 PDPE (1 GiB), 4 PML4E, 5 PML5E.
 */
import { bit, bits, frame, ignored, layout } from "../layout.ts";
import { FRAME_SHIFT, frameHi, frameLo } from "../memory.ts";
import { READ, WRITE } from "../request.ts";
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import { EntryTrail } from "./entry-trail.ts";
import { frameMask, indexAt, radix512Shift } from "./radix512.ts";
import {
  ADDRESS_SIZE,
  FETCH_FAILED,
  FLAG_UPDATE,
  FOR_TABLE,
  NOT_PRESENT,
  OUT_OF_RANGE,
  RESERVED,
  SECOND_STAGE_FAULT,
  type SecondStage,
  WALKED,
  type WalkStatus,
} from "./stage.ts";

/** One layout for all levels: what differs (PS, large-page reserved bits) is the walk's business. */
export const X86Entry = layout("x86-64 page-table entry", "VT-d 4.1, 9.7; AMD64 APM 2, 5.3", 8, {
  P: bit(0, "Present"),
  RW: bit(1, "Writable"),
  US: bit(2, "User"),
  PWT: bit(3, "Page-level write-through"),
  PCD: bit(4, "Page-level cache disable"),
  A: bit(5, "Accessed"),
  D: bit(6, "Dirty (leaf)"),
  PS: bit(7, "Page size (levels 2 and 3); PAT at level 1"),
  G: bit(8, "Global (leaf)"),
  IGN0: ignored(9, 9),
  EA: bit(10, "Extended accessed (VT-d)"),
  IGN1: ignored(11, 11),
  ADDR: frame(51, 12, "Next table, or page"),
  IGN2: ignored(62, 52),
  XD: bit(63, "Execute disable"),
});

/** A large-page entry uses bit 12 as PAT; between it and the page's own address, bits are reserved. */
const X86LargeEntry = layout("x86-64 large-page entry", "VT-d 4.1, 9.7", 8, {
  ...X86Entry.fields,
  PAT: bit(12, "Page attribute"),
  ADDR: bits(51, 13, "Page (aligned to its size)"),
});

const P = X86Entry.mask.P.lo;
const RW = X86Entry.mask.RW.lo;
const US = X86Entry.mask.US.lo;
const RIGHTS = RW | US;
const D = X86Entry.mask.D.lo;
const PS = X86Entry.mask.PS.lo;
const G = X86Entry.mask.G.lo;
const XD = X86Entry.mask.XD.hi;
const PAT = X86LargeEntry.mask.PAT.lo;
const ADDR_HI = X86Entry.mask.ADDR.hi;

/** Of the last walk that began: no two are under way at once. */
const TRAIL = new EntryTrail();

/** A walker of one set of x86-64 tables. Reused: its fields hold the result of the last walk. */
export class X8664Walk {
  /** Bits 63:32 that are reserved in every entry (address bits beyond the host address width; XD without NXE). */
  reservedHi = 0;
  /** Whether 1 GiB leaves are allowed; without, PS at level 3 is reserved. */
  gigabytePages = true;
  /** First frame number that entries may not hold, where they hold addresses of a narrower stage below. */
  frameLimit = Number.POSITIVE_INFINITY;
  /** Whether the highest bit of an input address is copied into all above it; else these are zero. */
  signed = true;
  /** Flags in bits 31:0 that hardware sets in every entry that it uses; 0: they are not watched. */
  usedFlags = 0;
  /** Whether hardware can set flags in memory at all. */
  updatesFlags = true;

  /** Result: frame number of the 4 KiB frame that holds the address, before any second stage. */
  frame = 0;
  /** log2 of the leaf's size: 12, 21 or 30. */
  pageShift = 0;
  /** Rights accumulated over all levels. */
  writable = false;
  user = false;
  executeDisable = false;
  global = false;
  /** The leaf's Dirty flag, and whether hardware may set flags in the leaf entry. */
  dirty = false;
  leafUpdatable = true;
  /** Level of the entry read last: the failing one where the walk failed. */
  level = 0;

  /**
   * Walks from a root table to a leaf. Checks presence and reserved bits level by level; the caller checks the
   * accumulated rights, because which of them applies is a matter of the PASID entry.
   *
   * @param tables reader of entries; after a failure its last entry is the failing one
   * @param root frame number of the top-level table
   * @param levels 4 or 5
   * @param hi high half of the 64-bit input address
   * @param lo low half
   * @param second the stage that entry fetches go through, or null
   * @param out filled only where the second stage faults
   */
  walk(
    tables: TableReader,
    root: number,
    levels: number,
    hi: number,
    lo: number,
    second: SecondStage | null,
    out: WalkResult,
  ): WalkStatus {
    this.level = levels;
    const bits = x86InputBits(levels);
    if (this.signed) {
      // Canonical: bits 63:47 (4-level) or 63:56 (5-level) are all equal.
      const sign = hi >> (bits - 1 - 32);
      if (sign !== 0 && sign !== -1) return OUT_OF_RANGE;
    } else if (hi >>> (bits - 32) !== 0) return OUT_OF_RANGE;

    TRAIL.clear();
    let writable = RW;
    let user = US;
    let executeDisable = 0;
    let table = root;
    for (let level = levels; level > 0; level--) {
      this.level = level;
      const offset = indexAt(level, hi, lo) << 3;
      if (second !== null) {
        if (!second.translate(frameHi(table), frameLo(table) | offset, READ, FOR_TABLE, out))
          return SECOND_STAGE_FAULT;
        table = second.frame;
      }
      if (!tables.read(X86Entry, table, offset, 1, level)) return FETCH_FAILED;
      const entryLo = tables.lo;
      const entryHi = tables.hi;
      if ((entryLo & P) === 0) return NOT_PRESENT;
      const leaf = level === 1 || (entryLo & PS) !== 0;
      if ((entryHi & this.reservedHi) !== 0 || (leaf && level > 1 && this.#malformed(level, entryLo)))
        return RESERVED;
      const next = (entryHi & ADDR_HI) * 0x10_0000 + (entryLo >>> 12);
      if (next >= this.frameLimit) return ADDRESS_SIZE;
      const updatable = this.updatesFlags && (second === null || (second.perm & WRITE) !== 0);
      if (!updatable && (~entryLo & this.usedFlags) !== 0) return FLAG_UPDATE;
      if ((entryLo & RIGHTS) !== RIGHTS || (entryHi & XD) !== 0) TRAIL.keep(level, tables);
      writable &= entryLo;
      user &= entryLo;
      executeDisable |= entryHi;
      if (!leaf) {
        table = next;
        continue;
      }
      this.frame = (level === 1 ? next : next - (next & 1)) + ((lo >>> FRAME_SHIFT) & frameMask(level));
      this.pageShift = radix512Shift(level);
      this.writable = writable !== 0;
      this.user = user !== 0;
      this.executeDisable = (executeDisable & XD) !== 0;
      this.global = (entryLo & G) !== 0;
      this.dirty = (entryLo & D) !== 0;
      this.leafUpdatable = updatable;
      return WALKED;
    }
    // Of no levels there is no table: whatever a caller's state has come to, the walk ends.
    return NOT_PRESENT;
  }

  /** A leaf above level 1. */
  #malformed(level: number, lo: number): boolean {
    if (level > 3 || (level === 3 && !this.gigabytePages)) return true;
    // The page offset has to be clear, less PAT.
    return (lo & (frameMask(level) << FRAME_SHIFT) & ~PAT) !== 0;
  }

  /**
   * After a walk whose accumulated rights deny the access: makes the entry that denies it the one that
   * `tables.blame` reports, and `level` its level.
   * @param right RW, US or XD of `X86Entry`: the bit that decides
   */
  blame(tables: TableReader, right: "RW" | "US" | "XD"): void {
    const mask = X86Entry.mask[right];
    const level =
      right === "XD" ? TRAIL.find(tables, 0, 0, mask.hi) : TRAIL.find(tables, mask.hi, mask.lo, 0);
    if (level !== 0) this.level = level;
  }
}

/** Bits of a canonical input address, its sign included: 48 or 57. */
export function x86InputBits(levels: number): number {
  return radix512Shift(levels + 1);
}
