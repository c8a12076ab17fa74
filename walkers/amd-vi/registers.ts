import { bit, bits, frame, layout } from "../layout.ts";

/** MMIO 0018h, IOMMU Control Register. */
export const ControlRegister = layout("IOMMU Control Register", "AMD 48882, MMIO offset 0018h", 8, {
  IOMMUEN: bit(0, "IOMMU enable"),
  HTTUNEN: bit(1, "HyperTransport tunnel translation enable"),
  EVENTLOGEN: bit(2, "Event log enable"),
  EVENTINTEN: bit(3, "Event log interrupt enable"),
  COMWAITINTEN: bit(4, "Completion wait interrupt enable"),
  INVTIMEOUT: bits(7, 5, "Invalidation timeout"),
  PASSPW: bit(8, "Pass posted write"),
  RESPASSPW: bit(9, "Response pass posted write"),
  COHERENT: bit(10, "Coherent table walks"),
  ISOC: bit(11, "Isochronous table walks"),
  CMDBUFEN: bit(12, "Command buffer enable"),
  PPRLOGEN: bit(13, "Peripheral page request log enable"),
  PPRINTEN: bit(14, "Peripheral page request interrupt enable"),
  PPREN: bit(15, "Peripheral page request processing enable"),
  GTEN: bit(16, "Guest translation enable"),
  GAEN: bit(17, "Guest virtual APIC enable"),
  SMIFEN: bit(22, "SMI filter enable"),
  SLFWBDIS: bit(23, "Self write-back disable"),
  SMIFLOGEN: bit(24, "SMI filter log enable"),
  GAMEN: bits(27, 25, "Guest virtual APIC mode"),
  GALOGEN: bit(28, "Guest virtual APIC log enable"),
  GAINTEN: bit(29, "Guest virtual APIC log interrupt enable"),
  DUALPPRLOGEN: bits(31, 30, "Dual peripheral page request log enable"),
  DUALEVENTLOGEN: bits(33, 32, "Dual event log enable"),
  DEVTBLSEGEN: bits(36, 34, "Device table segments", { 0: "1", 1: "2", 2: "4", 3: "8" }),
  PRIVABRTEN: bits(38, 37, "Privilege abort enable"),
  PPRAUTORSPEN: bit(39, "Peripheral page request automatic response enable"),
  MARCEN: bit(40, "Memory access routing and control enable"),
  BLKSTOPMRKEN: bit(41, "Block StopMark messages enable"),
  PPRAUTORSPAON: bit(42, "Peripheral page request automatic response always on"),
  EPHEN: bit(45, "Enhanced peripheral page request handling enable"),
  HADUPDATE: bits(47, 46, "Host access and dirty bit update"),
  GDUPDATEDIS: bit(48, "Guest dirty bit update disable"),
  XTEN: bit(50, "x2APIC enable"),
  INTCAPXTEN: bit(51, "x2APIC interrupt generation enable"),
  GAUPDATEDIS: bit(54, "Guest access bit update disable"),
  GCR3TRPMODE: bit(58, "GCR3 table root pointer is a guest-physical address"),
  IRTCACHEDIS: bit(59, "Interrupt remapping table cache disable"),
  SNPAVICEN: bit(61, "Guest virtual APIC under SNP enable"),
});

