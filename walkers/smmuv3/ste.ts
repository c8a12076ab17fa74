/** The stream table's structures. */
import { address, bit, bits, ignored, layout } from "../layout.ts";

export const L1Std = layout("SMMUv3 level 1 stream table descriptor", "IHI 0070 5.1", 8, {
  Span: bits(4, 0, "Size of the level 2 array: 2^(Span - 1) STEs; 0 and 12 to 31: none"),
  L2Ptr: address(55, 6, "Level 2 array"),
});

/** Spans beyond this are reserved (5.1). */
export const MAX_SPAN = 11;

export const TRANSLATION_GRANULES = { 0: "4 KiB", 1: "64 KiB", 2: "16 KiB" } as const;
export const ADDRESS_SIZES = {
  0: "32 bits",
  1: "36 bits",
  2: "40 bits",
  3: "42 bits",
  4: "44 bits",
  5: "48 bits",
  6: "52 bits",
  7: "56 bits",
} as const;

/** Of translation tables, which hardware may also write (S2IR0, CD.IR0 and the like). */
export const TABLE_CACHEABILITY = {
  0: "non-cacheable",
  1: "write-back, read- and write-allocate",
  2: "write-through, read-allocate",
  3: "write-back, read-allocate",
} as const;
/** Of context descriptors. */
const CD_CACHEABILITY = {
  0: "non-cacheable",
  1: "write-back, read-allocate",
  2: "write-through, read-allocate",
  3: "write-back, no read-allocate",
} as const;
export const SHAREABILITY = { 0: "non-shareable", 2: "outer shareable", 3: "inner shareable" } as const;

/** Values of STE.Config that let traffic pass; 6 is stage 2 alone, 0 to 3 abort. */
export const CONFIG_BYPASS = 4;
export const CONFIG_STAGE1 = 5;
export const CONFIG_NESTED = 7;

/** Values of STE.S1Fmt; 3 behaves as 0. */
export const S1FMT_LINEAR = 0;
export const S1FMT_4K_L2 = 1;
export const S1FMT_64K_L2 = 2;

/** Whether context descriptors are in leaf tables of a level 1 table (5.2 S1Fmt). */
export function isTwoLevel(s1fmt: number): boolean {
  return s1fmt === S1FMT_4K_L2 || s1fmt === S1FMT_64K_L2;
}

/** Values of STE.S1DSS; 0 terminates, and 3 behaves as 0. */
export const S1DSS_BYPASS = 1;
export const S1DSS_SUBSTREAM0 = 2;

/** STE.STRW of a guest's or an operating system's stream, and of a hypervisor's (NS-EL2, or with CR2.E2H NS-EL2-E2H). */
export const STRW_EL1 = 0;
export const STRW_EL2 = 2;

/** STE.PRIVCFG where it overrides; other values use the incoming attribute. */
export const PRIVCFG_UNPRIVILEGED = 2;
export const PRIVCFG_PRIVILEGED = 3;

/** STE.EATS: ATS requests are translated by all stages, by stage 1 alone, by all with DPT checks; 0 refuses them. */
export const EATS_FULL = 1;
export const EATS_SPLIT_STAGE = 2;
export const EATS_FULL_DPT = 3;

/** Fields of streams of other Security states are RES0 in the Non-secure stream table, the one that there is here. */
export const SECURE_STREAM = "a Secure stream";
export const REALM_STREAM = "a Realm stream";

