/**
 * Causes of fault records (RISC-V IOMMU 1.0, "Fault/Event-Queue (FQ)", table of CAUSE encodings), and which of them a
 * device context's DTF bit suppresses.
 */
import { type Cause, type Fault, type FaultReason, KEPT_BY_DEVICE } from "../fault.ts";
import { EXECUTE, TRANSLATED, TRANSLATION_REQUEST, WRITE } from "../request.ts";

const SOURCE = "RISC-V IOMMU 1.0, Fault record CAUSE field encodings";

function cause(
  code: number,
  name: string,
  reason: FaultReason,
  text: string,
  causes: readonly Cause[] = [],
  others: readonly FaultReason[] = [],
): Fault {
  return {
    code,
    name,
    reason,
    ...(others.length > 0 ? { others } : {}),
    source: SOURCE,
    text,
    ...(causes.length > 0 ? { causes } : {}),
  };
}

const NOT_MAPPED: readonly Cause[] = [
  {
    text: "the entry is not valid, or a reserved bit or encoding in it is set",
    reasons: ["PTE_FETCH", "BAD_PTE"],
  },
  {
    text: "A is 0, or D is 0 on a write, and tc.SADE (tc.GADE for the second stage) does not let hardware set it",
    reasons: ["ACCESS"],
  },
  { text: "U, R, W or X deny the access", reasons: ["PERMISSION"] },
  { text: "the address is wider than the scheme translates", reasons: ["OOR_ADDRESS"] },
  KEPT_BY_DEVICE,
];
const CORRUPTED = [
  "the memory that holds it has an uncorrectable error: see what was logged of that address",
];
const REFUSED: readonly FaultReason[] = ["PERMISSION", "BAD_PTE", "ACCESS", "OOR_ADDRESS"];
const TABLE_UNREADABLE = [
  "a page-table page is outside memory or beyond capabilities.PAS",
  "the byte order of the tables is not what tc.SBE or fctl.BE says",
];

