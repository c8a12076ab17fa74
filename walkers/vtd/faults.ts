/**
 * VT-d fault reasons by condition code (Intel VT-d 5.10, Table 30 of section 7.1.3; interrupt requests: Table 15
 * of section 5.1.4.1). Several conditions share one reason; the name says which one it was. Reasons that the
 * specification gives no condition code are named by their number.
 *
 * `qualified` faults are not recorded where an entry on the way has FPD set (section 7.1.1).
 */
import type { Fault, FaultReason } from "../fault.ts";

export interface VtdFault extends Fault {
  readonly qualified: boolean;
}

const TABLE_30 = "VT-d 5.10, 7.1.3, Table 30";
const TABLE_15 = "VT-d 5.10, 5.1.4.1, Table 15";

function fault(
  code: number,
  name: string,
  qualified: boolean,
  reason: FaultReason,
  text: string,
  causes?: readonly string[],
  source = TABLE_30,
): VtdFault {
  return { code, name, reason, source, text, qualified, ...(causes ? { causes } : {}) };
}

/** Qualified: FPD suppresses the record. */
const Q = true;
/** Not qualified: always recorded. */
const N = false;

const NOT_MAPPED = [
  "the driver unmapped the buffer, or never mapped it, before the device used it",
  "the device uses an address of another address space (a physical address, or another PASID's)",
];
const READ_ONLY = ["the buffer was mapped for the other direction (DMA_TO_DEVICE, DMA_FROM_DEVICE)"];
const UNINITIALISED = ["the page was reused, or never cleared", "the entry belongs to another table format"];
const WRONG_POINTER = ["the pointer was written with the wrong shift", "the table was freed"];

// ── Legacy mode: root and context tables ──
export const LRT_1 = fault(
  0x8,
  "LRT.1",
  N,
  "DEVICE_CONTEXT_FETCH",
  "the root entry could not be read",
  WRONG_POINTER,
);
export const LRT_2 = fault(0x1, "LRT.2", N, "BAD_DEVICE_CONTEXT", "the root entry is not present", [
  "no driver has set up translation for any device of this bus",
]);
export const LRT_3 = fault(
  0xa,
  "LRT.3",
  N,
  "BAD_DEVICE_CONTEXT",
  "the root entry has reserved bits set",
  UNINITIALISED,
);
export const LCT_1 = fault(
  0x9,
  "LCT.1",
  N,
  "DEVICE_CONTEXT_FETCH",
  "the context entry could not be read",
  WRONG_POINTER,
);
export const LCT_2 = fault(0x2, "LCT.2", Q, "BAD_DEVICE_CONTEXT", "the context entry is not present", [
  "the device is not attached to a domain: no driver, or it was detached while the device was still active",
  "the request carries another requester id than expected (a bridge's, a phantom function's)",
]);
export const LCT_3 = fault(
  0xb,
  "LCT.3",
  Q,
  "BAD_DEVICE_CONTEXT",
  "the context entry has reserved bits set",
  UNINITIALISED,
);
export const LCT_4_1 = fault(
  0x3,
  "LCT.4.1",
  Q,
  "BAD_DEVICE_CONTEXT",
  "AW of the context entry is not an address width that CAP.SAGAW reports",
);
export const LCT_4_2 = fault(
  0x3,
  "LCT.4.2",
  Q,
  "BAD_DEVICE_CONTEXT",
  "TT of the context entry is a translation type that ECAP does not report",
);
export const LCT_4_3 = fault(
  0x3,
  "LCT.4.3",
  Q,
  "PGD_FETCH",
  "the top second-stage table, which the context entry points to, could not be read",
  WRONG_POINTER,
);

// ── Legacy mode: second stage and the rest ──
export const LSS_1 = fault(
  0x7,
  "LSS.1",
  Q,
  "WALK_EABT",
  "a second-stage entry below the top table could not be read",
  WRONG_POINTER,
);
export const LSS_2 = fault(
  0xc,
  "LSS.2",
  Q,
  "BAD_PTE",
  "a second-stage entry has reserved bits set",
  UNINITIALISED,
);
export const LGN_1_1 = fault(
  0x4,
  "LGN.1.1",
  Q,
  "OOR_ADDRESS",
  "the address is beyond the smaller of CAP.MGAW and the context entry's AW",
);
export const LGN_1_3 = fault(
  0x4,
  "LGN.1.3",
  Q,
  "OOR_ADDRESS",
  "the address of a pass-through request is beyond the host address width",
);
export const LGN_2 = fault(
  0x5,
  "LGN.2",
  Q,
  "PERMISSION",
  "a write or atomic request met an entry without write permission",
  [...READ_ONLY, ...NOT_MAPPED],
);
export const LGN_3 = fault(
  0x6,
  "LGN.3",
  Q,
  "PERMISSION",
  "a read or atomic request met an entry without read permission",
  [...READ_ONLY, ...NOT_MAPPED],
);
export const LGN_4 = fault(
  0xe,
  "LGN.4",
  Q,
  "OOR_ADDRESS",
  "the output address is in the interrupt address range FEEx_xxxxh",
);

