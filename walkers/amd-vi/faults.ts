import type { Fault } from "../fault.ts";
import { TRANSLATED, TRANSLATION_REQUEST } from "../request.ts";

// Types of INVALID_DEVICE_REQUEST.
export const INTERRUPT_READ = 0;
export const TRANSLATED_REQUEST = 1;
export const PORT_IO = 2;
export const INVALID_WRITE = 3;
export const INVALID_READ = 4;
export const INTERRUPT_BLOCKED = 5;
export const RESERVED_INTERRUPT = 6;
export const SYSTEM_MANAGEMENT = 7;

/** Where the flags start in the first doubleword of an event, and RZ of them. */
export const FLAGS_BIT = 48;
export const RZ_BIT = 55;
const RESERVED_NOT_ZERO = 1 << (RZ_BIT - FLAGS_BIT);

/** The event log's names and codes (AMD 48882, 2.5) of what a request can cause. */
export const ILLEGAL_DEV_TABLE_ENTRY: Fault = {
  code: 0x1,
  name: "ILLEGAL_DEV_TABLE_ENTRY",
  reason: "BAD_DEVICE_CONTEXT",
  source: "AMD 48882, 2.5.2",
  text: "The device table entry has reserved bits set or holds a level encoding that this IOMMU does not support.",
  causes: [
    "Mode 7, or more levels than EFR.HATS allows",
    "GLX 3 or beyond EFR.GLXSup, or a guest paging mode beyond EFR.GATS, with GV=1",
    "GV or GIOV set on an IOMMU without GTSup or GIoSup; PPR or GPRP set without EPHSup and EPHEn",
    "IoCtl 3, or a reserved bit among bits 127:0",
  ],
};

export const IO_PAGE_FAULT: Fault = {
  code: 0x2,
  name: "IO_PAGE_FAULT",
  reason: "PTE_FETCH",
  others: ["PERMISSION", "BAD_PTE", "OOR_ADDRESS", "PASID_INVALID", "BAD_DEVICE_CONTEXT", "SOURCEID_INVALID"],
  coarse: true,
  source: "AMD 48882, 2.5.3",
  text: "The page tables do not map the address or do not permit the access; the flags say which.",
  causes: [
    {
      text: "PR=0: the driver unmapped the buffer, or never mapped it, before the device used it",
      reasons: ["PTE_FETCH"],
    },
    {
      text: "PR=0: TV=0: the device is blocked, or not attached yet",
      reasons: ["BAD_DEVICE_CONTEXT"],
    },
    {
      text: "PR=0: the guest CR3 table has no entry for this PASID: it is not bound, or no longer",
      reasons: ["PASID_INVALID"],
      withPasid: true,
    },
    {
      text: "PE=1: IR, IW, R/W, U/S or NX on some level, or IR, IW of the device table entry, deny the access",
      reasons: ["PERMISSION"],
    },
    {
      text: "RZ=1: reserved bits in an entry",
      reasons: ["BAD_PTE"],
      flags: { mask: RESERVED_NOT_ZERO, value: RESERVED_NOT_ZERO },
    },
    {
      text: "PR=1, PE=0, RZ=0: an invalid next level or page size, or address bits beyond the tables",
      reasons: ["BAD_PTE", "OOR_ADDRESS"],
      flags: { mask: RESERVED_NOT_ZERO, value: 0 },
    },
    { text: "the device id is beyond the device table", reasons: ["SOURCEID_INVALID"] },
  ],
};

export const DEV_TAB_HARDWARE_ERROR: Fault = {
  code: 0x3,
  name: "DEV_TAB_HARDWARE_ERROR",
  reason: "DEVICE_CONTEXT_FETCH",
  source: "AMD 48882, 2.5.4",
  text: "The device table entry could not be read.",
  causes: ["the Device Table Base Address Register points outside memory"],
};

export const PAGE_TAB_HARDWARE_ERROR: Fault = {
  code: 0x4,
  name: "PAGE_TAB_HARDWARE_ERROR",
  reason: "WALK_EABT",
  others: ["PGD_FETCH", "PASID_FETCH"],
  source: "AMD 48882, 2.5.5",
  text: "A page table or guest CR3 table entry could not be read.",
  causes: ["a root or next-table address points outside memory"],
};

