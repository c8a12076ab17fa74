/**
 * RISC-V page tables: Sv32, Sv39, Sv48 and Sv57 (Privileged specification, "Supervisor-Level ISA"), their x4 forms
 * for the second stage ("Hypervisor Extension", two-stage address translation), and the Svnapot, Svpbmt and
 * Svrsw60t59b extensions of their entries.
 *
 * Level numbers: 1 is the leaf level of a 4 KiB page, the specification's i + 1. Pages: level 2 is 2 MiB (4 MiB in
 * Sv32), 3 is 1 GiB, 4 is 512 GiB, 5 is 256 TiB; a Svnapot entry maps 64 KiB.
 */

import type { RepeatedLeaf } from "../caching.ts";
import { bit, bits, frame, ignored, layout } from "../layout.ts";
import { FRAME_MASK, FRAME_SHIFT, frameHi, frameLo, pow2 } from "../memory.ts";
import { READ } from "../request.ts";
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import { entryShift, type LevelGeometry, RADIX512 } from "./geometry.ts";
import {
  ADDRESS_SIZE,
  FETCH_FAILED,
  FOR_TABLE,
  NOT_PRESENT,
  RESERVED,
  SECOND_STAGE_FAULT,
  type SecondStage,
  WALKED,
  type WalkStatus,
} from "./stage.ts";

/** Capabilities that an entry's bits depend on, as `needs` of the fields and for `SvWalk.configure`. */
export const SVPBMT = "Svpbmt";
export const SVRSW60T59B = "Svrsw60t59b";

const flags = {
  V: bit(0, "Valid"),
  R: bit(1, "Readable"),
  W: bit(2, "Writable"),
  X: bit(3, "Executable"),
  U: bit(4, "User"),
  G: bit(5, "Global (ignored in the second stage)"),
  A: bit(6, "Accessed"),
  D: bit(7, "Dirty"),
  RSW: ignored(9, 8, "For software"),
};

/** Sv39, Sv48, Sv57 and their x4 forms. */
export const SvEntry = layout(
  "RISC-V Sv39/Sv48/Sv57 page-table entry",
  "Privileged specification, Sv39, Svnapot, Svpbmt, Svrsw60t59b",
  8,
  {
    ...flags,
    PPN: frame(53, 10, "Next table, or page"),
    RSW60T59: ignored(60, 59, "For software (Svrsw60t59b)", { needs: SVRSW60T59B }),
    PBMT: bits(62, 61, "Page-based memory type (leaf)", { 0: "PMA", 1: "NC", 2: "IO" }, { needs: SVPBMT }),
    N: bit(63, "NAPOT: one of 16 entries of a 64 KiB range (leaf)"),
  },
);

/** Sv32 and Sv32x4. */
export const Sv32Entry = layout("RISC-V Sv32 page-table entry", "Privileged specification, Sv32", 4, {
  ...flags,
  PPN: frame(31, 10, "Next table, or page"),
});

/** Bits of an entry's low half; the same in both layouts. */
export const SV_U = SvEntry.mask.U.lo;
export const SV_A = SvEntry.mask.A.lo;
export const SV_D = SvEntry.mask.D.lo;
export const SV_R = SvEntry.mask.R.lo;
export const SV_W = SvEntry.mask.W.lo;
export const SV_X = SvEntry.mask.X.lo;
export const SV_V = SvEntry.mask.V.lo;
const G = SvEntry.mask.G.lo;
export const SV_N = SvEntry.mask.N.hi;
const PBMT = SvEntry.mask.PBMT.hi;
const PPN_HI = SvEntry.mask.PPN.hi;
/** Reserved in an entry that points to a table (Sv32: "For non-leaf PTEs, the D, A, and U bits are reserved"). */
const LEAF_ONLY_LO = SV_D | SV_A | SV_U;
/** Position of the PPN in an entry's low half, and what one unit of the high half counts in it. */
const PPN_SHIFT = 10;
const PPN_PER_HI = 2 ** (32 - PPN_SHIFT);
/** PPN bits 3:0 of a NAPOT entry, and their only value that is not reserved (Svnapot: 64 KiB). */
const NAPOT_MASK = 0xf;
const NAPOT_64K = 0x8;
export const NAPOT_64K_SHIFT = 16;

/** Flags that may differ between the entries of one NAPOT range: A and D, and what is software's (Svnapot). */
const NAPOT_FREE_LO = SV_A | SV_D | SvEntry.mask.RSW.lo;
const NAPOT_FREE_HI = SvEntry.mask.RSW60T59.hi;
const NAPOT_ENTRIES = 4;