// ── Root table address register ──
export const RTA_1_1 = fault(
  0x30,
  "RTA.1.1",
  N,
  "BAD_DEVICE_CONTEXT",
  "RTADDR.TTM asks for abort DMA mode, which ECAP.ADMS does not report",
);
export const RTA_1_2 = fault(
  0x30,
  "RTA.1.2",
  N,
  "BAD_DEVICE_CONTEXT",
  "RTADDR.TTM is 10b, which is reserved",
  ["a driver of the extended mode of revisions 2.x on hardware without it"],
);
export const RTA_1_3 = fault(
  0x30,
  "RTA.1.3",
  N,
  "BAD_DEVICE_CONTEXT",
  "RTADDR.TTM asks for scalable mode, which ECAP.SMTS does not report",
);
export const RTA_1_4 = fault(0x30, "RTA.1.4", N, "BAD_DEVICE_CONTEXT", "RTADDR.SSIRWE is set in legacy mode");
export const RTA_2 = fault(
  0x31,
  "RTA.2",
  N,
  "PASID_INVALID",
  "a request with PASID in legacy mode, which has no PASIDs",
);
export const RTA_4 = fault(0x33, "RTA.4", N, "BAD_DEVICE_CONTEXT", "RTADDR.TTM is abort DMA mode", [
  "the driver is still setting up the tables",
]);
export const RTA_5 = fault(
  0x34,
  "RTA.5",
  N,
  "PERMISSION",
  "a request for execution on hardware of major version 8 or later",
);

// ── Scalable mode: root and context tables ──
export const SRT_1 = fault(
  0x38,
  "SRT.1",
  N,
  "DEVICE_CONTEXT_FETCH",
  "the scalable-mode root entry could not be read",
  WRONG_POINTER,
);
export const SRT_2 = fault(
  0x39,
  "SRT.2",
  N,
  "BAD_DEVICE_CONTEXT",
  "the half of the scalable-mode root entry for this device is not present",
);
export const SRT_3 = fault(
  0x3a,
  "SRT.3",
  N,
  "BAD_DEVICE_CONTEXT",
  "a present half of the scalable-mode root entry has reserved bits set",
  UNINITIALISED,
);
export const SCT_1 = fault(
  0x40,
  "SCT.1",
  N,
  "DEVICE_CONTEXT_FETCH",
  "the scalable-mode context entry could not be read",
  WRONG_POINTER,
);
export const SCT_2 = fault(
  0x41,
  "SCT.2",
  Q,
  "BAD_DEVICE_CONTEXT",
  "the scalable-mode context entry is not present",
  LCT_2.causes,
);
export const SCT_3 = fault(
  0x42,
  "SCT.3",
  Q,
  "BAD_DEVICE_CONTEXT",
  "the scalable-mode context entry has reserved bits set",
  ["RID_PASID is programmed on hardware without ECAP.RPS", ...UNINITIALISED],
);
export const SCT_4_1 = fault(
  0x43,
  "SCT.4.1",
  Q,
  "BAD_DEVICE_CONTEXT",
  "the scalable-mode context entry enables page requests (PRE) without the device-TLB (DTE)",
);
export const SCT_4_2 = fault(
  0x43,
  "SCT.4.2",
  Q,
  "BAD_DEVICE_CONTEXT",
  "RID_PASID is beyond the PASID directory that PDTS describes",
);
export const SCT_4_3 = fault(
  0x43,
  "SCT.4.3",
  Q,
  "BAD_DEVICE_CONTEXT",
  "the scalable-mode context entry sets EPTR without PASIDE",
);
export const SCT_6 = fault(
  0x45,
  "SCT.6",
  Q,
  "PASID_INVALID",
  "a request with PASID, and PASIDE of the context entry is clear",
);
export const SCT_7 = fault(
  0x46,
  "SCT.7",
  Q,
  "PASID_INVALID",
  "the PASID is beyond the PASID directory that PDTS describes",
);
export const SCT_9 = fault(
  0x48,
  "SCT.9",
  Q,
  "PASID_INVALID",
  "a request with PASID uses the PASID that RID_PASID reserves for requests without",
);

