/** The registers of a VT-d remapping unit that decide how a request is walked (Intel VT-d 5.10, section 11.4). */
import { bit, bits, frame, layout } from "../layout.ts";

/** Translation Table Mode of RTADDR_REG. */
export const TTM_LEGACY = 0;
export const TTM_SCALABLE = 1;
/** Extended mode of revisions 2.x: then a one-bit Root Table Type, at bit 11. Reserved since revision 3.0. */
export const TTM_EXTENDED = 2;
export const TTM_ABORT = 3;

export const VersionRegister = layout("VER_REG", "VT-d 5.10, 11.4.1", 8, {
  MIN: bits(3, 0, "Minor version"),
  MAX: bits(7, 4, "Major version"),
});

export const CapabilityRegister = layout("CAP_REG", "VT-d 5.10, 11.4.2", 8, {
  ND: bits(2, 0, "Number of domains: domain ids have 2*ND + 4 bits"),
  AFL: bit(3, "Advanced fault logging"),
  RWBF: bit(4, "Required write-buffer flushing"),
  PLMR: bit(5, "Protected low-memory region"),
  PHMR: bit(6, "Protected high-memory region"),
  CM: bit(7, "Caching mode"),
  SAGAW: bits(12, 8, "Supported adjusted guest address widths: bit 1 39, bit 2 48, bit 3 57 bits"),
  MGAW: bits(21, 16, "Maximum guest address width, minus one"),
  ZLR: bit(22, "Zero-length read"),
  FRO: bits(33, 24, "Fault-recording register offset"),
  SSLPS: bits(37, 34, "Second-stage large pages: bit 0 2 MiB, bit 1 1 GiB"),
  PSI: bit(39, "Page-selective invalidation"),
  NFR: bits(47, 40, "Number of fault-recording registers, minus one"),
  MAMV: bits(53, 48, "Maximum address mask value"),
  DWD: bit(54, "Write draining"),
  DRD: bit(55, "Read draining"),
  FS1GP: bit(56, "First-stage 1 GiB pages"),
  PI: bit(59, "Posted interrupts"),
  FS5LP: bit(60, "First-stage 5-level paging"),
  ECMDS: bit(61, "Enhanced commands"),
  ESIRTPS: bit(62, "Enhanced set interrupt remap table pointer"),
  ESRTPS: bit(63, "Enhanced set root table pointer"),
});

export const ExtendedCapabilityRegister = layout(
  "ECAP_REG",
  "VT-d 5.10, 11.4.3; bits 24, 27 and 28: 2.x",
  8,
  {
    C: bit(0, "Page-walk coherency"),
    QI: bit(1, "Queued invalidation"),
    DT: bit(2, "Device-TLB"),
    IR: bit(3, "Interrupt remapping"),
    EIM: bit(4, "Extended interrupt mode"),
    PT: bit(6, "Pass-through"),
    SC: bit(7, "Snoop control"),
    IRO: bits(17, 8, "IOTLB register offset"),
    MHMV: bits(23, 20, "Maximum handle mask value"),
    ECS: bit(24, "Extended mode of revisions 2.x"),
    MTS: bit(25, "Memory type"),
    NEST: bit(26, "Nested translation"),
    DIS: bit(27, "Deferred invalidation (2.x)"),
    PRS: bit(29, "Page requests"),
    ERS: bit(30, "Execute requests"),
    SRS: bit(31, "Supervisor requests"),
    NWFS: bit(33, "No-write flag"),
    EAFS: bit(34, "Extended accessed flag"),
    PSS: bits(39, 35, "PASID size, minus one"),
    PASID: bit(40, "Requests with PASID"),
    DIT: bit(41, "Device-TLB invalidation throttle"),
    PDS: bit(42, "Page-request drain"),
    SMTS: bit(43, "Scalable mode"),
    VCS: bit(44, "Virtual commands"),
    SSADS: bit(45, "Second-stage accessed and dirty flags"),
    SSTS: bit(46, "Second-stage translation"),
    FSTS: bit(47, "First-stage translation"),
    SMPWCS: bit(48, "Scalable-mode page-walk coherency"),
    RPS: bit(49, "RID_PASID"),
    TDXCS: bit(50, "TDX Connect"),
    PMS: bit(51, "Performance monitoring"),
    ADMS: bit(52, "Abort DMA mode"),
    RPRIVS: bit(53, "RID_PRIV"),
    HPTS: bit(55, "Host permission tables"),
    PTRS: bit(56, "PASID in translated requests"),
    SSIRWS: bit(57, "Second-stage I/O read and write permissions"),
    SMS: bit(58, "Stop marker"),
    HPT1GPS: bit(59, "1 GiB pages in host permission tables"),
    RDTS: bit(60, "RDT configuration"),
    EIMER: bit(61, "Extended interrupt mode required"),
    IRREQ: bit(62, "Interrupt remapping required"),
  },
);

export const GlobalCommandRegister = layout("GCMD_REG", "VT-d 5.10, 11.4.4.1", 8, {
  CFI: bit(23, "Compatibility-format interrupts"),
  SIRTP: bit(24, "Set the interrupt remap table pointer"),
  IRE: bit(25, "Enable interrupt remapping"),
  QIE: bit(26, "Enable queued invalidation"),
  WBF: bit(27, "Flush the write buffer"),
  EAFL: bit(28, "Enable advanced fault logging"),
  SFL: bit(29, "Set the fault log"),
  SRTP: bit(30, "Set the root table pointer"),
  TE: bit(31, "Enable translation"),
});

export const GlobalStatusRegister = layout("GSTS_REG", "VT-d 5.10, 11.4.4.2", 8, {
  CFIS: bit(23, "Compatibility format interrupts pass"),
  IRTPS: bit(24, "Interrupt remapping table pointer set"),
  IRES: bit(25, "Interrupt remapping enabled"),
  QIES: bit(26, "Queued invalidation enabled"),
  WBFS: bit(27, "Write-buffer flush pending"),
  AFLS: bit(28, "Advanced fault logging enabled"),
  FLS: bit(29, "Fault log pointer set"),
  RTPS: bit(30, "Root table pointer set"),
  TES: bit(31, "Translation enabled"),
});

export const RootTableAddressRegister = layout("RTADDR_REG", "VT-d 5.10, 11.4.5; 2.x, 10.4.6", 8, {
  SSIRWE: bit(7, "Second-stage I/O read and write permissions in use"),
  TTM: bits(11, 10, "Translation table mode", {
    [TTM_LEGACY]: "legacy",
    [TTM_SCALABLE]: "scalable",
    [TTM_EXTENDED]: "extended (2.x)",
    [TTM_ABORT]: "abort DMA",
  }),
  RTA: frame(63, 12, "Root table"),
});

/** While translation is enabled, software must not rely on what it protects: it is decoded, and not part of a walk. */
export const ProtectedMemoryEnable = layout("PMEN_REG", "VT-d 5.10, 11.4 (PMEN_REG)", 8, {
  PRS: bit(0, "The protected memory regions are enabled"),
  EPM: bit(31, "Enable the protected memory regions"),
});