/** Svnapot: 16 entries that are alike, any of which a cache may take for all. */
export const NAPOT: RepeatedLeaf = {
  entries: (_stage, level, hi, lo) =>
    level === 1 && (hi & SV_N) !== 0 && (lo & SV_V) !== 0 ? NAPOT_ENTRIES : 0,
  same: (hi, lo, otherHi, otherLo) =>
    ((hi ^ otherHi) & ~NAPOT_FREE_HI) === 0 && ((lo ^ otherLo) & ~NAPOT_FREE_LO) === 0,
  contradiction(hi, lo, otherHi, otherLo, index) {
    if ((otherLo & SV_V) === 0 || NAPOT.same(hi, lo, otherHi, otherLo)) return null;
    // One that stands alone may say the same of its own page.
    const alone = lo + ((index - NAPOT_64K) << PPN_SHIFT);
    if ((otherHi & SV_N) === 0 && NAPOT.same(hi & ~SV_N, alone, otherHi, otherLo)) return null;
    if ((otherHi & SV_N) === 0) return "is not one of them";
    const leadsElsewhere = ((hi ^ otherHi) & PPN_HI) !== 0 || (lo ^ otherLo) >>> PPN_SHIFT !== 0;
    return leadsElsewhere ? "leads elsewhere" : "has other rights or another memory type";
  },
};

/** Levels of Sv32 and Sv32x4, the one pair of schemes with 4-byte entries and 10-bit indices. */
export const SV32_LEVELS = 2;

const SV32: LevelGeometry = { pageShift: FRAME_SHIFT, bits: 10, last: 1, up: 1 };

/** The geometry of the scheme that has a number of levels, with x4 or without. */
export function svGeometry(levels: number): LevelGeometry {
  return levels === SV32_LEVELS ? SV32 : RADIX512;
}

/** Bits of an input address, its sign included where it has one: 32, 39, 48 or 57. */
export function svInputBits(levels: number): number {
  return entryShift(svGeometry(levels), levels + 1);
}

/** Bits of a guest physical address that the x4 scheme of this many levels translates: 34, 41, 50 or 59. */
export function guestBits(levels: number): number {
  return svInputBits(levels) + 2;
}

/** A walker of one set of tables. Reused: its fields hold the result of the last walk. */
export class SvWalk {
  readonly #stage: number;
  readonly #x4: boolean;
  /** Byte order of the tables. */
  littleEndian = true;
  /** Frames from here on are beyond the physical addresses that the IOMMU can reach. */
  frameLimit = 0;
  #reservedHi = 0;

  /** Result: the 4 KiB frame that holds the address, before any second stage. */
  frame = 0;
  /** log2 of the page's size. */
  pageShift = 0;
  /** Low half of the leaf entry: its R, W, X, U, A and D bits. */
  leaf = 0;
  /** The leaf is one of a NAPOT range. */
  napot = false;
  /** Global: the leaf or an entry above it says so. */
  global = false;

  /** The entry read last (the failing one where the walk failed): its level, address and value. */
  level = 0;
  entryFrame = 0;
  entryOffset = 0;
  entryHi = 0;
  entryLo = 0;
  /** The entry was fetched from outside recorded memory, or not at all because its address is out of range. */
  hole = false;
  unread = false;
  /** Frame of the entry's table before the second stage: with `entryOffset`, the guest address of the entry. */
  tableFrame = 0;

  /** @param stage 1, or 2 for the x4 form with its 16 KiB root */
  constructor(stage: 1 | 2) {
    this.#stage = stage;
    this.#x4 = stage === 2;
  }

  /**
   * @param has which of SVPBMT and SVRSW60T59B there are
   * @param frameLimit number of 4 KiB frames in the physical address space
   */
  configure(has: (extension: string) => boolean, frameLimit: number): void {
    this.#reservedHi = SvEntry.reserved(has)[1]! | 0;
    this.frameLimit = frameLimit;
  }