export const INSTRUCTION_ACCESS_FAULT = cause(
  1,
  "Instruction access fault",
  "WALK_EABT",
  "A page-table entry could not be read for a read-for-execute, or such a request went to an interrupt file.",
  TABLE_UNREADABLE,
  ["PGD_FETCH", "PERMISSION"],
);
const READ_ADDRESS_MISALIGNED = cause(
  4,
  "Read address misaligned",
  "OOR_ADDRESS",
  "The address of a read is misaligned.",
);
const READ_ACCESS_FAULT = cause(
  5,
  "Read access fault",
  "WALK_EABT",
  "A page-table entry could not be read for a read.",
  TABLE_UNREADABLE,
  ["PGD_FETCH"],
);
const WRITE_ADDRESS_MISALIGNED = cause(
  6,
  "Write/AMO address misaligned",
  "OOR_ADDRESS",
  "The address of a write or atomic is misaligned.",
);
const WRITE_ACCESS_FAULT = cause(
  7,
  "Write/AMO access fault",
  "WALK_EABT",
  "A page-table entry could not be read for a write or atomic.",
  TABLE_UNREADABLE,
  ["PGD_FETCH"],
);
const INSTRUCTION_PAGE_FAULT = cause(
  12,
  "Instruction page fault",
  "PTE_FETCH",
  "The first stage refuses a read-for-execute.",
  NOT_MAPPED,
  REFUSED,
);
const READ_PAGE_FAULT = cause(
  13,
  "Read page fault",
  "PTE_FETCH",
  "The first stage refuses a read.",
  NOT_MAPPED,
  REFUSED,
);
const WRITE_PAGE_FAULT = cause(
  15,
  "Write/AMO page fault",
  "PTE_FETCH",
  "The first stage refuses a write or atomic.",
  NOT_MAPPED,
  REFUSED,
);
const INSTRUCTION_GUEST_PAGE_FAULT = cause(
  20,
  "Instruction guest page fault",
  "PTE_FETCH",
  "The second stage refuses a read-for-execute, or a table access on its behalf.",
  NOT_MAPPED,
  REFUSED,
);
const READ_GUEST_PAGE_FAULT = cause(
  21,
  "Read guest-page fault",
  "PTE_FETCH",
  "The second stage refuses a read, or a table access on its behalf.",
  NOT_MAPPED,
  REFUSED,
);
const WRITE_GUEST_PAGE_FAULT = cause(
  23,
  "Write/AMO guest-page fault",
  "PTE_FETCH",
  "The second stage refuses a write or atomic, or a table access on its behalf.",
  NOT_MAPPED,
  REFUSED,
);
export const ALL_INBOUND_DISALLOWED = cause(
  256,
  "All inbound transactions disallowed",
  "SOURCEID_INVALID",
  "The IOMMU is off.",
  ["ddtp.iommu_mode is Off: the driver has not programmed the device directory yet"],
);
export const DDT_LOAD_ACCESS_FAULT = cause(
  257,
  "DDT entry load access fault",
  "DEVICE_CONTEXT_FETCH",
  "A device-directory entry could not be read.",
  ["ddtp.PPN or a directory entry points outside memory or beyond capabilities.PAS"],
);
export const DDT_NOT_VALID = cause(
  258,
  "DDT entry not valid",
  "BAD_DEVICE_CONTEXT",
  "A device-directory entry or the device context has V = 0.",
  ["the device was never attached, or its device_id is not the one the driver programmed"],
);
export const DDT_MISCONFIGURED = cause(
  259,
  "DDT entry misconfigured",
  "BAD_DEVICE_CONTEXT",
  "A device-directory entry has reserved bits set, or the device context breaks a configuration rule.",
  [
    "a scheme or a feature that capabilities does not have",
    "the context's format: 32 bytes without capabilities.MSI_FLAT, 64 with it",
    "tc.SXL or tc.SBE disagrees with fctl",
  ],
);
export const TRANSACTION_DISALLOWED = cause(
  260,
  "Transaction type disallowed",
  "PERMISSION",
  "The device, its context or the process context does not allow this kind of request.",
  [
    "the device_id is wider than ddtp.iommu_mode",
    "a process_id though tc.PDTV is 0, or one wider than pdtp.MODE",
    "a supervisor request though ta.ENS is 0",
    {
      text: "a Translated request or an ATS Translation Request though tc.EN_ATS is 0, or ddtp.iommu_mode is Bare: the firmware or an earlier driver left ATS switched on in the device",
      at: [TRANSLATION_REQUEST, TRANSLATED],
    },
  ],
  ["SOURCEID_INVALID", "PASID_INVALID"],
);
export const MSI_PTE_LOAD_ACCESS_FAULT = cause(
  261,
  "MSI PTE load access fault",
  "WALK_EABT",
  "An MSI page-table entry could not be read.",
  ["msiptp.PPN points outside memory, or msi_addr_mask selects more interrupt files than the table has"],
);
export const MSI_PTE_NOT_VALID = cause(262, "MSI PTE not valid", "PTE_FETCH", "An MSI PTE has V = 0.", [
  "the hypervisor has not entered the interrupt file of this virtual hart, or has removed it while the device still uses it",
  "msi_addr_mask and msi_addr_pattern take in pages that are no interrupt files",
]);
export const MSI_PTE_MISCONFIGURED = cause(
  263,
  "MSI PTE misconfigured",
  "BAD_PTE",
  "An MSI PTE has a reserved mode or reserved bits, or MRIF mode without capabilities.MSI_MRIF.",
  [
    "M is 0 or 2, or the entry was written in the format of a page-table entry",
    "MRIF mode of an IOMMU without capabilities.MSI_MRIF",
  ],
);
const MRIF_ACCESS_FAULT = cause(
  264,
  "MRIF access fault",
  "WALK_EABT",
  "A memory-resident interrupt file could not be accessed.",
  ["MRIF_Address points outside memory"],
);
export const PDT_LOAD_ACCESS_FAULT = cause(
  265,
  "PDT entry load access fault",
  "PASID_FETCH",
  "A process-directory entry could not be read.",
  ["pdtp.PPN or a directory entry points outside memory; with a second stage it is a guest address"],
);
export const PDT_NOT_VALID = cause(
  266,
  "PDT entry not valid",
  "PASID_INVALID",
  "A process-directory entry or the process context has V = 0.",
  ["the process_id is not bound, or it was unbound while the device still used it"],
);
export const PDT_MISCONFIGURED = cause(
  267,
  "PDT entry misconfigured",
  "BAD_PASID_ENTRY",
  "A process-directory entry or the process context has reserved bits or an unsupported scheme.",
  [
    "fsc.MODE is a scheme that capabilities does not have, or is not one of tc.SXL",
    "the byte order of the directory is not what tc.SBE says",
  ],
);
const DDT_DATA_CORRUPTION = cause(
  268,
  "DDT data corruption",
  "DEVICE_CONTEXT_FETCH",
  "A device-directory access met corrupted data.",
  CORRUPTED,
);
const PDT_DATA_CORRUPTION = cause(
  269,
  "PDT data corruption",
  "PASID_FETCH",
  "A process-directory access met corrupted data.",
  CORRUPTED,
);
const MSI_PT_DATA_CORRUPTION = cause(
  270,
  "MSI PT data corruption",
  "WALK_EABT",
  "An MSI page-table access met corrupted data.",
  CORRUPTED,
);
const MSI_MRIF_DATA_CORRUPTION = cause(
  271,
  "MSI MRIF data corruption",
  "WALK_EABT",
  "An access to a memory-resident interrupt file met corrupted data.",
  CORRUPTED,
);
const INTERNAL_DATA_PATH_ERROR = cause(
  272,
  "Internal data path error",
  "INTERNAL",
  "The IOMMU failed internally.",
);
const MSI_WRITE_ACCESS_FAULT = cause(
  273,
  "IOMMU MSI write access fault",
  "UNKNOWN",
  "An interrupt of the IOMMU itself could not be written.",
  ["msi_cfg_tbl has an address that no interrupt file is at, or the vector of icvec has no entry there"],
);
const PT_DATA_CORRUPTION = cause(
  274,
  "First/second-stage PT data corruption",
  "WALK_EABT",
  "A page-table access met corrupted data.",
  CORRUPTED,
);

