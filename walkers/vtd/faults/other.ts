/** Faults that no untranslated request meets. */
import { fault, N, Q, TABLE_15, type VtdFault } from "./fault.ts";

/** Faults of interrupt remapping. */
export const VTD_INTERRUPT_FAULTS: readonly VtdFault[] = (
  [
    [0x20, N, "a remappable interrupt request has reserved fields set"],
    [0x21, N, "the interrupt index is beyond the interrupt remapping table"],
    [0x22, Q, "the interrupt remapping table entry is not present"],
    [0x23, N, "the interrupt remapping table entry could not be read"],
    [0x24, Q, "the interrupt remapping table entry has reserved fields set"],
    [0x25, N, "a compatibility format interrupt request is blocked"],
    [0x26, Q, "the source id of an interrupt request is not the one that its entry asks for"],
    [0x27, Q, "the posted interrupt descriptor could not be accessed"],
    [0x28, Q, "the posted interrupt descriptor has reserved fields set"],
    [0x2a, N, "an interrupt request without extended interrupt mode, which the hardware requires"],
    [0x2b, N, "an interrupt request without interrupt remapping, which the hardware requires"],
  ] as const
).map(([code, qualified, text]) =>
  fault(code, `${code.toString(16).toUpperCase()}h`, qualified, "UNKNOWN", text, undefined, TABLE_15),
);

const LEFT_ON = [
  "ATS is switched on in the device, and its context entry does not allow it: the firmware or an earlier driver left it so",
];

// ── Translation requests and translated requests (ATS) ──
export const LCT_5 = fault(
  0xd,
  "LCT.5",
  Q,
  "BAD_DEVICE_CONTEXT",
  "TT blocks translation requests and translated requests",
  LEFT_ON,
);
export const LGN_1_2 = fault(
  0x4,
  "LGN.1.2",
  Q,
  "OOR_ADDRESS",
  "a translated request's address is beyond the host address width",
);
export const SCT_5 = fault(
  0x44,
  "SCT.5",
  Q,
  "BAD_DEVICE_CONTEXT",
  "a translation or translated request, and DTE of the context entry is clear",
  LEFT_ON,
);
export const SCT_10 = fault(
  0x49,
  "SCT.10",
  Q,
  "PASID_INVALID",
  "a translated request with PASID, and EPTR of the context entry is clear",
);
export const SGN_4_1 = fault(
  0x83,
  "SGN.4.1",
  Q,
  "OOR_ADDRESS",
  "a translated request's address is beyond the host address width",
);
export const SGN_8_3 = fault(
  0x87,
  "SGN.8.3",
  Q,
  "OOR_ADDRESS",
  "a translated request's address is in the interrupt address range",
);

/**
 * All that an untranslated request does not meet: those, and what a fault log may hold besides: page requests, host
 * permission tables and interrupt requests, which a trace's requests are not.
 */
export const VTD_OTHER_FAULTS: readonly VtdFault[] = [
  LCT_5,
  LGN_1_2,
  fault(0x32, "RTA.3", N, "BAD_DEVICE_CONTEXT", "a page request in legacy mode"),
  SCT_5,
  fault(0x47, "SCT.8", Q, "BAD_DEVICE_CONTEXT", "a page request, and PRE of the context entry is clear"),
  SCT_10,
  fault(
    0x60,
    "SPT.9",
    Q,
    "OOR_ADDRESS",
    "a translated request's address is beyond the host permission table",
  ),
  fault(0x91, "SFS.10", Q, "INTERNAL", "setting a flag of a first-stage entry failed"),
  fault(0x7d, "SSS.6", Q, "INTERNAL", "setting a flag of a second-stage entry failed"),
  SGN_4_1,
  fault(
    0x87,
    "SGN.8.2",
    Q,
    "OOR_ADDRESS",
    "a translation request's result is in the interrupt address range",
  ),
  SGN_8_3,
  fault(0xa0, "HPT.1", Q, "WALK_EABT", "a host permission table entry could not be read"),
  fault(0xa1, "HPT.2", Q, "BAD_PTE", "a host permission table entry has reserved bits set"),
  fault(0xa2, "HPT.3", Q, "PGD_FETCH", "the top host permission table could not be read"),
  fault(0xa3, "HPT.4", Q, "PTE_FETCH", "a host permission table has no permissions for the page"),
  fault(0xa4, "HPT.5", Q, "PERMISSION", "host permission tables deny writing"),
  fault(0xa5, "HPT.6", Q, "PERMISSION", "host permission tables deny reading"),
  ...VTD_INTERRUPT_FAULTS,
];
