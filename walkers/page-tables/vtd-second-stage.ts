/**
 * VT-d second-stage page tables, 3 to 5 levels (Intel VT-d 5.10, sections 3.7 and 9.8: SS-PML5E, SS-PML4E,
 * SS-PDPE, SS-PDE, SS-PTE; "SL-" before revision 3.4).
 *
 * Level numbers: 1 SS-PTE (4 KiB), 2 SS-PDE (2 MiB), 3 SS-PDPE (1 GiB), 4 SS-PML4E, 5 SS-PML5E.
 */
import { bit, bits, frame, ignored, layout } from "../layout.ts";
import { FRAME_SHIFT } from "../memory.ts";
import { EXECUTE, READ, WRITE } from "../request.ts";
import type { TableReader } from "../table-reader.ts";
import { EntryTrail } from "./entry-trail.ts";
import { frameMask, indexAt, radix512Shift } from "./radix512.ts";
import {
  FETCH_FAILED,
  FLAG_UPDATE,
  NOT_PRESENT,
  OUT_OF_RANGE,
  RESERVED,
  WALKED,
  type WalkStatus,
} from "./stage.ts";

/** One layout for all levels: what differs (PS, SNP, the bits below a large page) is the walk's business. */
export const SecondStageEntry = layout("VT-d second-stage paging entry", "VT-d 5.10, 9.8", 8, {
  R: bit(0, "Read"),
  W: bit(1, "Write"),
  X: bit(2, "Execute (revisions 2.x to 4.0, with second-stage execute enabled; ignored since)"),
  EMT: bits(5, 3, "Extended memory type (leaf)", {
    0: "uncacheable",
    1: "write combining",
    4: "write through",
    5: "write protected",
    6: "write back",
  }),
  IPAT: bit(6, "Ignore PAT (leaf)"),
  PS: bit(7, "Page size (levels 2 and 3)"),
  A: bit(8, "Accessed"),
  D: bit(9, "Dirty (leaf)"),
  IGN0: ignored(10, 10),
  SNP: bit(11, "Snoop (leaf)", { needs: "SC" }),
  ADDR: frame(51, 12, "Next table, or page"),
  IGN1: ignored(60, 52),
  IR: bit(61, "I/O read (with second-stage I/O permissions enabled)"),
  IW: bit(62, "I/O write (with second-stage I/O permissions enabled)", { needs: "SSIRWE" }),
  IGN2: ignored(63, 63),
});

const X = SecondStageEntry.mask.X.lo;
const PS = SecondStageEntry.mask.PS.lo;
const A = SecondStageEntry.mask.A.lo;
const D = SecondStageEntry.mask.D.lo;
const SNP = SecondStageEntry.mask.SNP.lo;
const ADDR_HI = SecondStageEntry.mask.ADDR.hi;
const READ_WRITE = READ | WRITE;
/** IR and IW, moved down, are READ and WRITE; R, W and X are READ, WRITE and EXECUTE where they stand. */
const IO_RIGHTS_SHIFT = 29;

/** Of the last walk that began: no two are under way at once. */
const TRAIL = new EntryTrail();

/** A walker of one set of second-stage tables. Reused: its fields hold the result of the last walk. */
export class SecondStageWalk {
  /** Bits 63:32 that are reserved in every entry: address bits beyond the host address width, bit 62. */
  reservedHi = 0;
  /** Large pages: bit 0 2 MiB, bit 1 1 GiB, as CAP.SSLPS says. */
  largePages = 3;
  /** Whether leaves may have SNP set. */
  snoopControl = true;
  /** Rights are in IR and IW instead of in R and W. */
  ioRights = false;
  /** Whether X decides on execution; otherwise reading allows it. */
  executeEnable = false;
  /** Accessed and dirty flags are in use. */
  accessedDirty = false;
  /** Whether hardware can set flags in memory at all. */
  updatesFlags = true;

  /** Result: 4 KiB frame number of the output. */
  frame = 0;
  /** log2 of the leaf's size: 12, 21 or 30. */
  pageShift = 0;
  /** READ, WRITE and EXECUTE, accumulated over all levels; after RESERVED and FETCH_FAILED, over those down to there. */
  perm = 0;
  /** Level of the entry read last: the failing one where the walk failed. */
  level = 0;