// ── Scalable mode: PASID directory and table ──
export const SPD_1 = fault(
  0x50,
  "SPD.1",
  N,
  "PASID_FETCH",
  "the PASID directory entry could not be read",
  WRONG_POINTER,
);
export const SPD_2 = fault(0x51, "SPD.2", Q, "PASID_INVALID", "the PASID directory entry is not present", [
  "nothing was ever bound to this PASID or its neighbours",
]);
export const SPD_3 = fault(
  0x52,
  "SPD.3",
  Q,
  "BAD_PASID_ENTRY",
  "the PASID directory entry has reserved bits set",
  UNINITIALISED,
);
export const SPT_1 = fault(
  0x58,
  "SPT.1",
  N,
  "PASID_FETCH",
  "the PASID table entry could not be read",
  WRONG_POINTER,
);
export const SPT_2 = fault(0x59, "SPT.2", Q, "PASID_INVALID", "the PASID table entry is not present", [
  "the process has exited, or unbound its device, while requests were still on the way",
]);
export const SPT_3 = fault(
  0x5a,
  "SPT.3",
  Q,
  "BAD_PASID_ENTRY",
  "the PASID table entry has reserved bits set",
  UNINITIALISED,
);
export const SPT_4_1 = fault(
  0x5b,
  "SPT.4.1",
  Q,
  "BAD_PASID_ENTRY",
  "AW of the PASID table entry is not an address width that CAP.SAGAW reports",
);
export const SPT_4_2 = fault(
  0x5b,
  "SPT.4.2",
  Q,
  "BAD_PASID_ENTRY",
  "PGTT of the PASID table entry is reserved, or a type that ECAP does not report",
);
export const SPT_4_3 = fault(
  0x5b,
  "SPT.4.3",
  Q,
  "BAD_PASID_ENTRY",
  "FSPM of the PASID table entry is reserved, or CAP.FS5LP does not report 5-level paging",
);
export const SPT_4_4 = fault(
  0x5b,
  "SPT.4.4",
  Q,
  "BAD_PASID_ENTRY",
  "FSPTPTR of a nested PASID table entry is beyond the smaller of CAP.MGAW and AW",
);
export const SPT_5 = fault(
  0x5c,
  "SPT.5",
  Q,
  "PERMISSION",
  "a request for execution, which ECAP.ERS does not report or the PASID table entry's ERE does not enable",
);
export const SPT_6 = fault(
  0x5d,
  "SPT.6",
  Q,
  "PERMISSION",
  "a privileged request, and SRE of the PASID table entry is clear",
);

// ── Scalable mode: first stage ──
export const SFS_1 = fault(
  0x70,
  "SFS.1",
  Q,
  "WALK_EABT",
  "a first-stage entry below the top table could not be read",
  WRONG_POINTER,
);
export const SFS_2 = fault(0x71, "SFS.2", Q, "PTE_FETCH", "a first-stage entry is not present", NOT_MAPPED);
export const SFS_3 = fault(
  0x72,
  "SFS.3",
  Q,
  "BAD_PTE",
  "a first-stage entry has reserved bits set",
  UNINITIALISED,
);
export const SFS_4 = fault(
  0x73,
  "SFS.4",
  Q,
  "PGD_FETCH",
  "the top first-stage table, which the PASID table entry points to, could not be read",
  WRONG_POINTER,
);
export const SFS_5 = fault(
  0x74,
  "SFS.5",
  Q,
  "OOR_ADDRESS",
  "nested: a first-stage entry's address is beyond the smaller of CAP.MGAW and AW",
);
export const SFS_6 = fault(
  0x75,
  "SFS.6",
  Q,
  "PGD_FETCH",
  "nested: the second stage does not let the top first-stage table be read",
);
export const SFS_7 = fault(
  0x76,
  "SFS.7",
  Q,
  "WALK_EABT",
  "nested: the second stage does not let a first-stage table below the top be read",
);
export const SFS_8 = fault(
  0x77,
  "SFS.8",
  Q,
  "PERMISSION",
  "nested: the second stage does not let a flag of a first-stage entry be set",
  ["the guest's page tables are mapped read-only in the second stage"],
);
export const SFS_9 = fault(
  0x90,
  "SFS.9",
  Q,
  "ACCESS",
  "a flag of a first-stage entry has to be set, and hardware is not set up to do it",
);

