import { type Cause, type Fault, type FaultReason, KEPT_BY_DEVICE } from "../fault.ts";
import { EXECUTE, READ, TRANSLATION_REQUEST, UNTRANSLATED, WRITE } from "../request.ts";
import { Cd } from "./cd.ts";
import { Ste } from "./ste.ts";

const STE_VALID = Ste.mask.V.lo;
const CD_VALID = Cd.mask.V.lo;

function event(
  code: number,
  name: string,
  reason: FaultReason,
  section: string,
  text: string,
  causes: readonly Cause[] = [],
  others: readonly FaultReason[] = [],
): Fault {
  return {
    code,
    name,
    reason,
    ...(others.length > 0 ? { others } : {}),
    source: `IHI 0070 ${section}`,
    text,
    causes,
  };
}

const F_UUT = event(
  0x01,
  "F_UUT",
  "UNKNOWN",
  "7.3.2",
  "The bus carried a transaction of a type that the SMMU does not support.",
  [
    "the device, or the interconnect before it, issues transactions that this SMMU is not made for: no table has a part in it",
  ],
);
export const C_BAD_STREAMID = event(
  0x02,
  "C_BAD_STREAMID",
  "SOURCEID_INVALID",
  "7.3.3",
  "The StreamID is outside the stream table, or its level 1 descriptor does not span it.",
  [
    "STRTAB_BASE_CFG.LOG2SIZE is smaller than the StreamID needs",
    "L1STD.Span is 0: no level 2 array was allocated for this bus",
  ],
);
export const F_STE_FETCH = event(
  0x03,
  "F_STE_FETCH",
  "DEVICE_CONTEXT_FETCH",
  "7.3.4",
  "The stream table entry, or the level 1 descriptor before it, could not be read.",
  ["STRTAB_BASE or L1STD.L2Ptr points outside memory"],
);
export const C_BAD_STE = event(
  0x04,
  "C_BAD_STE",
  "BAD_DEVICE_CONTEXT",
  "7.3.5",
  "The stream table entry is not valid, or its configuration is ILLEGAL (5.2.2).",
  [
    { text: "STE.V is 0: no driver has attached the device", entry: { mask: STE_VALID, value: 0 } },
    ...[
      "S2T0SZ, S2SL0 and S2TG do not fit each other",
      "the STE asks for something that the IDR registers do not announce",
    ].map((text) => ({ text, entry: { mask: STE_VALID, value: STE_VALID } })),
  ],
);
export const F_BAD_ATS_TREQ = event(
  0x05,
  "F_BAD_ATS_TREQ",
  "PERMISSION",
  "7.3.6",
  "An ATS translation request came from a stream that may not make them.",
  ["ATS is enabled in the device, and STE.EATS of its stream is 0", "CR0.SMMUEN was 0"],
);
export const F_STREAM_DISABLED = event(
  0x06,
  "F_STREAM_DISABLED",
  "PASID_INVALID",
  "7.3.7",
  "S1DSS refuses transactions without SubstreamID, or keeps substream 0 for them.",
  ["the device issues transactions without PASID while STE.S1DSS is 0", "a transaction used PASID 0"],
);
export const F_TRANSL_FORBIDDEN = event(
  0x07,
  "F_TRANSL_FORBIDDEN",
  "PERMISSION",
  "7.3.8",
  "An ATS translated transaction came from a stream that may not issue them.",
  [
    "the device has ATS switched on (its ATS capability, Enable) while STE.EATS is 0: the firmware or an earlier driver left it so",
    "CR0.ATSCHK is 1 and the stream bypasses translation, which allows no translated transactions",
    "no stream table that is too short: that is C_BAD_STREAMID (0x2)",
  ],
);
export const C_BAD_SUBSTREAMID = event(
  0x08,
  "C_BAD_SUBSTREAMID",
  "PASID_INVALID",
  "7.3.9",
  "The SubstreamID is out of range, its level 1 descriptor is not valid, or the stream has no substreams.",
  ["STE.S1CDMax is 0 or too small", "L1CD.V is 0: no such PASID was ever bound", "stage 1 is not enabled"],
);
export const F_CD_FETCH = event(
  0x09,
  "F_CD_FETCH",
  "PASID_FETCH",
  "7.3.10",
  "The context descriptor, or the level 1 descriptor before it, could not be read.",
  ["STE.S1ContextPtr or L1CD.L2Ptr points outside memory"],
);
export const C_BAD_CD = event(
  0x0a,
  "C_BAD_CD",
  "BAD_PASID_ENTRY",
  "7.3.11",
  "The context descriptor is not valid, or its configuration is ILLEGAL (5.4.2).",
  [
    { text: "CD.V is 0: nothing is bound to this PASID", entry: { mask: CD_VALID, value: 0 } },
    ...[
      "TTB0 or TTB1 is wider than IPS",
      "TxSZ or TGx is out of range",
      "CD.A is 0 though IDR0.TERM_MODEL is 1, or CD.S is 1 though stalls are not supported",
      "CD.AA64 is 0: the descriptor is of other tables, or was written by other bit numbers",
    ].map((text) => ({ text, entry: { mask: CD_VALID, value: CD_VALID } })),
  ],
);
export const F_WALK_EABT = event(
  0x0b,
  "F_WALK_EABT",
  "WALK_EABT",
  "7.3.12",
  "A translation table descriptor could not be read.",
  ["a table address points outside memory", "a table was freed while still in use"],
  ["PGD_FETCH"],
);
export const F_TRANSLATION = event(
  0x10,
  "F_TRANSLATION",
  "PTE_FETCH",
  "7.3.13",
  "The address is outside the range of the tables, or no valid descriptor maps it.",
  [
    {
      text: "the buffer was never mapped, or was unmapped while the device used it",
      at: [UNTRANSLATED, TRANSLATION_REQUEST],
    },
    { text: "EPD0 or EPD1 disables this half", at: [UNTRANSLATED, TRANSLATION_REQUEST] },
    KEPT_BY_DEVICE,
  ],
  ["BAD_PTE", "OOR_ADDRESS", "PERMISSION"],
);
export const F_ADDR_SIZE = event(
  0x11,
  "F_ADDR_SIZE",
  "OOR_ADDRESS",
  "7.3.14",
  "A descriptor's address is wider than IPS or S2PS, or one that bypasses stage 1 is wider than IAS (a stream's bypass: OAS).",
  [
    "a table entry was overwritten, or was written for wider addresses",
    "the device uses an address beyond memory while its stream is not translated",
  ],
);
export const F_ACCESS = event(
  0x12,
  "F_ACCESS",
  "ACCESS",
  "7.3.15",
  "The leaf's access flag is clear, and neither HTTU nor AFFD makes up for it.",
  [
    "software cleared AF to see whether the page is used, and nobody handles the fault or sets it again",
    "CD.HA (STE.S2HA) is 0 while the tables, shared with a processor, rely on hardware that sets AF",
  ],
);
export const F_PERMISSION = event(
  0x13,
  "F_PERMISSION",
  "PERMISSION",
  "7.3.16",
  "The leaf or a table above it does not allow this kind of access.",
  [
    { text: "a write to a read-only mapping", access: WRITE },
    { text: "a read of a write-only mapping (S2AP)", access: READ, stage: 2 },
    { text: "an instruction fetch from a mapping that is execute-never", access: EXECUTE },
    { text: "an unprivileged access to a privileged mapping", stage: 1 },
    KEPT_BY_DEVICE,
  ],
);
const F_TLB_CONFLICT = event(
  0x20,
  "F_TLB_CONFLICT",
  "INTERNAL",
  "7.3.17",
  "More than one TLB entry matched.",
  [
    "a block was replaced by a table, or a table by a block, without break-before-make, and IDR3.BBML is below 2",
    "entries of a contiguous group are not alike, or some of them lack the bit",
  ],
);
const F_CFG_CONFLICT = event(
  0x21,
  "F_CFG_CONFLICT",
  "INTERNAL",
  "7.3.18",
  "More than one cached configuration matched.",
  [
    "STE.CONT spans entries that are not alike",
    "an STE was changed, and not all streams of its span were invalidated",
  ],
);
const E_PAGE_REQUEST = event(
  0x24,
  "E_PAGE_REQUEST",
  "UNKNOWN",
  "7.3.19",
  "Asks software to make a page available; no fault of a transaction.",
);
const F_VMS_FETCH = event(
  0x25,
  "F_VMS_FETCH",
  "DEVICE_CONTEXT_FETCH",
  "7.3.20",
  "The virtual machine structure could not be read.",
  ["STE.VMSPtr points outside memory"],
);