/** What a field `needs` is RES0 without (`walkers/smmuv3/needs.ts`): the SMMU does not check it. */
export const Ste = layout("SMMUv3 stream table entry", "IHI 0070 5.2", 64, {
  V: bit(0, "Valid"),
  Config: bits(3, 1, "Stream configuration", {
    0: "abort",
    1: "abort",
    2: "abort",
    3: "abort",
    4: "bypass",
    5: "stage 1",
    6: "stage 2",
    7: "stage 1 and 2",
  }),
  S1Fmt: bits(5, 4, "Stage 1 format", { 0: "linear", 1: "2-level, 4 KiB leaf", 2: "2-level, 64 KiB leaf" }),
  S1ContextPtr: address(55, 6, "Context descriptor, or table of them; an IPA where stage 2 translates"),
  S1CDMax: bits(63, 59, "log2 of the number of context descriptors"),
  S1DSS: bits(65, 64, "Default substream", { 0: "terminate", 1: "bypass stage 1", 2: "substream 0" }),
  S1CIR: bits(67, 66, "S1ContextPtr inner cacheability", CD_CACHEABILITY),
  S1COR: bits(69, 68, "S1ContextPtr outer cacheability", CD_CACHEABILITY),
  S1CSH: bits(71, 70, "S1ContextPtr shareability", SHAREABILITY),
  S2HWU59: bit(72, "Hardware use of stage 2 descriptor bit 59", { needs: "SMMUv3.1" }),
  S2HWU60: bit(73, "Hardware use of stage 2 descriptor bit 60", { needs: "SMMUv3.1" }),
  S2HWU61: bit(74, "Hardware use of stage 2 descriptor bit 61", { needs: "SMMUv3.1" }),
  S2HWU62: bit(75, "Hardware use of stage 2 descriptor bit 62", { needs: "SMMUv3.1" }),
  DRE: bit(76, "Destructive read enable", { needs: "SMMUv3.1" }),
  CONT: bits(80, 77, "Contiguous hint"),
  DCP: bit(81, "Directed cache prefetch", { needs: "SMMUv3.1" }),
  PPAR: bit(82, "PRI page request auto responses", { needs: "IDR0.PRI and IDR1.SSIDSIZE" }),
  MEV: bit(83, "Merge events"),
  SW_RESERVED: ignored(87, 84, "Software use"),
  S1PIE: bit(88, "Stage 1 permission indirection enable", { needs: "IDR3.S1PI" }),
  S2FWB: bit(89, "Stage 2 control of attributes", { needs: "IDR3.FWB" }),
  S1MPAM: bit(90, "Stage 1 control of MPAM", { needs: "IDR3.MPAM" }),
  S1STALLD: bit(91, "Stage 1 stall disable", { needs: "IDR0.S1P" }),
  EATS: bits(93, 92, "ATS", { 0: "disabled", 1: "full", 2: "split-stage", 3: "full, with DPT checks" }),
  STRW: bits(95, 94, "StreamWorld control", { 0: "EL1", 2: "EL2" }, { needs: "IDR0.S1P and IDR0.HYP" }),
  MemAttr: bits(99, 96, "Memory type override", undefined, { needs: "IDR1.ATTR_TYPES_OVR" }),
  MTCFG: bit(100, "Memory type configuration", { needs: "IDR1.ATTR_TYPES_OVR" }),
  ALLOCCFG: bits(104, 101, "Allocation hints override", undefined, { needs: "IDR1.ATTR_TYPES_OVR" }),
  SHCFG: bits(109, 108, "Shareability configuration", undefined, { needs: "IDR1.ATTR_TYPES_OVR" }),
  NSCFG: bits(111, 110, "Non-secure attribute configuration"),
  PRIVCFG: bits(
    113,
    112,
    "Privilege configuration",
    { 0: "incoming", 2: "unprivileged", 3: "privileged" },
    { needs: "IDR1.ATTR_PERMS_OVR" },
  ),
  INSTCFG: bits(
    115,
    114,
    "Instruction/data configuration",
    { 0: "incoming", 2: "data", 3: "instruction" },
    { needs: "IDR1.ATTR_PERMS_OVR" },
  ),
  IMPDEF0: ignored(127, 116, "IMPLEMENTATION DEFINED"),
  S2VMID: bits(143, 128, "Virtual machine identifier"),
  IMPDEF1: ignored(159, 144, "IMPLEMENTATION DEFINED"),
  S2T0SZ: bits(165, 160, "Stage 2 input size is 64 - S2T0SZ bits", undefined, { needs: "IDR0.S2P" }),
  S2SL0: bits(167, 166, "Stage 2 start level", undefined, { needs: "IDR0.S2P" }),
  S2IR0: bits(169, 168, "S2TTB inner cacheability", TABLE_CACHEABILITY, { needs: "IDR0.S2P" }),
  S2OR0: bits(171, 170, "S2TTB outer cacheability", TABLE_CACHEABILITY, { needs: "IDR0.S2P" }),
  S2SH0: bits(173, 172, "S2TTB shareability", SHAREABILITY, { needs: "IDR0.S2P" }),
  S2TG: bits(175, 174, "Stage 2 granule", TRANSLATION_GRANULES, { needs: "IDR0.S2P" }),
  S2PS: bits(178, 176, "Stage 2 output size", ADDRESS_SIZES, { needs: "IDR0.S2P" }),
  S2AA64: bit(179, "Stage 2 tables are VMSAv8-64", { needs: "IDR0.S2P" }),
  S2ENDI: bit(180, "Stage 2 tables are big-endian", { needs: "IDR0.S2P" }),
  S2AFFD: bit(181, "Stage 2 access flag fault disable", { needs: "IDR0.S2P" }),
  S2PTW: bit(182, "Protected table walk", { needs: "IDR0.S2P" }),
  S2HD: bit(183, "Stage 2 hardware update of dirty state", { needs: "IDR0.S2P" }),
  S2HA: bit(184, "Stage 2 hardware update of access flag", { needs: "IDR0.S2P" }),
  S2S: bit(185, "Stage 2 faults stall", { needs: "IDR0.S2P" }),
  S2R: bit(186, "Stage 2 faults are recorded", { needs: "IDR0.S2P" }),
  S2HAFT: bit(187, "Stage 2 hardware update of access flag in table descriptors", { needs: "IDR0.HTTU=3" }),
  S2PIE: bit(188, "Stage 2 permission indirection enable", { needs: "IDR3.S2PI" }),
  S2POE: bit(189, "Stage 2 permission overlay enable", { needs: "IDR3.S2PO" }),
  DPT_VMATCH: bits(191, 190, "VMID matching for DPT checks", undefined, { needs: "IDR3.DPT" }),
  S2NSW: bit(192, "NS of stage 2 walks (Secure)", { needs: SECURE_STREAM }),
  S2NSA: bit(193, "NS of stage 2 output (Secure)", { needs: SECURE_STREAM }),
  S2SL0_2: bit(194, "Bit 2 of the stage 2 start level (S2DS, 4 KiB granule)", { needs: "IDR5.DS" }),
  S2DS: bit(195, "Stage 2 52-bit addresses with 4 and 16 KiB granules", { needs: "IDR5.DS" }),
  S2TTB: address(247, 196, "Stage 2 translation table base", { needs: "IDR0.S2P" }),
  S2SKL: bits(254, 253, "Stage 2 skip level (VMSAv9-128)", undefined, { needs: "IDR5.D128" }),
  IMPDEF2: ignored(271, 256, "IMPLEMENTATION DEFINED"),
  PARTID: bits(287, 272, "MPAM partition", undefined, { needs: "IDR3.MPAM" }),
  S_S2T0SZ: bits(293, 288, "Secure stage 2 input size", undefined, { needs: SECURE_STREAM }),
  S_S2SL0: bits(295, 294, "Secure stage 2 start level", undefined, { needs: SECURE_STREAM }),
  S_S2TG: bits(303, 302, "Secure stage 2 granule", TRANSLATION_GRANULES, { needs: SECURE_STREAM }),
  MECID: bits(319, 304, "Memory encryption context", undefined, { needs: REALM_STREAM }),
  PMG: bits(327, 320, "MPAM performance monitor group", undefined, { needs: "IDR3.MPAM" }),
  MPAM_NS: bit(328, "MPAM non-secure", { needs: SECURE_STREAM }),
  AssuredOnly: bit(329, "AssuredOnly enable", { needs: "IDR3.THE" }),
  TL0: bit(330, "TopLevel0 enable", { needs: "IDR3.THE" }),
  TL1: bit(331, "TopLevel1 enable", { needs: "IDR3.THE" }),
  VMSPtr: address(375, 332, "Virtual machine structure", { needs: "IDR3.MPAM" }),
  S2SW: bit(384, "NS of Secure stage 2 walks", { needs: SECURE_STREAM }),
  S2SA: bit(385, "NS of Secure stage 2 output", { needs: SECURE_STREAM }),
  S_S2SL0_2: bit(386, "Bit 2 of the Secure stage 2 start level", { needs: SECURE_STREAM }),
  S_S2TTB: address(439, 388, "Secure stage 2 translation table base", { needs: SECURE_STREAM }),
  S_S2SKL: bits(446, 445, "Secure stage 2 skip level (VMSAv9-128)", undefined, { needs: SECURE_STREAM }),
  S2POI: bits(511, 448, "Stage 2 permission overlays", undefined, { needs: "IDR3.S2PO" }),
});