// ── Scalable mode: second stage ──
export const SSS_1 = fault(
  0x78,
  "SSS.1",
  Q,
  "WALK_EABT",
  "a second-stage entry below the top table could not be read",
  WRONG_POINTER,
);
export const SSS_2 = fault(
  0x79,
  "SSS.2",
  Q,
  "PTE_FETCH",
  "a second-stage entry, or all of them together, permit neither reading nor writing",
  NOT_MAPPED,
);
export const SSS_3 = fault(
  0x7a,
  "SSS.3",
  Q,
  "BAD_PTE",
  "a second-stage entry has reserved bits set",
  UNINITIALISED,
);
export const SSS_4 = fault(
  0x7b,
  "SSS.4",
  Q,
  "PGD_FETCH",
  "the top second-stage table, which the PASID table entry points to, could not be read",
  WRONG_POINTER,
);
export const SSS_5 = fault(
  0x7c,
  "SSS.5",
  Q,
  "ACCESS",
  "a flag of a second-stage entry has to be set, and hardware is not set up to do it",
);

// ── Scalable mode: general ──
export const SGN_1 = fault(
  0x80,
  "SGN.1",
  Q,
  "OOR_ADDRESS",
  "the address is not canonical for the first stage's number of levels",
);
export const SGN_2 = fault(
  0x81,
  "SGN.2",
  Q,
  "PERMISSION",
  "a user request met a first-stage entry with U/S clear (supervisor)",
);
export const SGN_3 = fault(
  0x82,
  "SGN.3",
  Q,
  "PERMISSION",
  "a request for execution, and the page is not executable",
  undefined,
  "VT-d 4.0, 7.1.3 (reserved since 4.1)",
);
export const SGN_4_2 = fault(
  0x83,
  "SGN.4.2",
  Q,
  "OOR_ADDRESS",
  "the address of a pass-through request is beyond the host address width",
);
export const SGN_5 = fault(
  0x84,
  "SGN.5",
  Q,
  "OOR_ADDRESS",
  "the address of a second-stage request is beyond the smaller of CAP.MGAW and AW",
);
export const SGN_6 = fault(
  0x85,
  "SGN.6",
  Q,
  "PERMISSION",
  "a write or atomic request met an entry without write permission",
  READ_ONLY,
);
export const SGN_7 = fault(
  0x86,
  "SGN.7",
  Q,
  "PERMISSION",
  "a read or atomic request met a second-stage entry without read permission",
  READ_ONLY,
);
export const SGN_8_1 = fault(
  0x87,
  "SGN.8.1",
  Q,
  "OOR_ADDRESS",
  "the output address is in the interrupt address range FEEx_xxxxh",
);
export const SGN_10 = fault(0x89, "SGN.10", Q, "PASID_INVALID", "the PASID is wider than ECAP.PSS reports");

// ── Interrupt address range, and the extended mode of revisions 2.x ──
export const INTERRUPT_RANGE = fault(
  0x29,
  "29h",
  N,
  "OOR_ADDRESS",
  "a request without PASID to the interrupt address range FEEx_xxxxh that is no interrupt: only writes are",
  ["a stray pointer in the device", "the driver passed an MSI address as a buffer"],
  TABLE_15,
);
export const EXT_EXECUTE = fault(
  0x18,
  "18h",
  Q,
  "PERMISSION",
  "extended mode: a request for execution, and the page is not executable",
  undefined,
  "VT-d 2.4, 7.2.1",
);
export const EXT_ERE = fault(
  0x19,
  "19h",
  Q,
  "PERMISSION",
  "extended mode: a request for execution, and ERE of the extended context entry is clear",
  undefined,
  "VT-d 2.4, 7.2.1; 2.5, revision history",
);
export const EXT_SRE = fault(
  0x1a,
  "1Ah",
  Q,
  "PERMISSION",
  "extended mode: a privileged request, and SRE of the PASID entry is clear",
  undefined,
  "VT-d 2.4, 7.2.1; 2.5, revision history",
);

/** All that a walk of an untranslated request can end in. */
export const VTD_WALK_FAULTS: readonly VtdFault[] = [
  ...[LRT_1, LRT_2, LRT_3, LCT_1, LCT_2, LCT_3, LCT_4_1, LCT_4_2, LCT_4_3],
  ...[LSS_1, LSS_2, LGN_1_1, LGN_1_3, LGN_2, LGN_3, LGN_4, EXT_EXECUTE, EXT_ERE, EXT_SRE, INTERRUPT_RANGE],
  ...[RTA_1_1, RTA_1_2, RTA_1_3, RTA_1_4, RTA_2, RTA_4, RTA_5],
  ...[SRT_1, SRT_2, SRT_3, SCT_1, SCT_2, SCT_3, SCT_4_1, SCT_4_2, SCT_4_3, SCT_6, SCT_7, SCT_9],
  ...[SPD_1, SPD_2, SPD_3, SPT_1, SPT_2, SPT_3, SPT_4_1, SPT_4_2, SPT_4_3, SPT_4_4, SPT_5, SPT_6],
  ...[SFS_1, SFS_2, SFS_3, SFS_4, SFS_5, SFS_6, SFS_7, SFS_8, SFS_9],
  ...[SSS_1, SSS_2, SSS_3, SSS_4, SSS_5],
  ...[SGN_1, SGN_2, SGN_3, SGN_4_2, SGN_5, SGN_6, SGN_7, SGN_8_1, SGN_10],
];