/** MMIO 0030h, IOMMU Extended Feature Register. */
export const ExtendedFeatureRegister = layout(
  "IOMMU Extended Feature Register",
  "AMD 48882, MMIO offset 0030h",
  8,
  {
    PREFSUP: bit(0, "Prefetch support"),
    PPRSUP: bit(1, "Peripheral page request support"),
    XTSUP: bit(2, "x2APIC support"),
    NXSUP: bit(3, "No-execute support"),
    GTSUP: bit(4, "Guest translation support"),
    IASUP: bit(6, "INVALIDATE_IOMMU_ALL support"),
    GASUP: bit(7, "Guest virtual APIC support"),
    HESUP: bit(8, "Hardware error registers"),
    PCSUP: bit(9, "Performance counters"),
    HATS: bits(11, 10, "Host address translation size", {
      0: "4 levels",
      1: "5 levels",
      2: "6 levels",
      3: "no host translation",
    }),
    GATS: bits(13, 12, "Guest address translation size", { 0: "4 levels", 1: "5 levels", 2: "6 levels" }),
    GLXSUP: bits(15, 14, "Guest CR3 table levels", { 0: "1 level", 1: "2 levels", 2: "3 levels" }),
    SMIFSUP: bits(17, 16, "SMI filter support"),
    SMIFRC: bits(20, 18, "SMI filter register count"),
    GAMSUP: bits(23, 21, "Guest virtual APIC modes"),
    DUALPPRLOGSUP: bits(25, 24, "Dual peripheral page request logs"),
    DUALEVENTLOGSUP: bits(29, 28, "Dual event logs"),
    SATSSUP: bit(31, "Secure ATS"),
    PASMAX: bits(36, 32, "PASID bits less one"),
    USSUP: bit(37, "User/supervisor page protection"),
    DEVTBLSEGSUP: bits(39, 38, "Segmented device table support"),
    PPROVRFLWEARLYSUP: bit(40, "Peripheral page request log overflow early warning"),
    PPRAUTORSPSUP: bit(41, "Peripheral page request automatic response"),
    MARCSUP: bits(43, 42, "Memory access routing and control"),
    BLKSTOPMRKSUP: bit(44, "Block StopMark messages"),
    PERFOPTSUP: bit(45, "Performance optimization"),
    MSICAPMMIOSUP: bit(46, "MSI capability registers in MMIO"),
    GIOSUP: bit(48, "Guest I/O protection"),
    HASUP: bit(49, "Host access bit support"),
    EPHSUP: bit(50, "Enhanced peripheral page request handling"),
    ATTRFWSUP: bit(51, "Attribute forwarding"),
    HDSUP: bit(52, "Host dirty bit support"),
    INVIOTLBTYPESUP: bit(54, "Invalidate IOTLB type"),
    VIOMMUSUP: bit(55, "Virtual IOMMU"),
    GAUPDATEDISSUP: bit(61, "Guest access bit update disable"),
    FORCEPHYDESTSUP: bit(62, "Force physical destination mode of remapped interrupts"),
    SNPSUP: bit(63, "Secure nested paging"),
  },
);

/** MMIO 01A0h, IOMMU Extended Feature 2 Register. */
export const ExtendedFeature2Register = layout(
  "IOMMU Extended Feature 2 Register",
  "AMD 48882, MMIO offset 01A0h",
  8,
  {
    SEVSNPIOSUP: bit(1, "Secure nested paging for I/O"),
    GCR3TRPMODESUP: bit(3, "GCR3 table root pointer mode support"),
    SNPAVICSUP: bits(7, 5, "Guest virtual APIC modes under SNP"),
    NUMINTREMAPSUP: bits(9, 8, "Interrupts remapped per device", { 0: "512", 1: "2048" }),
    HTRANGEIGNORE: bit(11, "The HyperTransport address range is memory as any other"),
  },
);

/** MMIO 0000h, Device Table Base Address Register, and 0100h to 0130h, those of segments 1 to 7. */
export const DeviceTableBase = layout(
  "Device Table Base Address Register",
  "AMD 48882, MMIO offset 0000h",
  8,
  {
    SIZE: bits(8, 0, "Size in 4 KiB units, less one"),
    DEVTABBASE: frame(51, 12, "Device table"),
  },
);

/** Their names in traces. */
export const DEVICE_TABLE_BASES: readonly string[] = [
  "dev_tab_base",
  ...Array.from({ length: 7 }, (_, i) => `dev_tab_seg${i + 1}_base`),
];

/** MMIO 0020h, IOMMU Exclusion Base Register. */
export const ExclusionBase = layout("IOMMU Exclusion Base Register", "AMD 48882, MMIO offset 0020h", 8, {
  EXEN: bit(0, "Exclusion range enable"),
  ALLOW: bit(1, "All devices may use the range"),
  EXCLBASE: frame(51, 12, "First page"),
});

/** MMIO 0028h, IOMMU Exclusion Range Limit Register: its low 12 bits are taken as ones. */
export const ExclusionLimit = layout(
  "IOMMU Exclusion Range Limit Register",
  "AMD 48882, MMIO offset 0028h",
  8,
  {
    EXCLLIMIT: frame(51, 12, "Last page"),
  },
);