  /**
   * Walks from a root table to a leaf. The caller checks the accumulated rights.
   *
   * @param tables reader of entries; after a failure its last entry is the failing one
   * @param root frame number of the top-level table
   * @param levels 3, 4 or 5
   * @param width input addresses at or above 2^width are out of range; 1 to 64
   * @param hi high half of the 64-bit input address
   * @param lo low half
   * @param write whether the access dirties the page
   */
  walk(
    tables: TableReader,
    root: number,
    levels: number,
    width: number,
    hi: number,
    lo: number,
    write: boolean,
  ): WalkStatus {
    this.level = levels;
    this.perm = 0;
    if (exceeds(hi, lo, width)) return OUT_OF_RANGE;

    TRAIL.clear();
    const ioRights = this.ioRights;
    const execute = this.executeEnable ? EXECUTE : 0;
    const all = READ_WRITE | execute;
    let perm = all;
    let table = root;
    for (let level = levels; level > 0; level--) {
      this.level = level;
      if (!tables.read(SecondStageEntry, table, indexAt(level, hi, lo) << 3, 2, level)) {
        this.perm = this.#granted(perm, execute);
        return FETCH_FAILED;
      }
      const entryLo = tables.lo;
      const entryHi = tables.hi;
      let rights = (ioRights ? entryHi >>> IO_RIGHTS_SHIFT : entryLo) & READ_WRITE;
      if (rights === 0) return NOT_PRESENT;
      const leaf = level === 1 || (entryLo & PS) !== 0;
      rights |= entryLo & X & execute;
      if ((entryHi & this.reservedHi) !== 0 || this.#malformed(level, leaf, entryLo)) {
        this.perm = this.#granted(perm & rights, execute);
        return RESERVED;
      }
      if (rights !== all) TRAIL.keep(level, tables);
      perm &= rights;
      if (this.accessedDirty && !this.updatesFlags) {
        const needed = leaf && write && (perm & WRITE) !== 0 ? A | D : A;
        if ((entryLo & needed) !== needed) return FLAG_UPDATE;
      }
      const next = (entryHi & ADDR_HI) * 0x10_0000 + (entryLo >>> 12);
      if (!leaf) {
        table = next;
        continue;
      }
      this.frame = next + ((lo >>> FRAME_SHIFT) & frameMask(level));
      this.pageShift = radix512Shift(level);
      this.perm = this.#granted(perm, execute);
      return WALKED;
    }
    // Of no levels there is no table: whatever a caller's state has come to, the walk ends.
    return NOT_PRESENT;
  }

  /**
   * After a walk whose accumulated rights deny the access: makes the entry that denies it the one that
   * `tables.blame` reports, and `level` its level.
   * @param right READ, WRITE or EXECUTE
   */
  blame(tables: TableReader, right: number): void {
    // Where X is not in use, what denies execution is the entry that denies reading.
    const decisive = right === EXECUTE && !this.executeEnable ? READ : right;
    const inHi = this.ioRights && decisive !== EXECUTE;
    const level = inHi
      ? TRAIL.find(tables, decisive << IO_RIGHTS_SHIFT, 0, 0)
      : TRAIL.find(tables, 0, decisive, 0);
    if (level !== 0) this.level = level;
  }

  #granted(perm: number, execute: number): number {
    return execute === 0 && (perm & READ) !== 0 ? perm | EXECUTE : perm;
  }

  /** VT-d 5.10, 3.7: the bits of a present entry that are reserved at its level. */
  #malformed(level: number, leaf: boolean, lo: number): boolean {
    if (!leaf) return (lo & SNP) !== 0;
    if ((lo & SNP) !== 0 && !this.snoopControl) return true;
    if (level === 1) return false;
    // PS is reserved where there is no page of this size.
    if (level > 3 || (this.largePages & (1 << (level - 2))) === 0) return true;
    return ((lo >>> FRAME_SHIFT) & frameMask(level)) !== 0;
  }
}

/** Whether a 64-bit address is at or above 2^width. */
export function exceeds(hi: number, lo: number, width: number): boolean {
  if (width >= 64) return false;
  if (width >= 32) return hi >>> (width - 32) !== 0;
  return hi !== 0 || lo >>> width !== 0;
}
