import { bit, bits, frame, ignored, layout, split, splitFrame } from "../layout.ts";

/** Bits of a device id. */
export const DEVICE_ID_BITS = 16;
/** Bits of an entry that V=1 subjects to the check of reserved bits; the others belong to interrupts. */
export const CHECKED_BITS = 128;
export const RESERVED_MODE = 7;
export const RESERVED_GLX = 3;
export const RESERVED_IOCTL = 3;

/**
 * A device table entry. `needs` names the field of the Extended Feature Register without which bits are reserved: PPR to
 * GCR3TRP as VirtualBox has them, which was written from the specification (include/VBox/iommu-amd.h,
 * IOMMU_DTE_QWORD_0_FEAT_MASK); the others by the feature's name. Bits 127:0 govern memory requests and are checked where V=1; bits 255:128 govern interrupts
 * and are checked where IV=1, except the guest paging mode, which belongs to guest translation.
 */
export const DeviceTableEntry = layout("Device table entry", "AMD 48882, 2.2.2, figure 7, table 7", 32, {
  V: bit(0, "Valid"),
  TV: bit(1, "Translation information valid"),
  HAD: bits(8, 7, "Host access and dirty bit update", undefined, { needs: "HASUP", unchecked: true }),
  MODE: bits(11, 9, "Paging mode: levels of the host page tables", {
    0: "translation disabled",
    1: "1 level (21 bits)",
    2: "2 levels (30 bits)",
    3: "3 levels (39 bits)",
    4: "4 levels (48 bits)",
    5: "5 levels (57 bits)",
    6: "6 levels (64 bits)",
    [RESERVED_MODE]: "reserved",
  }),
  HPTROOT: frame(51, 12, "Host page table root pointer"),
  PPR: bit(52, "Peripheral page request enable", { needs: "EPHSUP" }),
  GPRP: bit(53, "Guest PPR response with PASID", { needs: "EPHSUP" }),
  GIOV: bit(54, "Guest I/O protection valid: requests without PASID use PASID 0", { needs: "GIOSUP" }),
  GV: bit(55, "Guest translation valid", { needs: "GTSUP" }),
  GLX: bits(
    57,
    56,
    "Guest CR3 table levels",
    { 0: "1 level", 1: "2 levels", 2: "3 levels", [RESERVED_GLX]: "reserved" },
    { needs: "GTSUP" },
  ),
  GCR3TRP: splitFrame(
    [
      [127, 107],
      [95, 80],
      [60, 58],
    ],
    "Guest CR3 table root pointer",
    { needs: "GTSUP" },
  ),
  IR: bit(61, "I/O read permission"),
  IW: bit(62, "I/O write permission"),
  DOMAINID: bits(79, 64, "Domain id"),
  I: bit(96, "IOTLB enable"),
  SE: bit(97, "Suppress I/O page fault events after the first"),
  SA: bit(98, "Suppress all I/O page fault events"),
  IOCTL: bits(100, 99, "Port I/O control", {
    0: "abort",
    1: "untranslated",
    2: "translated",
    [RESERVED_IOCTL]: "reserved",
  }),
  CACHE: bit(101, "IOTLB cache hint"),
  SD: bit(102, "Snoop disable"),
  EX: bit(103, "Allow exclusion"),
  SYSMGT: bits(105, 104, "System management message enable", {
    0: "abort",
    1: "forwarded untranslated",
    2: "INTx forwarded untranslated",
    3: "translated",
  }),
  SATS: bit(106, "Secure ATS", { needs: "SATSSUP" }),
  IV: bit(128, "Interrupt map valid"),
  INTTABLEN: bits(132, 129, "Interrupt table length, as a power of two"),
  IG: bit(133, "Ignore unmapped interrupts"),
  INTTABROOT: split([[179, 134]], "Interrupt table root pointer, bits 51:6"),
  GUESTPAGINGMODE: bits(183, 182, "Guest paging mode", { 0: "4 levels", 1: "5 levels" }, { needs: "GTSUP" }),
  INITPASS: bit(184, "INIT pass-through"),
  EINTPASS: bit(185, "External interrupt pass-through"),
  NMIPASS: bit(186, "NMI pass-through"),
  HPTMODE: bit(187, "Host page table mode"),
  INTCTL: bits(189, 188, "Interrupt control", { 0: "abort", 1: "unmapped", 2: "remapped", 3: "reserved" }),
  LINT0PASS: bit(190, "LINT0 pass-through"),
  LINT1PASS: bit(191, "LINT1 pass-through"),
  VIMUEN: bit(207, "Virtual IOMMU enable", { needs: "VIOMMUSUP" }),
  GDEVICEID: bits(223, 208, "Guest device id", undefined, { needs: "VIOMMUSUP" }),
  GUESTID: bits(239, 224, "Guest id", undefined, { needs: "VIOMMUSUP" }),
  ATTRV: bit(246, "Attribute override valid", { needs: "ATTRFWSUP" }),
  MODE0FC: bit(247, "Force coherent where the mode is 0", { needs: "ATTRFWSUP" }),
  SNOOPATTR: ignored(255, 248, "Snoop attribute", { needs: "ATTRFWSUP" }),
});

/** An entry of any level of the guest CR3 table: a leaf's address is the guest's CR3, others' the next table. */
export const Gcr3Entry = layout("Guest CR3 table entry", "AMD 48882, 2.2.6", 8, {
  V: bit(0, "Valid"),
  IGN0: ignored(11, 1),
  GCR3: frame(51, 12, "Guest page table root, or next guest CR3 table (a GPA)"),
  IGN1: ignored(63, 52),
});
