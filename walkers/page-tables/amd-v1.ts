/**
 * AMD-Vi v1 page tables: the host's translation of GPAs (AMD 48882, section 2.2.3 "I/O Page Tables for Host
 * Translations").
 *
 * Level numbers are the specification's: an entry of level n maps 2^(12 + 9 * (n - 1)) bytes, so level 1 is a 4 KiB
 * PTE; a table of "Mode" n is walked from level n. Two things set this format apart from other radix tables: an
 * entry names the level of the table that it points to (and may skip levels), and a leaf may map any power of two,
 * which it then encodes in the low bits of its own address.
 */

import type { RepeatedLeaf } from "../caching.ts";
import { bit, bits, frame, ignored, type Layout, layout } from "../layout.ts";
import { frameOf, pow2 } from "../memory.ts";
import { READ, WRITE } from "../request.ts";
import type { TableReader } from "../table-reader.ts";
import { indexAt, radix512Shift } from "./radix512.ts";
import {
  DENIED,
  FETCH_FAILED,
  NOT_PRESENT,
  OUT_OF_RANGE,
  RESERVED,
  WALKED,
  type WalkStatus,
} from "./stage.ts";

const NEXT_LEVEL = {
  0: "page of this level's size",
  7: "page whose size its address encodes",
} as const;

/**
 * An entry that points to a table: Next Level 1 to 6. Bits 60:59, which are FC and U of a page's entry, are reserved: so
 * VirtualBox has them, which was written from the specification (include/VBox/iommu-amd.h, IOPDE_T), and illumos, Xen and
 * Linux know them of a page's entry alone. Whoever takes one format for all entries passes them over.
 */
export const AmdV1Directory = layout(
  "AMD-Vi v1 page directory entry",
  "AMD 48882, 2.2.3",
  8,
  {
    PR: bit(0, "Present"),
    IGN0: ignored(4, 1),
    A: bit(5, "Accessed"),
    IGN1: ignored(8, 6),
    NEXT_LEVEL: bits(11, 9, "Level of the next table"),
    ADDR: frame(51, 12, "Next table"),
    IR: bit(61, "I/O read permission"),
    IW: bit(62, "I/O write permission"),
    IGN2: ignored(63, 63),
  },
  (_hi, lo) => structureOf(lo),
);

/** An entry that maps a page: Next Level 0 or 7. One that is read as such, and points to a table, is a directory entry. */
export const AmdV1Entry = layout(
  "AMD-Vi v1 page translation entry",
  "AMD 48882, 2.2.3",
  8,
  {
    PR: bit(0, "Present"),
    IGN0: ignored(4, 1),
    A: bit(5, "Accessed"),
    D: bit(6, "Dirty"),
    IGN1: ignored(8, 7),
    NEXT_LEVEL: bits(11, 9, "Next level", NEXT_LEVEL),
    ADDR: frame(51, 12, "Page, or next table"),
    U: bit(59, "Untranslated access only (attribute of ATS responses)"),
    FC: bit(60, "Force coherent"),
    IR: bit(61, "I/O read permission"),
    IW: bit(62, "I/O write permission"),
    IGN2: ignored(63, 63),
  },
  (_hi, lo) => structureOf(lo),
);

const PR = AmdV1Entry.mask.PR.lo;
const NEXT_LEVEL_SHIFT = AmdV1Entry.fields.NEXT_LEVEL.parts[0]![1];
const NEXT_LEVEL_MASK = AmdV1Entry.mask.NEXT_LEVEL.lo >>> NEXT_LEVEL_SHIFT;
const ADDR_HI = AmdV1Entry.mask.ADDR.hi;
const IR = AmdV1Entry.mask.IR.hi;
const IW = AmdV1Entry.mask.IW.hi;
const ENTRY_RESERVED_HI = AmdV1Entry.reserved()[1]! | 0;
const DIRECTORY_RESERVED_HI = AmdV1Directory.reserved()[1]! | 0;
/** Bits of a directory entry that are reserved by one reading only. */
const DISPUTED_HI = DIRECTORY_RESERVED_HI & ~ENTRY_RESERVED_HI;

