/**
 * Registers of the RISC-V IOMMU that decide how requests are translated (RISC-V IOMMU Architecture 1.0, "Memory-mapped
 * register interface").
 */
import { bit, bits, frame, ignored, layout } from "../layout.ts";

export const Capabilities = layout("capabilities", "RISC-V IOMMU 1.0, IOMMU capabilities (capabilities)", 8, {
  version: bits(7, 0, "Specification version: major in the high nibble, minor in the low one"),
  Sv32: bit(8, "Sv32 first stage"),
  Sv39: bit(9, "Sv39 first stage"),
  Sv48: bit(10, "Sv48 first stage"),
  Sv57: bit(11, "Sv57 first stage"),
  Svrsw60t59b: bit(14, "PTE bits 60:59 are for software"),
  Svpbmt: bit(15, "Page-based memory types"),
  Sv32x4: bit(16, "Sv32x4 second stage"),
  Sv39x4: bit(17, "Sv39x4 second stage"),
  Sv48x4: bit(18, "Sv48x4 second stage"),
  Sv57x4: bit(19, "Sv57x4 second stage"),
  AMO_MRIF: bit(21, "Atomic updates of memory-resident interrupt files"),
  MSI_FLAT: bit(22, "MSI page tables; device contexts have the extended format"),
  MSI_MRIF: bit(23, "MSI PTEs in MRIF mode"),
  AMO_HWAD: bit(24, "Updates A and D bits of PTEs"),
  ATS: bit(25, "PCIe ATS and page requests"),
  T2GPA: bit(26, "ATS completions may give guest physical addresses"),
  END: bit(27, "Both byte orders"),
  IGS: bits(29, 28, "Interrupt generation", { 0: "MSI", 1: "WSI", 2: "BOTH" }),
  HPM: bit(30, "Performance monitor"),
  DBG: bit(31, "Translation-request interface"),
  PAS: bits(37, 32, "Physical address size"),
  PD8: bit(38, "One-level process directory"),
  PD17: bit(39, "Two-level process directory"),
  PD20: bit(40, "Three-level process directory"),
  QOSID: bit(41, "Quality-of-service identifiers"),
  NL: bit(42, "Non-leaf PTE invalidation"),
  S: bit(43, "Address range invalidation"),
  custom: ignored(63, 56, "Custom"),
});

export const FeaturesControl = layout("fctl", "RISC-V IOMMU 1.0, Features-control register (fctl)", 4, {
  BE: bit(0, "Device directory, second stage and MSI tables are big-endian"),
  WSI: bit(1, "Interrupts are wire-signaled"),
  GXL: bit(2, "Second-stage schemes are those of 32-bit harts (Sv32x4)"),
  custom: ignored(31, 16, "Custom"),
});

/** ddtp.iommu_mode. */
export const DDTP_OFF = 0;
export const DDTP_BARE = 1;
export const DDTP_1LVL = 2;
export const DDTP_2LVL = 3;
export const DDTP_3LVL = 4;

export const DeviceDirectoryPointer = layout(
  "ddtp",
  "RISC-V IOMMU 1.0, Device-directory-table pointer (ddtp)",
  8,
  {
    iommu_mode: bits(3, 0, "Mode", {
      [DDTP_OFF]: "Off",
      [DDTP_BARE]: "Bare",
      [DDTP_1LVL]: "1LVL",
      [DDTP_2LVL]: "2LVL",
      [DDTP_3LVL]: "3LVL",
    }),
    busy: bit(4, "A mode change is under way"),
    PPN: frame(53, 10, "Root device directory"),
  },
);
