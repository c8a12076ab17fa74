/**
 * How software changes a device table entry (AMD 48882, 2.2.2): with 128-bit stores, in an order that depends on V and GV.
 * The IOMMU reads the whole entry at once (which AMD's designers confirmed when Linux 6.14 came to follow it,
 * amd/iommu.c update_dte256). So the half with V and GV is the last to be written where it makes the other one count, and
 * the first where it ends that; where both halves count before and after, the entry is made invalid in between.
 */
import { allBits, bitsOf, bothBits, type EntryUpdates, exceptBits } from "../tables/updates.ts";
import { DeviceTableEntry, Gcr3Entry } from "./device-table-entry.ts";

const gv = DeviceTableEntry.reader("GV");
const tv = DeviceTableEntry.reader("TV");
/** Bits 255:128 are of interrupts, where not named here: who writes them goes by IV, not by V. */
const NOT_INTERRUPTS = bitsOf(DeviceTableEntry, [
  "VIMUEN",
  "GDEVICEID",
  "GUESTID",
  "ATTRV",
  "MODE0FC",
  "SNOOPATTR",
]);
const LOW_HALF = allBits(DeviceTableEntry).map((word, i) => (i < 2 ? word : NOT_INTERRUPTS[i]!));
const GUEST_HALF = bothBits(LOW_HALF, bitsOf(DeviceTableEntry, ["GUESTPAGINGMODE"]));
const GUEST = bitsOf(DeviceTableEntry, ["GLX", "GCR3TRP", "GIOV"]);
const HOST_HALF = exceptBits(LOW_HALF, GUEST);
const WITHOUT_TABLES = exceptBits(HOST_HALF, bitsOf(DeviceTableEntry, ["MODE", "HPTROOT", "HAD"]));

/** With TV=0 nothing of the tables counts, with GV=0 nothing of the guest's (table 8). */
export const DTE_UPDATES: EntryUpdates = {
  read: DeviceTableEntry.bytes,
  store: 16,
  gate: "V",
  /** 2.2.2: with V=0 requests are forwarded untranslated, with TV=0 those are aborted that need tables. */
  refusing: "V=1 and TV=0",
  used: (view, at) => (tv(view, at) === 0 ? WITHOUT_TABLES : gv(view, at) === 0 ? HOST_HALF : GUEST_HALF),
  source: "AMD 48882, 2.2.2",
};

export const GCR3_UPDATES: EntryUpdates = {
  read: Gcr3Entry.bytes,
  store: Gcr3Entry.bytes,
  gate: "V",
  source: "AMD 48882, 2.2.6",
};
