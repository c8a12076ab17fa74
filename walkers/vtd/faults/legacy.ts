/** Legacy mode, the extended mode of revisions 2.x, and the interrupt address range. */
import {
  fault,
  N,
  NOT_MAPPED_AT_ALL,
  Q,
  READ_ONLY,
  TABLE_15,
  TABLE_30,
  UNINITIALISED,
  WRONG_POINTER,
} from "./fault.ts";

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
  ["the page tables have more levels, or fewer, than this IOMMU walks"],
);
export const LCT_4_2 = fault(
  0x3,
  "LCT.4.2",
  Q,
  "BAD_DEVICE_CONTEXT",
  "TT of the context entry is a translation type that ECAP does not report",
  [
    "pass-through (iommu=pt) on an IOMMU without ECAP.PT",
    "a device with ATS behind an IOMMU without ECAP.DT",
  ],
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
  ["the device uses a physical address, or a pointer with a tag or a sign, where it should use a mapped one"],
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
  [...READ_ONLY, ...NOT_MAPPED_AT_ALL],
  TABLE_30,
  ["PTE_FETCH"],
);
export const LGN_3 = fault(
  0x6,
  "LGN.3",
  Q,
  "PERMISSION",
  "a read or atomic request met an entry without read permission",
  [...READ_ONLY, ...NOT_MAPPED_AT_ALL],
  TABLE_30,
  ["PTE_FETCH"],
);
export const LGN_4 = fault(
  0xe,
  "LGN.4",
  Q,
  "OOR_ADDRESS",
  "the output address is in the interrupt address range FEEx_xxxxh",
  ["a driver mapped the interrupt addresses as memory"],
);

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
