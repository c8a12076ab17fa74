/**
 * What makes an entry of the device table illegal (AMD 48882, 2.2.2 and 2.5.2, ILLEGAL_DEV_TABLE_ENTRY), in the order
 * in which it is checked: reserved bits first, whose event has RZ=1, then level encodings, as far as they are used.
 */
import { type EntryRule, type EntryRules, entryRules } from "../tables/entry-rule.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import type { Configuration } from "./configuration.ts";
import {
  CHECKED_BITS,
  DeviceTableEntry,
  RESERVED_GLX,
  RESERVED_IOCTL,
  RESERVED_MODE,
} from "./device-table-entry.ts";
import { FLAG_RZ } from "./events.ts";
import { ILLEGAL_DEV_TABLE_ENTRY } from "./faults.ts";

const ILLEGAL = TABLE_RULES["illegal-encoding"];
const UNSUPPORTED = TABLE_RULES["unsupported-encoding"];

const CHECKED_WORDS = CHECKED_BITS / 32;
const LARGEST_GUEST_PAGING_MODE = 1;

const tv = DeviceTableEntry.reader("TV");
const mode = DeviceTableEntry.reader("MODE");
const gv = DeviceTableEntry.reader("GV");
const glx = DeviceTableEntry.reader("GLX");
const ioctl = DeviceTableEntry.reader("IOCTL");
const guestPagingMode = DeviceTableEntry.reader("GUESTPAGINGMODE");

type DteField = keyof typeof DeviceTableEntry.fields;
type DteRule = EntryRule<Configuration> & { readonly field: DteField | null };

const { source } = DeviceTableEntry;
const rule = (field: DteField | null, kind: DteRule["kind"], expected: DteRule["expected"]): DteRule => ({
  field,
  kind,
  expected,
  source,
  fault: ILLEGAL_DEV_TABLE_ENTRY,
});

export const DTE_RULES: EntryRules<Configuration> = entryRules(DeviceTableEntry, {
  1: rule(null, TABLE_RULES["reserved-entry-bits"], "reserved bits are set"),
  2: rule("IOCTL", ILLEGAL, "expected 0 to 2"),
  3: rule("MODE", ILLEGAL, "expected 0 to 6"),
  4: rule("MODE", UNSUPPORTED, (_view, _at, c) => `expected ${c.hostLevels} at most, as EFR.HATS has it`),
  5: rule("GLX", ILLEGAL, "expected 0 to 2"),
  6: rule("GLX", UNSUPPORTED, (_view, _at, c) => `expected ${c.glx} at most, as EFR.GLXSup has it`),
  7: rule("GUESTPAGINGMODE", ILLEGAL, "expected 0 or 1"),
  8: rule("GUESTPAGINGMODE", UNSUPPORTED, "expected 0, as EFR.GATS has it"),
});

/** 2.5.2, RZ: whether what the entry says is reserved, or a level that is invalid. */
export function flagsOf(broken: number): number {
  return broken <= 2 ? FLAG_RZ : 0;
}

/** @returns number in DTE_RULES of the first rule above `after` that a valid entry breaks, or 0 */
export function brokenDteRule(view: DataView, at: number, c: Configuration, after = 0): number {
  if (after < 1 && anyReserved(view, at, c.entryReserved)) return 1;
  if (after < 2 && ioctl(view, at) === RESERVED_IOCTL) return 2;
  // 2.2.2, table 8: with TV=0 nothing of the tables counts, and with GV=0 nothing of the guest's.
  if (tv(view, at) === 0) return 0;
  const levels = mode(view, at);
  if (after < 3 && levels === RESERVED_MODE) return 3;
  if (after < 4 && levels !== RESERVED_MODE && levels > c.hostLevels) return 4;
  return (gv(view, at) & c.guestTranslation) === 0 ? 0 : brokenGuestRule(view, at, c, after);
}

function brokenGuestRule(view: DataView, at: number, c: Configuration, after: number): number {
  const levels = glx(view, at);
  if (after < 5 && levels === RESERVED_GLX) return 5;
  if (after < 6 && levels !== RESERVED_GLX && levels > c.glx) return 6;
  const paging = guestPagingMode(view, at);
  if (after < 7 && paging > LARGEST_GUEST_PAGING_MODE) return 7;
  if (after < 8 && paging <= LARGEST_GUEST_PAGING_MODE && 4 + paging > c.guestLevels) return 8;
  return 0;
}

function anyReserved(view: DataView, at: number, reserved: Uint32Array): boolean {
  for (let word = 0; word < CHECKED_WORDS; word++)
    if ((view.getUint32(at + word * 4, true) & reserved[word]!) !== 0) return true;
  return false;
}
