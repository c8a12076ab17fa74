/**
 * Arm VMSAv8-64 translation tables: the walk that stage 1 and stage 2 share (Arm ARM DDI 0487, D8.2.8 to D8.2.10
 * for the 4 KiB, 16 KiB and 64 KiB granules, D8.3.1 for the descriptors). What differs, the meaning of a leaf's
 * attributes, is in vmsav8-64-stage1.ts and vmsav8-64-stage2.ts.
 *
 * Level numbers are the architecture's own: 3 is the level of page descriptors, the walk starts at -1, 0, 1, 2 or 3.
 * One level resolves granule - 3 bits: level L's descriptor maps 2^(granule + (granule - 3) * (3 - L)) bytes.
 */
import type { Layout } from "../layout.ts";
import { frameHi, frameLo, framesIn, pow2 } from "../memory.ts";
import { READ, WRITE } from "../request.ts";
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import { entryShift, type LevelGeometry } from "./geometry.ts";
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

/** log2 of the granule sizes. */
export const GRANULE_4K = 12;
export const GRANULE_16K = 14;
export const GRANULE_64K = 16;

/** The level of page descriptors. */
export const FINAL_LEVEL = 3;

const GEOMETRY_4K = geometry(GRANULE_4K);
const GEOMETRY_16K = geometry(GRANULE_16K);
const GEOMETRY_64K = geometry(GRANULE_64K);

function geometry(granule: number): LevelGeometry {
  return { pageShift: granule, bits: granule - 3, last: FINAL_LEVEL, up: -1 };
}

/** @param granule its log2: 12, 14 or 16 */
export function granuleGeometry(granule: number): LevelGeometry {
  return granule === GRANULE_4K ? GEOMETRY_4K : granule === GRANULE_16K ? GEOMETRY_16K : GEOMETRY_64K;
}

/** Descriptor bits 1:0. */
const VALID = 1;
const TABLE_OR_PAGE = 2;
/** Access flag: of leaves, and with FEAT_HAFT of table descriptors. */
const AF = 0x400;
/** Bits 63:59 of a table descriptor, the hierarchical attributes, in its high half. */
const TABLE_ATTRIBUTES = 0xf800_0000 | 0;
/** Contiguous, of leaves, in their high half. */
const CONTIGUOUS = 0x10_0000;
/** Bits 47:32 of an output address, in the high half. */
const ADDRESS_HI = 0xffff;

/** Where a descriptor keeps bits 51:48 of an address (D8.3.1, tables D8-50 to D8-53). */
const NO_HIGH_BITS = 0;
/** FEAT_LPA, 64 KiB granule: descriptor bits 15:12. */
const HIGH_BITS_LPA = 1;
/** FEAT_LPA2 (DS), 4 and 16 KiB granules: 51:50 in bits 9:8, 49:48 in place. */
const HIGH_BITS_LPA2 = 2;

/** The level at which a walk without concatenated tables starts (DDI 0487 J1.1, AArch64.S1StartLevel). */
export function startLevelOf(granule: number, inputBits: number): number {
  return FINAL_LEVEL - Math.floor((inputBits - 1 - granule) / (granule - 3));
}

/** One translation table base, and everything that TTBR, TCR and their like say about walking it. */
export class TableBase {
  /** The initial table: 4 KiB frame number and byte offset in it (an initial table may be as small as 16 bytes). */
  frame = 0;
  offset = 0;
  /** log2 of the granule. */
  granule = GRANULE_4K;
  /** Input address bits that the walk resolves, page offset included: 64 - TxSZ. */
  inputBits = 48;
  startLevel = 0;
  /** Lowest input address bit of the index into the initial table, and the mask of that index. */
  startShift = 39;
  startMask = 511;
  /** The first level at which a block descriptor is not reserved. */
  firstBlockLevel = 1;
  /** 4 KiB frames that the output address size can address: an address at or beyond them faults. */
  outputFrames = 2 ** 36;
  /** The same, for the addresses of tables. */
  tableFrames = 2 ** 36;
  highBits = NO_HIGH_BITS;
  littleEndian = true;
  /** FEAT_HAFT: hardware sets the access flag of table descriptors, too. */
  tableAccess = false;