/** All causes, by number: what a fault record may show, whether or not a replay can produce it. */
export const RISCV_FAULTS: readonly Fault[] = [
  INSTRUCTION_ACCESS_FAULT,
  READ_ADDRESS_MISALIGNED,
  READ_ACCESS_FAULT,
  WRITE_ADDRESS_MISALIGNED,
  WRITE_ACCESS_FAULT,
  INSTRUCTION_PAGE_FAULT,
  READ_PAGE_FAULT,
  WRITE_PAGE_FAULT,
  INSTRUCTION_GUEST_PAGE_FAULT,
  READ_GUEST_PAGE_FAULT,
  WRITE_GUEST_PAGE_FAULT,
  ALL_INBOUND_DISALLOWED,
  DDT_LOAD_ACCESS_FAULT,
  DDT_NOT_VALID,
  DDT_MISCONFIGURED,
  TRANSACTION_DISALLOWED,
  MSI_PTE_LOAD_ACCESS_FAULT,
  MSI_PTE_NOT_VALID,
  MSI_PTE_MISCONFIGURED,
  MRIF_ACCESS_FAULT,
  PDT_LOAD_ACCESS_FAULT,
  PDT_NOT_VALID,
  PDT_MISCONFIGURED,
  DDT_DATA_CORRUPTION,
  PDT_DATA_CORRUPTION,
  MSI_PT_DATA_CORRUPTION,
  MSI_MRIF_DATA_CORRUPTION,
  INTERNAL_DATA_PATH_ERROR,
  MSI_WRITE_ACCESS_FAULT,
  PT_DATA_CORRUPTION,
];

/** The table's column "Reported if DTF is 1?": all others are not. */
const REPORTED_WITH_DTF: readonly Fault[] = [
  ALL_INBOUND_DISALLOWED,
  DDT_LOAD_ACCESS_FAULT,
  DDT_NOT_VALID,
  DDT_MISCONFIGURED,
  DDT_DATA_CORRUPTION,
  INTERNAL_DATA_PATH_ERROR,
  MSI_WRITE_ACCESS_FAULT,
];

export function reportedWithDtf(fault: Fault): boolean {
  return REPORTED_WITH_DTF.includes(fault);
}

/** Causes that the completion of an ATS translation request tells, with neither R nor W: page faults, and what is not valid. */
const ANSWERED_BY_ATS: ReadonlySet<number> = new Set([12, 13, 15, 20, 21, 23, 262, 266]);

/** RISC-V IOMMU 1.0, PCIe ATS translation request handling. */
export function answeredByAts({ code }: Fault): boolean {
  return ANSWERED_BY_ATS.has(code);
}

/** The three codes of one condition, by the original access: an atomic reports as a write, also when it needs read. */
function byAccess(access: number, execute: Fault, read: Fault, write: Fault): Fault {
  if ((access & EXECUTE) !== 0) return execute;
  return (access & WRITE) !== 0 ? write : read;
}

export function accessFault(access: number): Fault {
  return byAccess(access, INSTRUCTION_ACCESS_FAULT, READ_ACCESS_FAULT, WRITE_ACCESS_FAULT);
}

export function pageFault(access: number): Fault {
  return byAccess(access, INSTRUCTION_PAGE_FAULT, READ_PAGE_FAULT, WRITE_PAGE_FAULT);
}

export function guestPageFault(access: number): Fault {
  return byAccess(access, INSTRUCTION_GUEST_PAGE_FAULT, READ_GUEST_PAGE_FAULT, WRITE_GUEST_PAGE_FAULT);
}
