/**
 * The remapping structures in memory: root, context, PASID directory and PASID table (Intel VT-d 5.10, chapter 9).
 * `needs` names the capability without which a field is reserved (registers.ts). Execute requests (ERS) were
 * withdrawn in revision 4.1; ERE, NXE, SMEP and SSEE are those of revisions 3.0 to 4.0.
 */
import { bit, bits, frame, ignored, layout } from "../layout.ts";

const FPD = "Fault processing disable: qualified faults are not recorded";

export const RootEntry = layout("VT-d root entry", "VT-d 5.10, 9.1", 16, {
  P: bit(0, "Present"),
  CTP: frame(63, 12, "Context table"),
});

export const ScalableRootEntry = layout("VT-d scalable-mode root entry", "VT-d 5.10, 9.2", 16, {
  LP: bit(0, "Lower half present (devices 0 to 15)"),
  LCTP: frame(63, 12, "Lower context table"),
  UP: bit(64, "Upper half present (devices 16 to 31)"),
  UCTP: frame(127, 76, "Upper context table"),
});

/** Translation types of a context entry. */
const TT_SECOND_STAGE = 0;
export const TT_DEVICE_TLB = 1;
export const TT_PASS_THROUGH = 2;

export const ADDRESS_WIDTHS = { 1: "39 bits, 3 levels", 2: "48 bits, 4 levels", 3: "57 bits, 5 levels" };

export const ContextEntry = layout("VT-d context entry", "VT-d 5.10, 9.3", 16, {
  P: bit(0, "Present"),
  FPD: bit(1, FPD),
  TT: bits(3, 2, "Translation type", {
    [TT_SECOND_STAGE]: "second stage",
    [TT_DEVICE_TLB]: "second stage, device-TLB allowed",
    [TT_PASS_THROUGH]: "pass-through",
  }),
  SSPTPTR: frame(63, 12, "Second-stage table"),
  AW: bits(66, 64, "Address width of the second stage", ADDRESS_WIDTHS),
  IGN: ignored(70, 67),
  DID: bits(87, 72, "Domain id"),
});

export const ScalableContextEntry = layout("VT-d scalable-mode context entry", "VT-d 5.10, 9.4", 32, {
  P: bit(0, "Present"),
  FPD: bit(1, FPD),
  DTE: bit(2, "Device-TLB enable", { needs: "DT" }),
  PASIDE: bit(3, "PASID enable", { needs: "PASID" }),
  PRE: bit(4, "Page request enable", { needs: "PRS" }),
  HPTE: bit(5, "Host permission table enable", { needs: "HPTS" }),
  EPTR: bit(6, "Enable PASID in translated requests", { needs: "PTRS" }),
  PDTS: bits(11, 9, "PASID directory size: 2^(X+7) entries"),
  PASIDDIRPTR: frame(63, 12, "PASID directory"),
  RID_PASID: bits(83, 64, "PASID of requests without PASID", undefined, { needs: "RPS" }),
  RID_PRIV: bit(84, "Privilege of requests without PASID", { needs: "RPRIVS" }),
});

export const PasidDirectoryEntry = layout("VT-d scalable-mode PASID directory entry", "VT-d 5.10, 9.5", 8, {
  P: bit(0, "Present"),
  FPD: bit(1, FPD),
  SMPTBLPTR: frame(63, 12, "PASID table"),
});

/** PASID granular translation types. */
export const PGTT_FIRST_STAGE = 1;
export const PGTT_SECOND_STAGE = 2;
export const PGTT_NESTED = 3;
export const PGTT_PASS_THROUGH = 4;

/**
 * AW is listed without a condition: revision 4.1 made it reserved where SSTS is clear, but software for earlier
 * revisions, Linux among it, programs it in first-stage entries whatever SSTS says.
 */
export const PasidEntry = layout("VT-d scalable-mode PASID table entry", "VT-d 5.10, 9.6; 4.0, 9.6", 64, {
  P: bit(0, "Present"),
  FPD: bit(1, FPD),
  AW: bits(4, 2, "Address width of the second stage", ADDRESS_WIDTHS),
  SSEE: bit(5, "Second-stage execute enable", { needs: "ERS" }),
  PGTT: bits(8, 6, "Translation type", {
    [PGTT_FIRST_STAGE]: "first stage",
    [PGTT_SECOND_STAGE]: "second stage",
    [PGTT_NESTED]: "nested",
    [PGTT_PASS_THROUGH]: "pass-through",
  }),
  SSADE: bit(9, "Second-stage accessed and dirty flags enable", { needs: "SSADS" }),
  SSPTPTR: frame(63, 12, "Second-stage table", { needs: "SSTS" }),
  DID: bits(79, 64, "Domain id"),
  PWSNP: bit(87, "Page-walk snoop", { needs: "SMPWCS" }),
  PGSNP: bit(88, "Page snoop", { needs: "SC" }),
  CD: bit(89, "Cache disable", { needs: "MTS" }),
  EMTE: bit(90, "Extended memory type enable", { needs: "MTS" }),
  EMT: bits(93, 91, "Extended memory type (reserved since 4.0)", undefined, { needs: "MTS" }),
  PWT: bit(94, "Page-level write-through (reserved since 4.0)", { needs: "MTS" }),
  PCD: bit(95, "Page-level cache disable (reserved since 4.0)", { needs: "MTS" }),
  PAT: bits(127, 96, "Page attribute table", undefined, { needs: "MTS" }),
  SRE: bit(128, "Supervisor request enable", { needs: "SRS" }),
  ERE: bit(129, "Execute request enable", { needs: "ERS" }),
  FSPM: bits(131, 130, "First-stage paging mode", { 0: "4 levels", 1: "5 levels" }, { needs: "FSTS" }),
  WPE: bit(132, "Write protect enable", { needs: "FSTS" }),
  NXE: bit(133, "No-execute enable (ignored since 4.1)"),
  SMEP: bit(134, "Supervisor mode execute prevention (ignored since 4.1)"),
  EAFE: bit(135, "Extended accessed flag enable", { needs: "EAFS" }),
  FSPTPTR: frame(191, 140, "First-stage table", { needs: "FSTS" }),
  HPTSZ: bits(257, 256, "Host permission table size", undefined, { needs: "HPTS" }),
  HPTPFD: bit(258, "Host permission table prefetch disable", { needs: "HPTS" }),
  HPTPTR: frame(319, 268, "Host permission table", { needs: "HPTS" }),
  HPTDID: bits(335, 320, "Host permission table domain id", undefined, { needs: "HPTS" }),
});
