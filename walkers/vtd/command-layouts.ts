/**
 * Descriptors of VT-d's invalidation queue (Intel VT-d 5.10, 6.5.2). A descriptor has 128 bits, or 256 where IQA_REG.DW is
 * set; all fields are in the lower 128. Bits are those that Linux (drivers/iommu/intel/iommu.h, QI_*) and QEMU
 * (intel_iommu_internal.h, VTD_INV_DESC_*) use.
 */
import { address, bit, bits, type LayoutField, layout, requester, split } from "../layout.ts";

const BYTES = 32;
/** Bits 11:9 extend the type. */
const TYPE = split(
  [
    [11, 9],
    [3, 0],
  ],
  "Descriptor type",
);
const DID = bits(31, 16, "Domain id");
const PASID = bits(51, 32, "PASID");
const ADDR = address(127, 76, "Address");
const AM = bits(69, 64, "Address mask: 2^AM pages");
const IH = bit(70, "Invalidation hint: no entry above the last level has changed");
const MIP_DOC = "Invalidations that the device may have pending";
const PFSID = split(
  [
    [63, 52],
    [15, 12],
  ],
  "Source id of the physical function",
  { needs: "DIT" },
);

function descriptor<F extends string>(
  name: string,
  section: string,
  fields: { readonly [K in F]: LayoutField },
) {
  return layout(`${name} descriptor`, `VT-d 5.10, ${section}`, BYTES, { TYPE, ...fields });
}

export const ContextCacheInvalidate = descriptor("context-cache invalidate", "6.5.2.1", {
  G: bits(5, 4, "Granularity", { 1: "global", 2: "domain-selective", 3: "device-selective" }),
  DID,
  SID: requester(47, 32, "Source id"),
  FM: bits(49, 48, "Function mask", {
    0: "no bit of the function number",
    1: "bit 2 of the function number",
    2: "bits 2:1 of the function number",
    3: "bits 2:0 of the function number",
  }),
});

export const PasidCacheInvalidate = descriptor("PASID-cache invalidate", "6.5.2.2", {
  G: bits(5, 4, "Granularity", { 0: "domain-selective", 1: "PASID-selective", 3: "global" }),
  DID,
  PASID,
});

export const IotlbInvalidate = descriptor("IOTLB invalidate", "6.5.2.3", {
  G: bits(5, 4, "Granularity", { 1: "global", 2: "domain-selective", 3: "page-selective" }),
  DW: bit(6, "Drain writes"),
  DR: bit(7, "Drain reads"),
  DID,
  AM,
  IH,
  ADDR,
});

export const PasidIotlbInvalidate = descriptor("PASID-based-IOTLB invalidate", "6.5.2.4", {
  G: bits(5, 4, "Granularity", { 2: "PASID-selective", 3: "page-selective-within-PASID" }),
  DID,
  PASID,
  AM,
  IH,
  ADDR,
});

export const DeviceTlbInvalidate = descriptor("device-TLB invalidate", "6.5.2.5", {
  MIP: bits(20, 16, MIP_DOC),
  SID: requester(47, 32, "Source id"),
  PFSID,
  S: bit(64, "Size stands in the address"),
  ADDR,
});

export const PasidDeviceTlbInvalidate = descriptor("PASID-based-device-TLB invalidate", "6.5.2.6", {
  MIP: bits(8, 4, MIP_DOC),
  SID: requester(31, 16, "Source id"),
  PASID,
  PFSID,
  G: bit(64, "All PASIDs"),
  S: bit(75, "Size stands in the address"),
  ADDR,
});

export const HptCacheInvalidate = descriptor("HPT cache invalidate", "6.5.2.7", {
  G: bits(5, 4, "Granularity", { 1: "global", 2: "domain-selective", 3: "page-selective" }),
  HPTDID: bits(31, 16, "Host permission table domain id"),
  AM,
  IH: bits(71, 70, "Invalidation hint: the highest level that is dropped, minus one"),
  ADDR,
});

export const InterruptEntryCacheInvalidate = descriptor("interrupt entry cache invalidate", "6.5.2.8", {
  G: bit(4, "Index-selective"),
  IM: bits(31, 27, "Index mask: 2^IM entries"),
  IIDX: bits(47, 32, "Interrupt index"),
});

export const InvalidationWait = descriptor("invalidation wait", "6.5.2.9", {
  IF: bit(4, "Interrupt when complete"),
  SW: bit(5, "Write the status data when complete"),
  FN: bit(6, "Fence: later descriptors wait for this one"),
  PD: bit(7, "Drain page requests", { needs: "PDS" }),
  STDATA: bits(63, 32, "Status data"),
  STADDR: address(127, 66, "Status address"),
});

export const PageGroupResponse = descriptor("page group response", "7.6.1", {
  PP: bit(4, "PASID present"),
  RC: bits(15, 12, "Response code", { 0: "success", 1: "invalid request", 15: "response failure" }),
  RID: bits(31, 16, "Requester id"),
  PASID,
  LPIG: bit(66, "Last page in group"),
  PRGI: bits(75, 67, "Page request group index"),
});
