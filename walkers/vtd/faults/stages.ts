/** Scalable mode: first stage, second stage, and general conditions (VT-d 5.10, Table 30). */
import {
  fault,
  NOT_MAPPED,
  Q,
  READ_ONLY,
  TABLE_30,
  UNINITIALISED,
  UNSNOOPED,
  WRONG_POINTER,
} from "./fault.ts";

// ── Scalable mode: first stage ──
export const SFS_1 = fault(
  0x70,
  "SFS.1",
  Q,
  "WALK_EABT",
  "a first-stage entry below the top table could not be read",
  WRONG_POINTER,
);
export const SFS_2 = fault(0x71, "SFS.2", Q, "PTE_FETCH", "a first-stage entry is not present", NOT_MAPPED);
export const SFS_3 = fault(
  0x72,
  "SFS.3",
  Q,
  "BAD_PTE",
  "a first-stage entry has reserved bits set",
  UNINITIALISED,
);
export const SFS_4 = fault(
  0x73,
  "SFS.4",
  Q,
  "PGD_FETCH",
  "the top first-stage table, which the PASID table entry points to, could not be read",
  WRONG_POINTER,
);
export const SFS_5 = fault(
  0x74,
  "SFS.5",
  Q,
  "OOR_ADDRESS",
  "nested: a first-stage entry's address is beyond the smaller of CAP.MGAW and AW",
);
export const SFS_6 = fault(
  0x75,
  "SFS.6",
  Q,
  "PGD_FETCH",
  "nested: the second stage does not let the top first-stage table be read",
);
export const SFS_7 = fault(
  0x76,
  "SFS.7",
  Q,
  "WALK_EABT",
  "nested: the second stage does not let a first-stage table below the top be read",
);
export const SFS_8 = fault(
  0x77,
  "SFS.8",
  Q,
  "PERMISSION",
  "nested: the second stage does not let a flag of a first-stage entry be set",
  ["the guest's page tables are mapped read-only in the second stage"],
);
export const SFS_9 = fault(
  0x90,
  "SFS.9",
  Q,
  "ACCESS",
  "a flag of a first-stage entry has to be set, and page walks are not set up to snoop caches",
  UNSNOOPED,
  `${TABLE_30}; 3.10, Snoop Behavior`,
);

// ── Scalable mode: second stage ──
export const SSS_1 = fault(
  0x78,
  "SSS.1",
  Q,
  "WALK_EABT",
  "a second-stage entry below the top table could not be read",
  WRONG_POINTER,
);
export const SSS_2 = fault(
  0x79,
  "SSS.2",
  Q,
  "PTE_FETCH",
  "a second-stage entry, or all of them together, permit neither reading nor writing",
  NOT_MAPPED,
);
export const SSS_3 = fault(
  0x7a,
  "SSS.3",
  Q,
  "BAD_PTE",
  "a second-stage entry has reserved bits set",
  UNINITIALISED,
);
export const SSS_4 = fault(
  0x7b,
  "SSS.4",
  Q,
  "PGD_FETCH",
  "the top second-stage table, which the PASID table entry points to, could not be read",
  WRONG_POINTER,
);
export const SSS_5 = fault(
  0x7c,
  "SSS.5",
  Q,
  "ACCESS",
  "a flag of a second-stage entry has to be set, and page walks are not set up to snoop caches",
  UNSNOOPED,
  `${TABLE_30}; 3.10, Snoop Behavior`,
);

// ── Scalable mode: general ──
export const SGN_1 = fault(
  0x80,
  "SGN.1",
  Q,
  "OOR_ADDRESS",
  "the address is not canonical for the first stage's number of levels",
  ["the pointer has a tag, or is not sign-extended", "the process has 5-level tables, and FSPM says 4"],
);
export const SGN_2 = fault(
  0x81,
  "SGN.2",
  Q,
  "PERMISSION",
  "a user request met a first-stage entry with U/S clear (supervisor)",
  ["an address of the kernel was given to the device of a process"],
);
export const SGN_3 = fault(
  0x82,
  "SGN.3",
  Q,
  "PERMISSION",
  "a request for execution, and the page is not executable",
  undefined,
  "VT-d 4.0, 7.1.3 (reserved since 4.1)",
);
export const SGN_4_2 = fault(
  0x83,
  "SGN.4.2",
  Q,
  "OOR_ADDRESS",
  "the address of a pass-through request is beyond the host address width",
);
export const SGN_5 = fault(
  0x84,
  "SGN.5",
  Q,
  "OOR_ADDRESS",
  "the address of a second-stage request is beyond the smaller of CAP.MGAW and AW",
  ["the device uses a physical address, or a pointer with a tag or a sign, where it should use a mapped one"],
);
export const SGN_6 = fault(
  0x85,
  "SGN.6",
  Q,
  "PERMISSION",
  "a write or atomic request met an entry without write permission",
  READ_ONLY,
);
export const SGN_7 = fault(
  0x86,
  "SGN.7",
  Q,
  "PERMISSION",
  "a read or atomic request met a second-stage entry without read permission",
  READ_ONLY,
);
export const SGN_8_1 = fault(
  0x87,
  "SGN.8.1",
  Q,
  "OOR_ADDRESS",
  "the output address is in the interrupt address range FEEx_xxxxh",
  ["a driver mapped the interrupt addresses as memory"],
);
export const SGN_10 = fault(0x89, "SGN.10", Q, "PASID_INVALID", "the PASID is wider than ECAP.PSS reports");
