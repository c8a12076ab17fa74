/**
 * In-memory structures of the RISC-V IOMMU (RISC-V IOMMU Architecture 1.0, "Data Structures"; MSI page-table entries:
 * RISC-V Advanced Interrupt Architecture 1.0, "MSI page table entries"). Bit numbers count from the structure's first
 * doubleword: a field of the n-th doubleword has 64 n added.
 */
import { bit, bits, frame, ignored, type Layout, layout, type Reader, split } from "../layout.ts";

/** Capability that DC.ta.RCID and DC.ta.MCID depend on. */
export const QOSID = "QOSID";

/** `iosatp.MODE`, and `iohgatp.MODE` for the x4 schemes. */
export const MODE_BARE = 0;
/** With SXL (GXL) = 1; the same number is Sv39 (Sv39x4) with SXL (GXL) = 0. */
export const MODE_SV32 = 8;
export const MODE_SV39 = 8;
export const MODE_SV48 = 9;
export const MODE_SV57 = 10;

/** `pdtp.MODE`. */
export const PDTP_BARE = 0;
export const PDTP_PD8 = 1;
export const PDTP_PD17 = 2;
export const PDTP_PD20 = 3;

/** process_id is at most 20 bits wide. */
export const PROCESS_ID_BITS = 20;
/** Address bits that a 44-bit PPN reaches. */
export const PPN_ADDRESS_BITS = 56;

/** `msiptp.MODE`. */
export const MSIPTP_OFF = 0;
export const MSIPTP_FLAT = 1;

/** `msipte.M`. */
export const MSI_M_MRIF = 1;
export const MSI_M_BASIC = 3;

/** Non-leaf entry of the device directory and of the process directory: both have the same format. */
const nonLeaf = {
  V: bit(0, "Valid"),
  PPN: frame(53, 10, "Next directory table"),
};

export const DdtEntry = layout("Non-leaf DDT entry", "RISC-V IOMMU 1.0, Non-leaf DDT entry", 8, nonLeaf);
export const PdtEntry = layout("Non-leaf PDT entry", "RISC-V IOMMU 1.0, Non-leaf PDT entry", 8, nonLeaf);

/** 32-bit words of their reserved bits. */
export const NON_LEAF_RESERVED = DdtEntry.reserved();

const baseContext = {
  // tc
  V: bit(0, "Valid"),
  EN_ATS: bit(1, "ATS transactions allowed"),
  EN_PRI: bit(2, "Page requests allowed"),
  T2GPA: bit(3, "ATS translations give guest physical addresses"),
  DTF: bit(4, "Disable translation fault records"),
  PDTV: bit(5, "fsc points to a process directory"),
  PRPR: bit(6, "Page request group responses carry the PASID"),
  GADE: bit(7, "Hardware updates A and D of the second stage"),
  SADE: bit(8, "Hardware updates A and D of the first stage"),
  DPE: bit(9, "Requests without process_id use process_id 0"),
  SBE: bit(10, "Process directory and first stage are big-endian"),
  SXL: bit(11, "First-stage schemes are those of 32-bit harts (Sv32)"),
  custom: ignored(31, 24, "Custom"),
  // iohgatp
  iohgatp_PPN: frame(107, 64, "Root of the second stage (16 KiB)"),
  GSCID: bits(123, 108, "Guest soft-context id"),
  iohgatp_MODE: bits(127, 124, "Second stage", {
    0: "Bare",
    8: "Sv39x4 (Sv32x4 with GXL)",
    9: "Sv48x4",
    10: "Sv57x4",
  }),
  // ta
  PSCID: bits(159, 140, "Process soft-context id"),
  RCID: bits(179, 168, "Resource control id", undefined, { needs: QOSID }),
  MCID: bits(191, 180, "Monitoring counter id", undefined, { needs: QOSID }),
  // fsc: pdtp where PDTV is 1, else iosatp
  fsc_PPN: frame(235, 192, "Root of the process directory (PDTV) or of the first stage"),
  fsc_MODE: bits(
    255,
    252,
    "pdtp.MODE (PDTV: 1 PD8, 2 PD17, 3 PD20) or iosatp.MODE (8 Sv39/Sv32, 9 Sv48, 10 Sv57)",
  ),
};