/** Terminations that the specification gives no event: code 0, never recorded. */
export const STE_ABORT: Fault = {
  code: 0,
  name: "STE.Config",
  reason: "BAD_DEVICE_CONTEXT",
  source: "IHI 0070 5.2",
  text: "STE.Config is 0b0xx: the stream's transactions are aborted, and no event is recorded.",
  causes: ["the device is blocked on purpose, for instance while no domain is attached"],
};
export const GBPA_ABORT: Fault = {
  code: 0,
  name: "GBPA.ABORT",
  reason: "UNKNOWN",
  source: "IHI 0070 6.3.14",
  text: "CR0.SMMUEN is 0 and GBPA.ABORT is 1: all transactions are aborted, and no event is recorded.",
  causes: ["the driver has not enabled the SMMU yet, or has shut it down"],
};
export const DISABLED_ADDRESS_SIZE: Fault = {
  code: 0,
  name: "CR0.SMMUEN",
  reason: "OOR_ADDRESS",
  source: "IHI 0070 3.4",
  text: "CR0.SMMUEN is 0 and the address is wider than OAS: aborted, and no event is recorded.",
};

export const SMMUV3_FAULTS: readonly Fault[] = [
  F_UUT,
  C_BAD_STREAMID,
  F_STE_FETCH,
  C_BAD_STE,
  F_BAD_ATS_TREQ,
  F_STREAM_DISABLED,
  F_TRANSL_FORBIDDEN,
  C_BAD_SUBSTREAMID,
  F_CD_FETCH,
  C_BAD_CD,
  F_WALK_EABT,
  F_TRANSLATION,
  F_ADDR_SIZE,
  F_ACCESS,
  F_PERMISSION,
  F_TLB_CONFLICT,
  F_CFG_CONFLICT,
  E_PAGE_REQUEST,
  F_VMS_FETCH,
  STE_ABORT,
  GBPA_ABORT,
  DISABLED_ADDRESS_SIZE,
];
