/** Registers of the Non-secure programming interface that decide how a transaction is translated. */
import { address, bit, bits, layout } from "../layout.ts";
import { ADDRESS_SIZES } from "./ste.ts";

export const Idr0 = layout("SMMU_IDR0", "IHI 0070 6.3.1", 4, {
  S2P: bit(0, "Stage 2"),
  S1P: bit(1, "Stage 1"),
  TTF: bits(3, 2, "Table formats", { 1: "VMSAv8-32", 2: "VMSAv8-64", 3: "VMSAv8-32 and VMSAv8-64" }),
  COHACC: bit(4, "Coherent access"),
  BTM: bit(5, "Broadcast TLB maintenance"),
  HTTU: bits(7, 6, "Hardware table update", {
    0: "none",
    1: "access flag",
    2: "access flag and dirty state",
    3: "access flag and dirty state, also in table descriptors",
  }),
  DORMHINT: bit(8, "Dormant hint"),
  HYP: bit(9, "EL2 stage 1"),
  ATS: bit(10, "ATS"),
  NS1ATS: bit(11, "Split-stage ATS not supported"),
  ASID16: bit(12, "16-bit ASIDs"),
  MSI: bit(13, "Message signalled interrupts"),
  SEV: bit(14, "Wake-up events"),
  ATOS: bit(15, "Address translation operations"),
  PRI: bit(16, "Page request interface"),
  VMW: bit(17, "VMID wildcards"),
  VMID16: bit(18, "16-bit VMIDs"),
  CD2L: bit(19, "2-level context descriptor tables"),
  VATOS: bit(20, "Virtual ATOS page"),
  TTENDIAN: bits(22, 21, "Table endianness", { 0: "mixed", 2: "little", 3: "big" }),
  ATSRECERR: bit(23, "Records ATS configuration errors"),
  STALL_MODEL: bits(25, 24, "Stall model", { 0: "stall and terminate", 1: "terminate", 2: "stall" }),
  TERM_MODEL: bit(26, "Terminated transactions always abort"),
  ST_LEVEL: bits(28, 27, "Stream table levels", { 0: "linear", 1: "linear and 2-level" }),
  RME_IMPL: bit(30, "Realm management extension"),
});

export const Idr1 = layout("SMMU_IDR1", "IHI 0070 6.3.2", 4, {
  SIDSIZE: bits(5, 0, "StreamID bits"),
  SSIDSIZE: bits(10, 6, "SubstreamID bits"),
  PRIQS: bits(15, 11, "log2 of the PRI queue"),
  EVENTQS: bits(20, 16, "log2 of the event queue"),
  CMDQS: bits(25, 21, "log2 of the command queue"),
  ATTR_PERMS_OVR: bit(26, "Privilege and instruction attributes can be overridden"),
  ATTR_TYPES_OVR: bit(27, "Memory attributes can be overridden"),
  REL: bit(28, "Preset bases are relative"),
  QUEUES_PRESET: bit(29, "Queues are preset"),
  TABLES_PRESET: bit(30, "Tables are preset"),
  ECMDQ: bit(31, "Enhanced command queues"),
});

export const Idr3 = layout("SMMU_IDR3", "IHI 0070 6.3.4", 4, {
  HAD: bit(2, "Hierarchical attribute disable"),
  PBHA: bit(3, "Page-based hardware attributes"),
  XNX: bit(4, "Stage 2 execute-never by exception level"),
  PPS: bit(5, "PASID in PRI auto-responses"),
  MPAM: bit(7, "Memory partitioning"),
  FWB: bit(8, "Stage 2 control of memory types"),
  STT: bit(9, "Small translation tables"),
  RIL: bit(10, "Range invalidation"),
  BBML: bits(12, 11, "Break-before-make level"),
  E0PD: bit(13, "E0PD"),
  PTWNNC: bit(14, "Walks to Device memory are Normal Non-cacheable"),
  DPT: bit(15, "Device permission table"),
  PASIDTT: bit(16, "PASID on translated transactions"),
  EPAN: bit(17, "Enhanced PAN"),
  S1PI: bit(18, "Stage 1 permission indirection"),
  S2PI: bit(19, "Stage 2 permission indirection"),
  S2PO: bit(20, "Stage 2 permission overlays"),
  THE: bit(21, "Translation hardening"),
  MTEPERM: bit(22, "NoTagAccess"),
  AIE: bit(23, "Attribute index extension"),
});

export const Idr5 = layout("SMMU_IDR5", "IHI 0070 6.3.6", 4, {
  OAS: bits(2, 0, "Output address size", ADDRESS_SIZES),
  GRAN4K: bit(4, "4 KiB granule"),
  GRAN16K: bit(5, "16 KiB granule"),
  GRAN64K: bit(6, "64 KiB granule"),
  DS: bit(7, "52-bit addresses with 4 and 16 KiB granules"),
  D128: bit(8, "128-bit descriptors"),
  VAX: bits(11, 10, "Virtual address size", { 0: "48 bits", 1: "52 bits", 2: "56 bits" }),
  STALL_MAX: bits(31, 16, "Most outstanding stalled transactions"),
});

export const Aidr = layout("SMMU_AIDR", "IHI 0070 6.3.8", 4, {
  ArchMinorRev: bits(3, 0, "Minor revision"),
  ArchMajorRev: bits(7, 4, "Major revision", { 0: "SMMUv3" }),
});

export const Cr0 = layout("SMMU_CR0", "IHI 0070 6.3.9", 4, {
  SMMUEN: bit(0, "Translation enable"),
  PRIQEN: bit(1, "PRI queue enable"),
  EVENTQEN: bit(2, "Event queue enable"),
  CMDQEN: bit(3, "Command queue enable"),
  ATSCHK: bit(4, "ATS translated traffic is checked"),
  VMW: bits(8, 6, "VMID wildcard"),
  DPT_WALK_EN: bit(10, "DPT walk enable"),
});

export const Cr2 = layout("SMMU_CR2", "IHI 0070 6.3.12", 4, {
  E2H: bit(0, "EL2-E2H regime"),
  RECINVSID: bit(1, "C_BAD_STREAMID is recorded"),
  PTM: bit(2, "Private TLB maintenance"),
  REC_CFG_ATS: bit(3, "Configuration errors of ATS requests are recorded"),
});

export const Gbpa = layout("SMMU_GBPA", "IHI 0070 6.3.14", 4, {
  MemAttr: bits(3, 0, "Memory type"),
  MTCFG: bit(4, "Memory type override"),
  ALLOCCFG: bits(11, 8, "Allocation hints"),
  SHCFG: bits(13, 12, "Shareability"),
  PRIVCFG: bits(17, 16, "Privilege"),
  INSTCFG: bits(19, 18, "Instruction/data"),
  ABORT: bit(20, "Abort all transactions while translation is disabled"),
  UPDATE: bit(31, "Update in progress"),
});

export const StrtabBase = layout("SMMU_STRTAB_BASE", "IHI 0070 6.3.24", 8, {
  ADDR: address(55, 6, "Stream table"),
  RA: bit(62, "Read-allocate hint"),
});

export const StrtabBaseCfg = layout("SMMU_STRTAB_BASE_CFG", "IHI 0070 6.3.25", 4, {
  LOG2SIZE: bits(5, 0, "log2 of the number of STEs"),
  SPLIT: bits(10, 6, "StreamID bits that the level 2 arrays resolve; others behave as 6", {
    6: "6 bits",
    8: "8 bits",
    10: "10 bits",
  }),
  FMT: bits(17, 16, "Format", { 0: "linear", 1: "2-level" }),
});