/** Next Level of a leaf whose size is in its address; of a table it can never be. */
const SIZED_PAGE = 7;
/** Level 6 indexes IOVA bits 63:57 only and has no page size of its own: no leaves. */
const TOP_LEVEL = 6;
/** The host's tables are the second stage, whether guest tables lie above them or not. */
const STAGE = 2;
const FRAME_LOW_BITS = 20;
const FRAME_LOW_MASK = (1 << FRAME_LOW_BITS) - 1;

/** Flags that hardware sets in a leaf, and bits that it ignores. */
const FREE_LO =
  AmdV1Entry.mask.A.lo | AmdV1Entry.mask.D.lo | AmdV1Entry.mask.IGN0.lo | AmdV1Entry.mask.IGN1.lo;
const FREE_HI = AmdV1Entry.mask.IGN2.hi;

/**
 * A page larger than what an entry of its level maps: the entry stands in all that the page covers (2.2.3; so does Linux
 * write it, which looks for D in each of them: drivers/iommu/generic_pt/fmt/amdv1.h).
 */
export const SIZED_PAGES: RepeatedLeaf = {
  entries(stage, level, hi, lo) {
    const next = nextLevelOf(lo);
    if (stage !== STAGE || (lo & PR) === 0 || next !== SIZED_PAGE) return 0;
    const shift = leafShift(level, next, hi, lo);
    return shift === 0 ? 0 : shift - radix512Shift(level);
  },
  same: (hi, lo, otherHi, otherLo) => ((hi ^ otherHi) & ~FREE_HI) === 0 && ((lo ^ otherLo) & ~FREE_LO) === 0,
  contradiction(hi, lo, otherHi, otherLo) {
    if ((otherLo & PR) === 0 || SIZED_PAGES.same(hi, lo, otherHi, otherLo)) return null;
    if (((lo ^ otherLo) & AmdV1Entry.mask.NEXT_LEVEL.lo) !== 0) return "is not one of them";
    const leadsElsewhere = ((hi ^ otherHi) & ADDR_HI) !== 0 || (lo ^ otherLo) >>> 12 !== 0;
    return leadsElsewhere ? "leads elsewhere" : "has other rights or attributes";
  },
};

/** A walker of one set of v1 tables. Reused: its fields hold the result of the last walk. */
export class AmdV1Walk {
  /** All entries have the format of a page's. */
  oneFormat = false;
  /** An entry has been met that is another one by the other reading. */
  disputed = false;
  /** Bits 63:32 of an entry that are address bits beyond the physical address width, and so reserved. */
  reservedHi = 0;

  /** Result: frame number of the 4 KiB frame that holds the address. */
  frame = 0;
  /** log2 of the page's size: 12 to 52. */
  pageShift = 0;
  /** The page is larger than what its entry's level maps: the entry stands there several times. */
  repeated = false;
  /** READ | WRITE that the start and all levels grant; also after DENIED. */
  perm = 0;
  /** Level of the entry read last: the failing one where the walk failed. */
  level = 0;
  /** After RESERVED: reserved bits are set; otherwise the level or size encoding is invalid. */
  reservedBits = false;

  /**
   * Walks from a root table to a page.
   *
   * @param tables reader of entries; after a failure its last entry is the failing one
   * @param root frame number of the top-level table
   * @param mode level of the root table, 1 to 6
   * @param hi high half of the 64-bit input address
   * @param lo low half
   * @param granted READ | WRITE that the device table entry grants
   * @param need READ | WRITE that the request asks for
   */
  walk(
    tables: TableReader,
    root: number,
    mode: number,
    hi: number,
    lo: number,
    granted: number,
    need: number,
  ): WalkStatus {
    this.level = mode;
    this.reservedBits = false;
    this.disputed = false;
    this.perm = granted;
    if (beyond(mode, hi, lo)) return OUT_OF_RANGE;
    // Permissions are the AND of every level and of the device table entry: once one denies, no deeper entry
    // can grant, and the walk ends there.
    if ((need & ~granted) !== 0) return DENIED;

    let table = root;
    for (let level = mode; ; ) {
      this.level = level;
      if (!tables.read(AmdV1Entry, table, indexAt(level, hi, lo) << 3, STAGE, level)) return FETCH_FAILED;
      const entryLo = tables.lo;
      const entryHi = tables.hi;
      if ((entryLo & PR) === 0) return NOT_PRESENT;
      const next = nextLevelOf(entryLo);
      const leaf = isLeaf(next);
      const reserved =
        entryHi & ((leaf || this.oneFormat ? ENTRY_RESERVED_HI : DIRECTORY_RESERVED_HI) | this.reservedHi);
      if (reserved !== 0) {
        this.reservedBits = true;
        this.disputed = (reserved & ~DISPUTED_HI) === 0;
        return RESERVED;
      }
      const shift = leaf ? leafShift(level, next, entryHi, entryLo) : 0;
      if (leaf ? shift === 0 : next >= level || skips(level, next, hi, lo)) return RESERVED;
      this.perm &= ((entryHi & IR) !== 0 ? READ : 0) | ((entryHi & IW) !== 0 ? WRITE : 0);
      if ((need & ~this.perm) !== 0) return DENIED;
      const address = (entryHi & ADDR_HI) * 0x10_0000 + (entryLo >>> 12);
      if (leaf) {
        this.pageShift = shift;
        this.repeated = next === SIZED_PAGE;
        this.frame = within(address, shift, entryLo, hi, lo);
        return WALKED;
      }
      table = address;
      level = next;
    }
  }
}