  /**
   * Sets the shape of the tables.
   * @param granule 12, 14 or 16
   * @param inputBits 64 - TxSZ
   * @param startLevel -1 to 3; more input bits than one table resolves there make concatenated tables (D8.2.2)
   * @param outputBits effective output address size
   * @param ds FEAT_LPA2's DS: 52-bit addresses with the 4 and 16 KiB granules
   * @param lpa FEAT_LPA: 52-bit addresses with the 64 KiB granule
   */
  shape(
    granule: number,
    inputBits: number,
    startLevel: number,
    outputBits: number,
    ds: boolean,
    lpa: boolean,
  ): void {
    this.granule = granule;
    this.inputBits = inputBits;
    this.startLevel = startLevel;
    this.startShift = entryShift(granuleGeometry(granule), startLevel);
    this.startMask = pow2(inputBits - this.startShift) - 1;
    this.outputFrames = framesIn(outputBits);
    this.tableFrames = this.outputFrames;
    const is64k = granule === GRANULE_64K;
    this.highBits = is64k ? (lpa ? HIGH_BITS_LPA : NO_HIGH_BITS) : ds ? HIGH_BITS_LPA2 : NO_HIGH_BITS;
    // D8.2.8 table D8-17, D8.2.9 table D8-27, D8.2.10 table D8-36; AArch64.BlockDescSupported.
    const ordinary = granule === GRANULE_4K ? 1 : 2;
    this.firstBlockLevel = this.highBits !== NO_HIGH_BITS ? ordinary - 1 : ordinary;
  }

  /**
   * Sets the base address, aligned down to the size of the initial table (D8.2.5.2), and to 64 bytes where the
   * output address size is 52 bits (IHI 0070 5.2 S2TTB, 5.4 TTB0). Call after `shape`.
   */
  base(frame: number, offset: number, outputBits: number): void {
    const tableShift = this.inputBits - this.startShift + 3;
    const align = outputBits >= 52 && tableShift < 6 ? 6 : tableShift;
    this.frame = align > 12 ? frame - (frame % framesIn(align)) : frame;
    this.offset = align >= 12 ? 0 : offset & -(1 << align);
  }
}

/** A walker of one stage's tables. Reused: its fields hold the result of the last walk. */
export class Vmsav864Walk {
  readonly stage: 1 | 2;
  readonly layout: Layout;

  /** Result: the 4 KiB frame that holds the address, before any second stage. */
  frame = 0;
  /** log2 of the leaf's size. The Contiguous bit is a hint that a walk makes no use of: one leaf, one size. */
  pageShift = 0;
  /** log2 of what a TLB may hold with the leaf, of the leaf where that is all (D8.7.1). */
  groupShift = 0;
  /** The leaf descriptor. */
  leafHi = 0;
  leafLo = 0;
  /** High halves of all table descriptors on the way that were read, or-ed: bits 63:59 are the hierarchical attributes. */
  tableHi = 0;
  /** Level of the descriptor read last: the failing one where the walk failed. */
  level = 0;
  /** Intermediate physical address of the descriptor read last, and the rights of its page in the second stage. */
  ipaFrame = 0;
  ipaOffset = 0;
  ipaWritable = true;

  constructor(stage: 1 | 2, layout: Layout) {
    this.stage = stage;
    this.layout = layout;
  }

