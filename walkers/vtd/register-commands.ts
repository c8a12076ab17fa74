/** Register-based invalidation (Intel VT-d 5.10, 6.5.1, and 11.4 under their names): what a write of these registers asks for. */
import { type CommandSet, type CommandSpec, type Problems, readers } from "../commands/command-set.ts";
import type { RegisterCommand } from "../commands/register-command.ts";
import { address, bit, bits, layout, requester } from "../layout.ts";
import { readVtdCaps, type VtdCommandCaps } from "./command-caps.ts";
import {
  checkTranslations,
  contextOperands,
  invalidateContexts,
  invalidateTranslations,
  translationOperands,
} from "./invalidations.ts";
import { TTM_LEGACY } from "./registers.ts";

const SOURCE = "VT-d 5.10, 6.5.1";
/** The last major version of the architecture with registers for invalidations is below this one. */
const QUEUE_ONLY = 6;

const ContextCommandRegister = layout("CCMD_REG", "VT-d 5.10, 11.4 (CCMD_REG)", 8, {
  DID: bits(15, 0, "Domain id"),
  SID: requester(31, 16, "Source id"),
  FM: bits(33, 32, "Function mask", {
    0: "no bit of the function number",
    1: "bit 2 of the function number",
    2: "bits 2:1 of the function number",
    3: "bits 2:0 of the function number",
  }),
  CAIG: bits(60, 59, "Actual granularity, which the hardware writes", {
    1: "global",
    2: "domain-selective",
    3: "device-selective",
  }),
  G: bits(62, 61, "CIRG: requested granularity", {
    1: "global",
    2: "domain-selective",
    3: "device-selective",
  }),
  ICC: bit(63, "Invalidate the context-cache"),
});

/** IOTLB_REG, and IVA_REG behind it, which stands before it in the register file. */
const IotlbInvalidateRegisters = layout("IOTLB_REG and IVA_REG", "VT-d 5.10, 11.4 (IOTLB_REG, IVA_REG)", 16, {
  DID: bits(47, 32, "Domain id"),
  DW: bit(48, "Drain writes"),
  DR: bit(49, "Drain reads"),
  IAIG: bits(58, 57, "Actual granularity, which the hardware writes", {
    1: "global",
    2: "domain-selective",
    3: "page-selective",
  }),
  G: bits(61, 60, "IIRG: requested granularity", { 1: "global", 2: "domain-selective", 3: "page-selective" }),
  IVT: bit(63, "Invalidate the IOTLB"),
  AM: bits(69, 64, "IVA_REG: address mask, 2^AM pages"),
  IH: bit(70, "IVA_REG: invalidation hint: no entry above the last level has changed"),
  ADDR: address(127, 76, "IVA_REG: address"),
});

const ccmd = readers(ContextCommandRegister, ["G", "DID", "SID", "FM"]);
const iotlb = readers(IotlbInvalidateRegisters, ["G", "DW", "DR", "DID", "AM", "IH", "ADDR"]);

const CONTEXT_COMMAND: CommandSpec<VtdCommandCaps> = {
  name: "CCMD_REG",
  layout: ContextCommandRegister,
  fixed: { ICC: 1 },
  coverage: {
    covers:
      "Cached context entries: all; those with the domain id; or those of the source id (FM takes up to three bits of the function number out of the comparison) with the domain id. It is complete when ICC reads as clear.",
    doesNotCover:
      "Translations and paging structures that came from the old context entry: IOTLB_REG must follow, global or of the domain.",
  },
  check(view, caps, problems) {
    checkInterface(caps, problems);
    if (ccmd.G(view, 0) === 0)
      problems.illegal("G", "expected granularity 1 to 3, found 0", ContextCommandRegister.source);
  },
  invalidate: (view, caps, out) => invalidateContexts(ccmd, view, caps, out),
  operands: (view) => contextOperands(ccmd, ContextCommandRegister.fields.G, view),
};

const IOTLB_COMMAND: CommandSpec<VtdCommandCaps> = {
  name: "IOTLB_REG",
  layout: IotlbInvalidateRegisters,
  fixed: { IVT: 1 },
  words: 2,
  coverage: {
    covers:
      "Global: all translations and paging structures. Domain-selective: all with the domain id. Page-selective: those with the domain id whose input address is among the 2^AM pages of IVA_REG; with IH=0 also paging structures for that range. It is complete when IVT reads as clear.",
    doesNotCover:
      "Context entries and device-TLBs. Page-selective leaves those pieces of a larger page that are not among the 2^AM pages, and with IH=1 paging structures above the last level.",
  },
  check(view, caps, problems) {
    checkInterface(caps, problems);
    checkTranslations(iotlb, view, caps, problems, IotlbInvalidateRegisters.source);
  },
  invalidate: (view, caps, out) => invalidateTranslations(iotlb, view, caps, out),
  operands: (view) => translationOperands(iotlb, IotlbInvalidateRegisters.fields.G, view),
};

/** Where the queue is in use, the registers are not to be; and they know nothing of PASIDs. */
function checkInterface(caps: VtdCommandCaps, problems: Problems): void {
  if (caps.queued === 1)
    problems.illegal("", "expected GSTS_REG.QIES to be clear, found queued invalidation enabled", SOURCE);
  if (caps.translationTable > TTM_LEGACY)
    problems.illegal("", `expected RTADDR_REG.TTM 0, found ${caps.translationTable}`, SOURCE);
  if (caps.majorVersion >= QUEUE_ONLY)
    problems.illegal("", `expected a major version below ${QUEUE_ONLY}, found ${caps.majorVersion}`, SOURCE);
}

function setOf(spec: CommandSpec<VtdCommandCaps>, wordCounts: readonly number[]): CommandSet<VtdCommandCaps> {
  return {
    specs: [spec],
    wordCounts,
    reserved: { kind: "reserved", source: spec.layout.source },
    separator: ": ",
    opcode: () => 0,
    find: () => spec,
    unknown: () => {},
    capabilities: readVtdCaps,
    has: () => true,
  };
}

/** ICC and IVT: hardware clears them when the invalidation is complete. */
const requested = (value: { readonly hi: number }) => value.hi < 0;

export const VTD_REGISTER_COMMANDS: Readonly<Record<string, RegisterCommand>> = {
  ccmd: { registers: ["ccmd"], requested, set: setOf(CONTEXT_COMMAND, [1]) },
  iotlb: { registers: ["iotlb", "iva"], requested, set: setOf(IOTLB_COMMAND, [1, 2]) },
};