/**
 * log2 of the bytes that lie under an entry: fewer than its level spans where it skips levels.
 * @param lo low half of the entry
 */
export function usedShift(level: number, lo: number): number {
  const next = nextLevelOf(lo);
  return next === 0 || next >= level ? radix512Shift(level) : radix512Shift(next + 1);
}

/** @param lo low half of an entry */
function nextLevelOf(lo: number): number {
  return (lo >>> NEXT_LEVEL_SHIFT) & NEXT_LEVEL_MASK;
}

function isLeaf(nextLevel: number): boolean {
  return nextLevel === 0 || nextLevel === SIZED_PAGE;
}

function structureOf(lo: number): Layout {
  return isLeaf(nextLevelOf(lo)) ? AmdV1Entry : AmdV1Directory;
}

/** Bits of the addresses that tables of a mode translate. */
export function amdV1InputBits(mode: number): number {
  return Math.min(radix512Shift(mode + 1), 64);
}

/** Whether an address has bits above what tables of this mode translate (12 + 9 * mode bits). */
function beyond(mode: number, hi: number, lo: number): boolean {
  switch (mode) {
    case 1:
      return hi !== 0 || lo >>> 21 !== 0;
    case 2:
      return hi !== 0 || lo >>> 30 !== 0;
    case 3:
      return hi >>> 7 !== 0;
    case 4:
      return hi >>> 16 !== 0;
    case 5:
      return hi >>> 25 !== 0;
    default:
      return false;
  }
}

/** Whether an entry skips levels whose address bits are not all zero (2.2.3: they must be). */
function skips(level: number, next: number, hi: number, lo: number): boolean {
  for (let skipped = level - 1; skipped > next; skipped--) if (indexAt(skipped, hi, lo) !== 0) return true;
  return false;
}

/**
 * log2 of the size of a leaf's page, or 0 where its encoding is invalid. With Next Level 7 the lowest clear bit
 * among address bits 51:12 is the highest bit of the page offset; the size must lie between the default sizes of
 * this level and of the one above (2.2.3, "Page Size Encodings").
 */
function leafShift(level: number, next: number, hi: number, lo: number): number {
  if (level === TOP_LEVEL) return 0;
  const own = radix512Shift(level);
  if (next === 0) return own;
  let clear = ~(lo >>> 12) & FRAME_LOW_MASK;
  let shift = 13;
  if (clear === 0) {
    clear = ~hi & ADDR_HI;
    shift += FRAME_LOW_BITS;
    if (clear === 0) return 0;
  }
  shift += 31 - Math.clz32(clear & -clear);
  return shift > own && shift < own + 9 ? shift : 0;
}

/** The frame of an address inside a page: the page's own low address bits carry its size, or are ignored. */
function within(page: number, shift: number, entryLo: number, hi: number, lo: number): number {
  const offsetBits = shift - 12;
  if (offsetBits <= FRAME_LOW_BITS) {
    const mask = offsetBits === 0 ? 0 : FRAME_LOW_MASK >>> (FRAME_LOW_BITS - offsetBits);
    return page - ((entryLo >>> 12) & mask) + ((lo >>> 12) & mask);
  }
  const frames = pow2(offsetBits);
  return page - (page % frames) + (frameOf(hi, lo) % frames);
}