export const BaseDeviceContext = layout(
  "Base-format device context",
  "RISC-V IOMMU 1.0, Leaf DDT entry",
  32,
  baseContext,
);

export const DeviceContextLayout = layout(
  "Extended-format device context",
  "RISC-V IOMMU 1.0, Leaf DDT entry",
  64,
  {
    ...baseContext,
    msiptp_PPN: frame(299, 256, "MSI page table"),
    msiptp_MODE: bits(319, 316, "MSI page table", { [MSIPTP_OFF]: "Off", [MSIPTP_FLAT]: "Flat" }),
    msi_addr_mask: bits(371, 320, "Guest page number bits that number the interrupt file"),
    msi_addr_pattern: bits(435, 384, "Guest page number of the interrupt files, in the bits not masked"),
  },
);

export const ProcessContextLayout = layout("Process context", "RISC-V IOMMU 1.0, Leaf PDT entry", 16, {
  V: bit(0, "Valid"),
  ENS: bit(1, "Supervisor requests allowed"),
  SUM: bit(2, "Supervisor requests may access user pages"),
  PSCID: bits(31, 12, "Process soft-context id"),
  fsc_PPN: frame(107, 64, "Root of the first stage"),
  fsc_MODE: bits(127, 124, "First stage", { 0: "Bare", 8: "Sv39 (Sv32 with SXL)", 9: "Sv48", 10: "Sv57" }),
});

/** 32-bit words of its reserved bits. */
export const PROCESS_RESERVED = ProcessContextLayout.reserved();

const msiHeader = {
  V: bit(0, "Valid"),
  M: bits(2, 1, "Mode", { [MSI_M_MRIF]: "MRIF", [MSI_M_BASIC]: "basic translate" }),
  C: bit(63, "Custom format"),
};

export const MsiPte = layout(
  "MSI PTE, basic translate mode",
  "Advanced Interrupt Architecture 1.0, MSI PTE, basic translate mode",
  16,
  {
    ...msiHeader,
    PPN: frame(53, 10, "Interrupt file"),
    second: ignored(127, 64),
  },
);

export const MsiMrifPte = layout(
  "MSI PTE, MRIF mode",
  "Advanced Interrupt Architecture 1.0, MSI PTE, memory-resident interrupt file mode",
  16,
  {
    ...msiHeader,
    MRIF_Address: bits(53, 7, "Memory-resident interrupt file, in units of 512 bytes"),
    NPPN: frame(117, 74, "Notice MSI page"),
    NID: split(
      [
        [124, 124],
        [73, 64],
      ],
      "Notice MSI data",
    ),
  },
);

/** All fields' readers of one structure, in one byte order. */
export type Readers<F extends string> = { readonly [K in F]: Reader };

/** Readers of all fields, built once; a big-endian structure is a sequence of big-endian doublewords. */
export function readersOf<F extends string>(structure: Layout<F>, littleEndian: boolean): Readers<F> {
  const readers = {} as { [K in F]: Reader };
  for (const name of structure.names()) readers[name] = structure.reader(name, littleEndian);
  return readers;
}

/**
 * Whether any reserved bit of a structure is set.
 * @param reserved the structure's `Layout.reserved` words
 */
export function reservedBitsSet(
  reserved: Uint32Array,
  view: DataView,
  at: number,
  littleEndian: boolean,
): boolean {
  const swap = littleEndian ? 0 : 1;
  for (let i = 0; i < reserved.length; i++)
    if ((view.getUint32(at + (i ^ swap) * 4, littleEndian) & reserved[i]!) !== 0) return true;
  return false;
}
