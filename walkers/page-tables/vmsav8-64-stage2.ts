/** VMSAv8-64 stage 2: descriptors (DDI 0487, D8.3.1), direct permissions (D8.4.2), start levels (D8.2.8 to D8.2.10). */
import { bit, bits, frame, ignored, layout } from "../layout.ts";
import { EXECUTE, READ, WRITE } from "../request.ts";
import { entryShift } from "./geometry.ts";
import { FINAL_LEVEL, GRANULE_4K, GRANULE_16K, granuleGeometry, type Vmsav864Walk } from "./vmsav8-64.ts";

/** One layout for table, block and page descriptors of all levels and granules. */
export const Stage2Descriptor = layout("VMSAv8-64 stage 2 descriptor", "DDI 0487 D8.3.1", 8, {
  VALID: bit(0, "Valid"),
  TYPE: bit(1, "Table (levels below 3) or page (level 3); 0: block"),
  MEMATTR: bits(5, 2, "Memory attributes (leaf)"),
  S2AP: bits(7, 6, "Access permissions (leaf)", {
    0: "none",
    1: "read-only",
    2: "write-only",
    3: "read/write",
  }),
  SH: bits(9, 8, "Shareability (leaf); address bits 51:50 where S2DS is set"),
  AF: bit(10, "Access flag"),
  FNXS: bit(11, "XS attribute modifier (leaf)"),
  ADDR: frame(47, 12, "Next table, or output address; 64 KiB granule: bits 15:12 are address bits 51:48"),
  ADDR_49_48: bits(49, 48, "Address bits 49:48 where S2DS is set"),
  DBM: bit(51, "Dirty bit modifier (leaf)"),
  CONT: bit(52, "Contiguous (leaf)"),
  XN: bits(54, 53, "Execute-never (leaf)", {
    0: "executable",
    1: "not privileged-executable",
    2: "not executable",
    3: "not unprivileged-executable",
  }),
  NS: bit(55, "Non-secure, in Realm state (leaf)"),
  IGN: ignored(58, 56, "Software use"),
  PBHA: bits(62, 59, "Page-based hardware attributes (leaf)"),
});

const MASK = Stage2Descriptor.mask;
const AF = MASK.AF.lo;
const S2AP0 = 1 << 6;
const S2AP1 = 1 << 7;
const DBM = MASK.DBM.hi;
const XN0 = 1 << 21;
const XN1 = 1 << 22;

export function stage2AccessFlag(walk: Vmsav864Walk): boolean {
  return (walk.leafLo & AF) !== 0;
}

/**
 * READ, WRITE, EXECUTE that the leaf grants.
 * @param hardwareDirty hardware updates the dirty state: a leaf with DBM set is writable
 * @param xnx FEAT_XNX: XN has two bits and distinguishes privilege
 */
export function stage2Permissions(
  walk: Vmsav864Walk,
  hardwareDirty: boolean,
  xnx: boolean,
  privileged: boolean,
): number {
  let granted = (walk.leafLo & S2AP0) !== 0 ? READ : 0;
  if ((walk.leafLo & S2AP1) !== 0 || (hardwareDirty && (walk.leafHi & DBM) !== 0)) granted |= WRITE;
  const never = (walk.leafHi & XN1) !== 0;
  const differs = xnx && (walk.leafHi & XN0) !== 0;
  // XN 00: all execute, 10: none, 01: unprivileged only, 11: privileged only.
  if (differs ? privileged === never : !never) granted |= EXECUTE;
  return granted;
}

/** Whether the leaf maps any Device type: MemAttr[3:2] is 00, or MemAttr[2] is 0 where FEAT_S2FWB is in use (D8.6). */
export function isDevice(walk: Vmsav864Walk, fwb: boolean): boolean {
  return (walk.leafLo & (fwb ? 0x10 : 0x30)) === 0;
}

const NO_START_LEVEL = Number.NaN;

/**
 * Start level that SL2:SL0 encodes (tables D8-19, D8-29, D8-38), NaN for a value that is reserved or that this
 * output address size or feature set does not allow (J1.1, AArch64.S2InvalidSL).
 *
 * @param granule 12, 14 or 16
 * @param sl SL2:SL0; SL2 only where `ds` is set and the granule is 4 KiB
 * @param maxOutputBits address size of the implementation
 * @param stt small translation tables (FEAT_TTST)
 */
export function stage2StartLevel(
  granule: number,
  sl: number,
  ds: boolean,
  maxOutputBits: number,
  stt: boolean,
): number {
  if (granule === GRANULE_4K) {
    if (sl === 0) return 2;
    if (sl === 1) return 1;
    if (sl === 2) return maxOutputBits < 44 ? NO_START_LEVEL : 0;
    if (sl === 3) return stt ? 3 : NO_START_LEVEL;
    return sl === 4 && ds && maxOutputBits >= 52 ? -1 : NO_START_LEVEL;
  }
  if (sl === 0) return 3;
  if (sl === 1) return 2;
  if (sl === 2) return maxOutputBits < (granule === GRANULE_16K ? 42 : 44) ? NO_START_LEVEL : 1;
  return granule === GRANULE_16K && ds && maxOutputBits >= 52 ? 0 : NO_START_LEVEL;
}

/** Whether a start level fits an input size: at least one bit, at most 16 concatenated tables (AArch64.S2InconsistentSL). */
export function stage2Consistent(granule: number, inputBits: number, startLevel: number): boolean {
  const resolved = inputBits - entryShift(granuleGeometry(granule), startLevel);
  return startLevel <= FINAL_LEVEL && resolved >= 1 && resolved <= granule - 3 + 4;
}
