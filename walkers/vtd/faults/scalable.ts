/** Scalable mode down to the PASID table (VT-d 5.10, Table 30). */
import { fault, N, Q, UNINITIALISED, WRONG_POINTER } from "./fault.ts";
import { LCT_2 } from "./legacy.ts";

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
  ["PASIDs are switched on in the device, and the driver runs the IOMMU in legacy mode (intel_iommu=sm_off)"],
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
  ["PASIDs are switched on in the device, and no driver has enabled them in its context entry"],
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
  ["the page tables have more levels, or fewer, than this IOMMU walks"],
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