  /**
   * Walks from a base to a leaf. Per level, in the order of IHI 0070 7.3.22: the second stage's faults on the
   * descriptor's address, external abort, translation fault, address size fault. The caller has checked the input
   * address range, and checks access flag and permissions.
   *
   * @param tables reader of descriptors; after a failure its last entry is the failing one
   * @param base the tables
   * @param hi high half of the 64-bit input address
   * @param lo low half
   * @param second the stage that descriptor fetches go through, or null
   * @param out filled only where the second stage faults
   */
  walk(
    tables: TableReader,
    base: TableBase,
    hi: number,
    lo: number,
    second: SecondStage | null,
    out: WalkResult,
  ): WalkStatus {
    const stride = base.granule - 3;
    const mask = (1 << stride) - 1;
    let level = base.startLevel;
    let shift = base.startShift;
    let frame = base.frame;
    let at = base.offset + field(hi, lo, shift, base.startMask) * 8;
    this.tableHi = 0;
    for (; level <= FINAL_LEVEL; level++) {
      this.level = level;
      // A table may be larger than a frame; its base is aligned to its size, so the sum stays inside it.
      frame += at >>> 12;
      at &= 0xfff;
      if (second !== null) {
        this.ipaFrame = frame;
        this.ipaOffset = at;
        if (!second.translate(frameHi(frame), frameLo(frame) | at, READ, FOR_TABLE, out))
          return SECOND_STAGE_FAULT;
        frame = second.frame;
        this.ipaWritable = (second.perm & WRITE) !== 0;
      }
      tables.littleEndian = base.littleEndian;
      if (!tables.read(this.layout, frame, at, this.stage, level)) return FETCH_FAILED;
      const entryLo = tables.lo;
      const entryHi = tables.hi;
      if ((entryLo & VALID) === 0) return NOT_PRESENT;
      const leaf = level === FINAL_LEVEL || (entryLo & TABLE_OR_PAGE) === 0;
      // Bits 1:0 are 01 at level 3, or at a level without blocks: reserved, treated as invalid (table D8-48).
      if (leaf && (level === FINAL_LEVEL ? (entryLo & TABLE_OR_PAGE) === 0 : level < base.firstBlockLevel))
        return RESERVED;
      const output = outputFrame(base, entryHi, entryLo, leaf ? shift : base.granule);
      if (!leaf) this.tableHi |= entryHi & TABLE_ATTRIBUTES;
      if (output >= (leaf ? base.outputFrames : base.tableFrames)) return ADDRESS_SIZE;
      if (leaf) {
        this.leafHi = entryHi;
        this.leafLo = entryLo;
        this.pageShift = shift;
        this.groupShift = (entryHi & CONTIGUOUS) === 0 ? shift : groupShiftOf(base, level, shift);
        this.frame = output + framesInto(hi, lo, shift);
        return WALKED;
      }
      // The update of a table's access flag is a write, which the second stage has to allow (IHI 0070 3.13.5, 3.13.6).
      if (base.tableAccess && second !== null && (entryLo & AF) === 0 && !this.ipaWritable) {
        const { ipaFrame, ipaOffset } = this;
        if (!second.translate(frameHi(ipaFrame), frameLo(ipaFrame) | ipaOffset, WRITE, FOR_TABLE, out))
          return SECOND_STAGE_FAULT;
      }
      frame = output;
      shift -= stride;
      at = field(hi, lo, shift, mask) * 8;
    }
    // Beyond the last level there is no table: whatever a caller's state has come to, the walk ends.
    return NOT_PRESENT;
  }
}

/**
 * D8.7.1, table D8-104: what the Contiguous bit says of a leaf. Blocks that FEAT_LPA or FEAT_LPA2 has added have no such
 * bit; a group is no larger than the input range.
 */
function groupShiftOf(base: TableBase, level: number, shift: number): number {
  const { granule } = base;
  const is4k = granule === GRANULE_4K;
  if (level < (is4k ? 1 : 2)) return shift;
  const bits = is4k ? 4 : granule === GRANULE_16K && level === FINAL_LEVEL ? 7 : 5;
  return shift + bits <= base.inputBits ? shift + bits : shift;
}

/** Bits of a 64-bit number from bit `shift` (12 to 48) up, under a mask of at most 20 bits. */
function field(hi: number, lo: number, shift: number, mask: number): number {
  return (shift < 32 ? (lo >>> shift) | (hi << (32 - shift)) : hi >>> (shift - 32)) & mask;
}

/** 4 KiB frames from the start of a naturally aligned region of 2^shift bytes to the address in it. */
function framesInto(hi: number, lo: number, shift: number): number {
  if (shift < 32) return (lo & ((1 << shift) - 1)) >>> 12;
  return (lo >>> 12) + (hi & ((1 << (shift - 32)) - 1)) * 0x10_0000;
}

/** The frame that a descriptor's address field names; bits below 2^shift bytes are not part of it. */
function outputFrame(base: TableBase, hi: number, lo: number, shift: number): number {
  let frame: number;
  if (shift < 32) frame = (hi & ADDRESS_HI) * 0x10_0000 + ((lo & -(1 << shift)) >>> 12);
  else frame = (hi & ADDRESS_HI & -(1 << (shift - 32))) * 0x10_0000;
  if (base.highBits === NO_HIGH_BITS) return frame;
  const high = base.highBits === HIGH_BITS_LPA ? (lo >>> 12) & 0xf : ((lo >>> 6) & 0xc) | ((hi >>> 16) & 3);
  return frame + high * 2 ** 36;
}
