/** Commands of the SMMUv3 Command queue (Arm IHI 0070, chapter 4): 16 bytes each, opcode in bits 7:0. */
import { address, bit, bits, ignored, type LayoutField, layout } from "../layout.ts";

const BYTES = 16;
const OP = bits(7, 0, "Opcode");
const SSEC = bit(10, "StreamID is Secure");
const SSV = bit(11, "SubstreamID is valid");
const SSID = bits(31, 12, "SubstreamID");
const SID = bits(63, 32, "StreamID");
const VMID = bits(47, 32, "VMID");
const ASID = bits(63, 48, "ASID");
const LEAF = bit(64, "Only the last level");
const VA = address(127, 76, "Virtual address");

/** Fields of every invalidation by address (4.4.1.1). */
const RANGE = {
  NUM: bits(16, 12, "Range: multiplier, less one", undefined, { needs: "RIL" }),
  SCALE: bits(24, 20, "Range: scale, bits 4:0", undefined, { needs: "RIL" }),
  SCALE5: bit(25, "Range: scale, bit 5", { needs: "DS" }),
  TTL128: bit(71, "TTL is that of 128-bit descriptors", { needs: "D128" }),
  TTL: bits(73, 72, "Level of the leaf entry", { 0: "any", 1: "1", 2: "2", 3: "3" }, { needs: "RIL" }),
  TG: bits(75, 74, "Granule", { 0: "any", 1: "4 KiB", 2: "16 KiB", 3: "64 KiB" }, { needs: "RIL" }),
};

function command<F extends string>(
  name: string,
  section: string,
  fields: { readonly [K in F]: LayoutField },
) {
  return layout(name, `IHI 0070, ${section}`, BYTES, { OP, ...fields });
}

export const PrefetchConfig = command("CMD_PREFETCH_CONFIG", "4.2.1", { SSEC, SSV, SSID, SID });
export const PrefetchAddr = command("CMD_PREFETCH_ADDR", "4.2.2", {
  SSEC,
  SSV,
  SSID,
  SID,
  SIZE: bits(68, 64, "2^Size strides"),
  STRIDE: bits(73, 69, "Stride of 2^(12+Stride) bytes"),
  ADDR: VA,
});

export const CfgiSte = command("CMD_CFGI_STE", "4.3.1", { SSEC, SID, LEAF });
export const CfgiSteRange = command("CMD_CFGI_STE_RANGE", "4.3.2", {
  SSEC,
  SID,
  RANGE: bits(68, 64, "2^(Range+1) StreamIDs; 31 is CMD_CFGI_ALL"),
});
export const CfgiCd = command("CMD_CFGI_CD", "4.3.3", { SSEC, SSID, SID, LEAF });
export const CfgiCdAll = command("CMD_CFGI_CD_ALL", "4.3.4", { SSEC, SID });
export const CfgiVmsPidm = command("CMD_CFGI_VMS_PIDM", "4.3.5", { SSEC, VMID });

/** No operands. */
export const TlbiAll = command("CMD_TLBI without operands", "4.4", {});
export const TlbiVmid = command("CMD_TLBI by VMID", "4.4", { VMID });
export const TlbiVmidAsid = command("CMD_TLBI by VMID and ASID", "4.4.2.2", { VMID, ASID });
export const TlbiAsid = command("CMD_TLBI by ASID", "4.4.2.10", { ASID });
export const TlbiVmidAsidVa = command("CMD_TLBI by VMID, ASID and VA", "4.4.2.4", {
  VMID,
  ASID,
  ...RANGE,
  LEAF,
  ADDR: VA,
});
export const TlbiVmidVa = command("CMD_TLBI by VMID and VA", "4.4.2.3", { VMID, ...RANGE, LEAF, ADDR: VA });
export const TlbiAsidVa = command("CMD_TLBI by ASID and VA", "4.4.2.8", { ASID, ...RANGE, LEAF, ADDR: VA });
export const TlbiVa = command("CMD_TLBI by VA", "4.4.2.6", { ...RANGE, LEAF, ADDR: VA });
export const TlbiVmidIpa = command("CMD_TLBI by VMID and IPA", "4.4.3.1", {
  VMID,
  ...RANGE,
  LEAF,
  ADDR: address(119, 76, "Intermediate physical address"),
});

export const AtcInv = command("CMD_ATC_INV", "4.5.1", {
  G: bit(9, "All PASIDs"),
  SSEC,
  SSV,
  SSID,
  SID,
  SIZE: bits(69, 64, "2^Size pages of 4 KiB; 52 is everything"),
  ADDR: VA,
});
export const PriResp = command("CMD_PRI_RESP", "4.5.2", {
  SSEC,
  SSV,
  SSID,
  SID,
  PRGI: bits(72, 64, "Page request group index"),
  RESP: bits(77, 76, "Response", { 0: "ResponseFailure", 1: "InvalidRequest", 2: "Success" }),
});

export const DptiAll = command("CMD_DPTI_ALL", "4.6.1", {});
/** SIZE and Leaf are not decoded: DPT information is no part of a translation. */
export const DptiPa = command("CMD_DPTI_PA", "4.6.2", {
  OTHER: ignored(63, 8, "Further parameters"),
  OTHER_HI: ignored(75, 64, "Further parameters"),
  ADDR: address(119, 76, "Physical address"),
});

export const Resume = command("CMD_RESUME", "4.7.1", {
  SSEC,
  AC: bit(12, "Retry; clear: terminate"),
  AB: bit(13, "Terminate with an abort"),
  SID,
  STAG: bits(79, 64, "Stall tag of the event"),
});
export const StallTerm = command("CMD_STALL_TERM", "4.7.2", { SSEC, SID });
export const Sync = command("CMD_SYNC", "4.7.3", {
  CS: bits(13, 12, "Completion signal", { 0: "SIG_NONE", 1: "SIG_IRQ", 2: "SIG_SEV" }),
  MSH: bits(23, 22, "Shareability of the MSI", { 0: "non-shareable", 2: "outer", 3: "inner" }),
  MSIATTR: bits(27, 24, "Memory type of the MSI"),
  MSIDATA: bits(63, 32, "MSI data"),
  MSIADDR: address(119, 66, "MSI address"),
});