  /**
   * Steps 1 to 5 of the address translation algorithm: from a root table to a well-formed leaf. The caller has
   * checked that the input address fits the scheme, and checks the leaf's rights and its A and D bits.
   *
   * @param tables reader of entries
   * @param root frame number of the top-level table
   * @param levels 2 (Sv32), 3 (Sv39), 4 (Sv48) or 5 (Sv57)
   * @param hi high half of the input address
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
    const narrow = levels === SV32_LEVELS;
    // Step 1.
    let table = root;
    let global = 0;
    for (let level = levels; level > 0; level--) {
      this.level = level;
      // Step 2: the entry at a + va.vpn[i] x PTESIZE.
      const wide = this.#x4 && level === levels;
      const at = narrow ? indexNarrow(level, hi, lo, wide) << 2 : index(level, hi, lo, wide) << 3;
      table += at >>> FRAME_SHIFT;
      const offset = at & FRAME_MASK;
      this.tableFrame = table;
      this.entryOffset = offset;
      if (second !== null) {
        // An implicit read; where it faults, that stage has said how.
        if (!second.translate(frameHi(table), frameLo(table) | offset, READ, FOR_TABLE, out))
          return SECOND_STAGE_FAULT;
        table = second.frame;
      }
      const status = this.#fetch(tables, table, offset, narrow);
      if (status !== WALKED) return status;
      const lowHalf = this.entryLo;
      const highHalf = this.entryHi;

      // Step 3: validity, W without R, reserved bits and encodings.
      if ((lowHalf & SV_V) === 0) return NOT_PRESENT;
      if ((lowHalf & (SV_R | SV_W)) === SV_W) return RESERVED;
      if (highHalf !== 0 && this.#malformed(highHalf, level)) return RESERVED;
      global |= lowHalf;
      const ppn = (highHalf & PPN_HI) * PPN_PER_HI + (lowHalf >>> PPN_SHIFT);

      // Step 4: a pointer to the next level.
      if ((lowHalf & (SV_R | SV_X)) === 0) {
        if ((lowHalf & LEAF_ONLY_LO) !== 0 || (highHalf & PBMT) !== 0) return RESERVED;
        if (level === 1) return RESERVED;
        table = ppn;
        continue;
      }

      // Step 5: a leaf; a superpage must be aligned to its size.
      this.napot = level === 1 && (highHalf & SV_N) !== 0;
      if (level === 1) {
        if (this.napot) {
          if ((ppn & NAPOT_MASK) !== NAPOT_64K) return RESERVED;
          this.frame = ppn - NAPOT_64K + ((lo >>> FRAME_SHIFT) & NAPOT_MASK);
          this.pageShift = NAPOT_64K_SHIFT;
        } else {
          this.frame = ppn;
          this.pageShift = FRAME_SHIFT;
        }
      } else {
        const bitsBelow = entryShift(svGeometry(levels), level) - FRAME_SHIFT;
        const framesBelow = pow2(bitsBelow);
        if (ppn % framesBelow !== 0) return RESERVED;
        this.frame = ppn + frameWithin(bitsBelow, hi, lo);
        this.pageShift = FRAME_SHIFT + bitsBelow;
      }
      this.leaf = lowHalf;
      this.global = (global & G) !== 0;
      return WALKED;
    }
    // Of no levels there is no table: whatever a caller's state has come to, the walk ends.
    return NOT_PRESENT;
  }

  /** Puts the entry read last into a fault result. */
  blame(out: WalkResult): void {
    out.stage = this.#stage;
    out.level = this.level;
    out.entryFrame = this.entryFrame;
    out.entryOffset = this.entryOffset;
    out.entryHi = this.entryHi;
    out.entryLo = this.entryLo;
    out.hole = this.hole;
    out.entryKnown = !this.hole && !this.unread;
  }

  #fetch(tables: TableReader, table: number, offset: number, narrow: boolean): WalkStatus {
    this.entryFrame = table;
    this.entryHi = 0;
    this.entryLo = 0;
    this.hole = false;
    this.unread = table >= this.frameLimit;
    if (this.unread) return ADDRESS_SIZE;
    tables.littleEndian = this.littleEndian;
    const known = narrow
      ? tables.read32(Sv32Entry, table, offset, this.#stage, this.level)
      : tables.read(SvEntry, table, offset, this.#stage, this.level);
    this.hole = !known;
    if (!known) return FETCH_FAILED;
    this.entryHi = tables.hi;
    this.entryLo = tables.lo;
    return WALKED;
  }

  /** Reserved bits of an entry's high half; PBMT = 3 (Svpbmt); N above the lowest level (Svnapot). */
  #malformed(highHalf: number, level: number): boolean {
    if ((highHalf & this.#reservedHi) !== 0) return true;
    if ((highHalf & PBMT) === PBMT) return true;
    return level > 1 && (highHalf & SV_N) !== 0;
  }
}

/** vpn[level - 1] of Sv39, Sv48 and Sv57; two bits more in the root of an x4 scheme. */
function index(level: number, hi: number, lo: number, wide: boolean): number {
  const mask = wide ? 2047 : 511;
  switch (level) {
    case 1:
      return (lo >>> 12) & mask;
    case 2:
      return (lo >>> 21) & mask;
    case 3:
      return ((lo >>> 30) | (hi << 2)) & mask;
    case 4:
      return (hi >>> 7) & mask;
    default:
      return (hi >>> 16) & mask;
  }
}

/** vpn[level - 1] of Sv32; two bits more in the root of Sv32x4. */
function indexNarrow(level: number, hi: number, lo: number, wide: boolean): number {
  if (level === 1) return (lo >>> 12) & 1023;
  return wide ? ((lo >>> 22) | (hi << 10)) & 4095 : lo >>> 22;
}

/** The low `count` bits (9 to 36) of the input address's page number. */
function frameWithin(count: number, hi: number, lo: number): number {
  if (count <= 20) return (lo >>> 12) & (pow2(count) - 1);
  return (hi & (pow2(count - 20) - 1)) * 0x10_0000 + (lo >>> 12);
}