export const INVALID_DEVICE_REQUEST: Fault = {
  code: 0x8,
  name: "INVALID_DEVICE_REQUEST",
  reason: "OOR_ADDRESS",
  others: ["PASID_INVALID"],
  source: "AMD 48882, 2.5.9",
  text: "The IOMMU does not accept this kind of request from this device.",
  causes: [
    {
      text: "a read or an atomic in the interrupt address range 0xFEEx_xxxx",
      kinds: [INTERRUPT_READ],
      reasons: ["OOR_ADDRESS"],
    },
    {
      text: "a request with a PASID from a device without guest translation (GV=0, GTEn=0)",
      kinds: [INTERRUPT_READ, INVALID_WRITE, INVALID_READ],
      reasons: ["PASID_INVALID"],
    },
    {
      text: "a translated request (ATS) of a device whose entry has V=0 or I=0: the device has ATS enabled, and its entry not",
      kinds: [TRANSLATED_REQUEST],
      reasons: ["OOR_ADDRESS"],
      at: [TRANSLATION_REQUEST, TRANSLATED],
    },
    {
      text: "an address in the HyperTransport range FD_0000_0000h to FF_FFFF_FFFFh: a stray pointer, or memory placed there",
      kinds: [PORT_IO, INVALID_WRITE, INVALID_READ, RESERVED_INTERRUPT, SYSTEM_MANAGEMENT],
      reasons: ["OOR_ADDRESS"],
    },
    {
      text: "an interrupt of a device whose entry has IntCtl=0: interrupt remapping was not set up for it (an I/O APIC that the IVRS table does not name)",
      kinds: [INTERRUPT_BLOCKED],
      reasons: ["OOR_ADDRESS"],
    },
  ],
};

/** What a device request can cause. */
const AMD_VI_WALK_FAULTS: readonly Fault[] = [
  ILLEGAL_DEV_TABLE_ENTRY,
  IO_PAGE_FAULT,
  DEV_TAB_HARDWARE_ERROR,
  PAGE_TAB_HARDWARE_ERROR,
  INVALID_DEVICE_REQUEST,
];

/** What an event log may hold besides: a trace's requests are not commands, page requests or interrupts. */
const AMD_VI_OTHER_FAULTS: readonly Fault[] = (
  [
    [
      0x5,
      "ILLEGAL_COMMAND_ERROR",
      "UNKNOWN",
      "2.5.6",
      "The command buffer holds a command that is not one, or has reserved bits set.",
    ],
    [0x6, "COMMAND_HARDWARE_ERROR", "UNKNOWN", "2.5.7", "The command buffer could not be read."],
    [
      0x7,
      "IOTLB_INV_TIMEOUT",
      "UNKNOWN",
      "2.5.8",
      "A device did not answer an INVALIDATE_IOTLB_PAGES command in time.",
    ],
    [
      0x9,
      "INVALID_PPR_REQUEST",
      "UNKNOWN",
      "2.5.10",
      "The device may not make this peripheral page request.",
    ],
    [0xa, "EVENT_COUNTER_ZERO", "UNKNOWN", "2.5.11", "A performance counter reached zero: no fault."],
    [
      0xb,
      "GUEST_EVENT_FAULT",
      "UNKNOWN",
      "2.5.12",
      "An event that belongs to a guest of a virtualized IOMMU.",
    ],
    [
      0xd,
      "RMP_PAGE_FAULT",
      "PERMISSION",
      "2.5",
      "The reverse map table (SNP) does not let the device use this page.",
    ],
    [0xe, "RMP_HW_ERROR", "INTERNAL", "2.5", "The reverse map table (SNP) could not be read."],
  ] as const
).map(([code, name, reason, section, text]) => ({
  code,
  name,
  reason,
  source: `AMD 48882, ${section}`,
  text,
}));

/** Every event of the event log. */
export const AMD_VI_FAULTS: readonly Fault[] = [...AMD_VI_WALK_FAULTS, ...AMD_VI_OTHER_FAULTS].sort(
  (a, b) => a.code - b.code,
);
