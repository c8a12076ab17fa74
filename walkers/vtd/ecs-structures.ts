/**
 * The structures of the extended mode of VT-d revisions 2.0 to 2.5 (ECAP.ECS, RTADDR.RTT), which revision 3.0
 * withdrew in favour of scalable mode: VT-d 2.4, sections 9.2, 9.4, 9.5 and 9.6. The bit of 5-level first-level
 * paging in a PASID entry is that of revision 2.5.
 */
import { bit, bits, frame, ignored, layout } from "../layout.ts";
import { ADDRESS_WIDTHS, ScalableRootEntry } from "./structures.ts";

export const ExtendedRootEntry = layout(
  "VT-d extended root entry",
  "VT-d 2.4, 9.2",
  16,
  ScalableRootEntry.fields,
);

/** Translation types of an extended context entry: what requests without PASID undergo. */
export const EXT_HOST = 0;
export const EXT_HOST_DEVICE_TLB = 1;
export const EXT_PASS_THROUGH = 2;
/** Pass-through without PASID; requests with PASID are translated. */
export const EXT_GUEST = 4;
export const EXT_GUEST_DEVICE_TLB = 5;

export function allowsDeviceTlb(type: number): boolean {
  return type === EXT_HOST_DEVICE_TLB || type === EXT_GUEST_DEVICE_TLB;
}

export const ExtendedContextEntry = layout("VT-d extended context entry", "VT-d 2.4, 9.4", 32, {
  P: bit(0, "Present"),
  FPD: bit(1, "Fault processing disable: qualified faults are not recorded"),
  T: bits(4, 2, "Translation type", {
    [EXT_HOST]: "second level",
    [EXT_HOST_DEVICE_TLB]: "second level, device-TLB allowed",
    [EXT_PASS_THROUGH]: "pass-through",
    [EXT_GUEST]: "pass-through, and first level with PASID",
    [EXT_GUEST_DEVICE_TLB]: "pass-through, and first level with PASID, device-TLB allowed",
  }),
  EMT: bits(7, 5, "Extended memory type", undefined, { needs: "MTS" }),
  DINVE: bit(8, "Deferred invalidation enable", { needs: "DIS" }),
  PRE: bit(9, "Page request enable", { needs: "PRS" }),
  NESTE: bit(10, "Nesting enable", { needs: "NEST" }),
  PASIDE: bit(11, "PASID enable", { needs: "PASID" }),
  SLPTPTR: frame(63, 12, "Second-level table"),
  AW: bits(66, 64, "Address width of the second level", ADDRESS_WIDTHS),
  PGE: bit(67, "Page global enable"),
  NXE: bit(68, "No-execute enable"),
  WPE: bit(69, "Write protect enable"),
  CD: bit(70, "Cache disable", { needs: "MTS" }),
  EMTE: bit(71, "Extended memory type enable", { needs: "MTS" }),
  DID: bits(87, 72, "Domain id"),
  SMEP: bit(88, "Supervisor mode execute prevention"),
  EAFE: bit(89, "Extended accessed flag enable", { needs: "EAFS" }),
  ERE: bit(90, "Execute request enable", { needs: "ERS" }),
  SLEE: bit(91, "Second-level execute enable", { needs: "ERS" }),
  PAT: bits(127, 96, "Page attribute table", undefined, { needs: "MTS" }),
  PTS: bits(131, 128, "PASID table size: 2^(X+5) entries"),
  PASIDPTR: frame(191, 140, "PASID table"),
  PASIDSTPTR: frame(255, 204, "PASID-state table"),
});

export const ExtendedPasidEntry = layout("VT-d extended-mode PASID entry", "VT-d 2.4, 9.5; 2.5, 9.5", 8, {
  P: bit(0, "Present"),
  PWT: bit(3, "Page-level write-through"),
  PCD: bit(4, "Page-level cache disable"),
  FLPM: bits(10, 9, "First-level paging mode", { 0: "4 levels", 1: "5 levels" }),
  SRE: bit(11, "Supervisor request enable", { needs: "SRS" }),
  FLPTPTR: frame(63, 12, "First-level table"),
});

/** How many requests of a PASID are active at a device: hardware counts, translation does not depend on it. */
export const PasidStateEntry = layout("VT-d extended-mode PASID-state entry", "VT-d 2.4, 9.6", 8, {
  IGN0: ignored(31, 0),
  AREFCNT: bits(47, 32, "Active reference count"),
  IGN1: ignored(62, 48),
  DINV: bit(63, "Deferred invalidation"),
});