/**
 * What a fault log may hold besides: faults of translation and translated requests, page requests, host
 * permission tables and interrupt requests, which a trace's requests are not.
 */
export const VTD_OTHER_FAULTS: readonly VtdFault[] = [
  fault(0xd, "LCT.5", Q, "BAD_DEVICE_CONTEXT", "TT blocks translation requests and translated requests"),
  fault(0x4, "LGN.1.2", Q, "OOR_ADDRESS", "a translated request's address is beyond the host address width"),
  fault(0x32, "RTA.3", N, "BAD_DEVICE_CONTEXT", "a page request in legacy mode"),
  fault(
    0x44,
    "SCT.5",
    Q,
    "BAD_DEVICE_CONTEXT",
    "a translation or translated request, and DTE of the context entry is clear",
  ),
  fault(0x47, "SCT.8", Q, "BAD_DEVICE_CONTEXT", "a page request, and PRE of the context entry is clear"),
  fault(
    0x49,
    "SCT.10",
    Q,
    "PASID_INVALID",
    "a translated request with PASID, and EPTR of the context entry is clear",
  ),
  fault(
    0x60,
    "SPT.9",
    Q,
    "OOR_ADDRESS",
    "a translated request's address is beyond the host permission table",
  ),
  fault(0x91, "SFS.10", Q, "INTERNAL", "setting a flag of a first-stage entry failed"),
  fault(0x7d, "SSS.6", Q, "INTERNAL", "setting a flag of a second-stage entry failed"),
  fault(0x83, "SGN.4.1", Q, "OOR_ADDRESS", "a translated request's address is beyond the host address width"),
  fault(
    0x87,
    "SGN.8.2",
    Q,
    "OOR_ADDRESS",
    "a translation request's result is in the interrupt address range",
  ),
  fault(
    0x87,
    "SGN.8.3",
    Q,
    "OOR_ADDRESS",
    "a translated request's address is in the interrupt address range",
  ),
  fault(0xa0, "HPT.1", Q, "WALK_EABT", "a host permission table entry could not be read"),
  fault(0xa1, "HPT.2", Q, "BAD_PTE", "a host permission table entry has reserved bits set"),
  fault(0xa2, "HPT.3", Q, "PGD_FETCH", "the top host permission table could not be read"),
  fault(0xa3, "HPT.4", Q, "PTE_FETCH", "a host permission table has no permissions for the page"),
  fault(0xa4, "HPT.5", Q, "PERMISSION", "host permission tables deny writing"),
  fault(0xa5, "HPT.6", Q, "PERMISSION", "host permission tables deny reading"),
  ...(
    [
      [0x20, N, "a remappable interrupt request has reserved fields set"],
      [0x21, N, "the interrupt index is beyond the interrupt remapping table"],
      [0x22, Q, "the interrupt remapping table entry is not present"],
      [0x23, N, "the interrupt remapping table entry could not be read"],
      [0x24, Q, "the interrupt remapping table entry has reserved fields set"],
      [0x25, N, "a compatibility format interrupt request is blocked"],
      [0x26, Q, "the source id of an interrupt request is not the one that its entry asks for"],
      [0x27, Q, "the posted interrupt descriptor could not be accessed"],
      [0x28, Q, "the posted interrupt descriptor has reserved fields set"],
      [0x2a, N, "an interrupt request without extended interrupt mode, which the hardware requires"],
      [0x2b, N, "an interrupt request without interrupt remapping, which the hardware requires"],
    ] as const
  ).map(([code, qualified, text]) =>
    fault(code, `${code.toString(16).toUpperCase()}h`, qualified, "UNKNOWN", text, undefined, TABLE_15),
  ),
];

/** Every fault reason that VT-d defines. */
export const VTD_FAULTS: readonly VtdFault[] = [...VTD_WALK_FAULTS, ...VTD_OTHER_FAULTS];
