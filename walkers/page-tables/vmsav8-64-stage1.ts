/** VMSAv8-64 stage 1: descriptors (DDI 0487, D8.3.1) and direct permissions (D8.4.1; J1.1, S1DirectBasePermissions). */
import { bit, bits, frame, ignored, layout } from "../layout.ts";
import { EXECUTE, READ, WRITE } from "../request.ts";
import type { Vmsav864Walk } from "./vmsav8-64.ts";

/**
 * One layout for table, block and page descriptors of all levels and granules: which bits of the address field
 * count, and that bits 63:59 are attributes of table descriptors only, is the walk's business.
 */
export const Stage1Descriptor = layout("VMSAv8-64 stage 1 descriptor", "DDI 0487 D8.3.1", 8, {
  VALID: bit(0, "Valid"),
  TYPE: bit(1, "Table (levels below 3) or page (level 3); 0: block"),
  ATTRINDX: bits(4, 2, "Memory attribute index (leaf)"),
  NS: bit(5, "Non-secure (leaf)"),
  AP: bits(7, 6, "Access permissions AP[2:1] (leaf)", {
    0: "privileged read/write",
    1: "read/write",
    2: "privileged read-only",
    3: "read-only",
  }),
  SH: bits(9, 8, "Shareability (leaf); address bits 51:50 where DS is set"),
  AF: bit(10, "Access flag"),
  NG: bit(11, "Not global (leaf)"),
  ADDR: frame(47, 12, "Next table, or output address; 64 KiB granule: bits 15:12 are address bits 51:48"),
  ADDR_49_48: bits(49, 48, "Address bits 49:48 where DS is set"),
  GP: bit(50, "Guarded page (leaf)"),
  DBM: bit(51, "Dirty bit modifier (leaf)"),
  CONT: bit(52, "Contiguous (leaf)"),
  PXN: bit(53, "Privileged execute-never (leaf)"),
  UXN: bit(54, "Unprivileged execute-never (leaf); XN with one privilege level"),
  IGN: ignored(58, 55, "Software use"),
  PXNTABLE: bit(59, "PXN limit for lower levels (table)"),
  UXNTABLE: bit(60, "UXN (or XN) limit for lower levels (table)"),
  APTABLE: bits(62, 61, "AP limit for lower levels (table)", {
    0: "no effect",
    1: "no unprivileged access",
    2: "no write",
    3: "no write, no unprivileged access",
  }),
  NSTABLE: bit(63, "NS limit for lower levels (table)"),
});

const MASK = Stage1Descriptor.mask;
const AF = MASK.AF.lo;
const NG = MASK.NG.lo;
const AP1 = 1 << 6;
const AP2 = 1 << 7;
const DBM = MASK.DBM.hi;
const PXN = MASK.PXN.hi;
const UXN = MASK.UXN.hi;
const PXN_TABLE = MASK.PXNTABLE.hi;
const UXN_TABLE = MASK.UXNTABLE.hi;
const AP_TABLE_0 = 1 << 29;
const AP_TABLE_1 = 1 << 30;

/** Controls of a translation regime that stage 1 permissions depend on. */
export interface Stage1Controls {
  /** One privilege level (EL2 without E2H): AP[1], PXN and PAN have no meaning, UXN is XN. */
  readonly onePrivilege: boolean;
  readonly wxn: boolean;
  readonly pan: boolean;
  readonly epan: boolean;
  /** Hardware updates the dirty state: a leaf that is read-only only by AP[2], with DBM set, is writable. */
  readonly hardwareDirty: boolean;
}

export function stage1AccessFlag(walk: Vmsav864Walk): boolean {
  return (walk.leafLo & AF) !== 0;
}

export function notGlobal(walk: Vmsav864Walk): boolean {
  return (walk.leafLo & NG) !== 0;
}

/** Whether a write makes hardware mark the leaf dirty (it was writable-clean). */
export function writableClean(walk: Vmsav864Walk): boolean {
  return (walk.leafLo & AP2) !== 0 && (walk.leafHi & DBM) !== 0;
}

/**
 * READ, WRITE, EXECUTE that the leaf and the tables above it grant.
 * @param hierarchical false where hierarchical attributes are disabled (HAD)
 */
export function stage1Permissions(
  walk: Vmsav864Walk,
  controls: Stage1Controls,
  hierarchical: boolean,
  privileged: boolean,
): number {
  const leafHi = walk.leafHi;
  const leafLo = walk.leafLo;
  const table = hierarchical ? walk.tableHi : 0;
  const readOnly =
    ((leafLo & AP2) !== 0 && !(controls.hardwareDirty && (leafHi & DBM) !== 0)) || (table & AP_TABLE_1) !== 0;
  const data = readOnly ? READ : READ | WRITE;
  let granted: number;
  /** What the page itself allows this privilege, before PAN: WXN is about pages. */
  let page = data;
  let execute: boolean;
  if (controls.onePrivilege) {
    granted = data;
    execute = (leafHi & UXN) === 0 && (table & UXN_TABLE) === 0;
  } else {
    const user = (leafLo & AP1) !== 0 && (table & AP_TABLE_0) === 0 ? data : 0;
    const userExecute = (leafHi & UXN) === 0 && (table & UXN_TABLE) === 0;
    if (privileged) {
      // Privileged access never: no data access to what unprivileged accesses may read (EPAN: or execute).
      const never = controls.pan && (user !== 0 || (controls.epan && userExecute));
      granted = never ? 0 : data;
      // What unprivileged accesses may write is never privileged-executable.
      execute = (leafHi & PXN) === 0 && (table & PXN_TABLE) === 0 && (user & WRITE) === 0;
    } else {
      granted = user;
      page = user;
      execute = userExecute;
    }
  }
  if (execute && !(controls.wxn && (page & WRITE) !== 0)) granted |= EXECUTE;
  return granted;
}
