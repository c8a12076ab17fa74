/** Commands of the RISC-V IOMMU's command queue (RISC-V IOMMU Architecture 1.0, Command-Queue): 16 bytes each. */

import { alignedRange, FRAME_BITS, NO_SIZE, sizeInAddress } from "../commands/address-range.ts";
import { type CommandSet, type CommandSpec, type Problems, readers } from "../commands/command-set.ts";
import {
  ANY,
  COMBINED_BY_ADDRESS,
  CONTEXT_CACHE,
  DEVICE_TLB,
  FIRST_STAGE,
  type Invalidation,
  IOTLB,
  NONE,
  PAGING_STRUCTURES,
  PASID_CACHE,
  SECOND_STAGE,
} from "../invalidation.ts";
import { address, bit, bits, frame, ignored, type LayoutField, layout } from "../layout.ts";
import { NAPOT_64K_SHIFT } from "../page-tables/riscv-sv.ts";
import type { IommuState } from "../registers.ts";
import { addressText, hex } from "../word64.ts";
import {
  Capabilities,
  DDTP_1LVL,
  DDTP_2LVL,
  DDTP_3LVL,
  DeviceDirectoryPointer,
  FeaturesControl,
} from "./registers.ts";

const BYTES = 16;
const OPCODE = bits(6, 0, "Opcode", { 1: "IOTINVAL", 2: "IOFENCE", 3: "IODIR", 4: "ATS" });
const FUNC3 = bits(9, 7, "Function");
const INVALIDATION_SECTION = "IOMMU Page-Table cache invalidation commands";
const FENCE_SECTION = "IOMMU Command-queue Fence commands";
const DIRECTORY_SECTION = "IOMMU directory cache invalidation commands";
const ATS_SECTION = "IOMMU PCIe ATS commands";

function source(section: string): string {
  return `RISC-V IOMMU 1.0, ${section}`;
}

function command<F extends string>(
  name: string,
  section: string,
  fields: { readonly [K in F]: LayoutField },
) {
  return layout(name, source(section), BYTES, { OPCODE, FUNC3, ...fields });
}

export const Iotinval = command("IOTINVAL", INVALIDATION_SECTION, {
  AV: bit(10, "ADDR is valid"),
  PSCID: bits(31, 12, "Process soft-context id"),
  PSCV: bit(32, "PSCID is valid"),
  GV: bit(33, "GSCID is valid"),
  NL: bit(34, "Non-leaf entries too", { needs: "NL" }),
  GSCID: bits(59, 44, "Guest soft-context id"),
  S: bit(73, "Size stands in the address", { needs: "S" }),
  ADDR: frame(125, 74, "IOVA (VMA) or guest-physical address (GVMA)"),
});
const IofenceC = command("IOFENCE.C", FENCE_SECTION, {
  AV: bit(10, "ADDR and DATA are valid"),
  WSI: bit(11, "Wire-signaled interrupt when complete", { needs: "WSI" }),
  PR: bit(12, "Previous reads are ordered"),
  PW: bit(13, "Previous writes are ordered"),
  DATA: bits(63, 32, "Data"),
  ADDR: bits(125, 64, "Address, bits 63:2"),
});
const IodirInvalDdt = command("IODIR.INVAL_DDT", DIRECTORY_SECTION, {
  DV: bit(33, "DID is valid"),
  DID: bits(63, 40, "Device id"),
});
const IodirInvalPdt = command("IODIR.INVAL_PDT", DIRECTORY_SECTION, {
  PID: bits(31, 12, "Process id"),
  DV: bit(33, "DID is valid"),
  DID: bits(63, 40, "Device id"),
});
/** The payload is the body of a PCIe message: the IOMMU does not look at what is reserved in it. */
const AtsInval = command("ATS.INVAL", ATS_SECTION, {
  PID: bits(31, 12, "Process id"),
  PV: bit(32, "PID is valid"),
  DSV: bit(33, "DSEG is valid"),
  RID: bits(55, 40, "Requester id"),
  DSEG: bits(63, 56, "Destination segment"),
  G: bit(64, "All PASIDs"),
  MESSAGE: ignored(74, 65, "Reserved in the message"),
  S: bit(75, "Size stands in the address"),
  ADDR: address(127, 76, "Untranslated address"),
});
const AtsPrgr = command("ATS.PRGR", ATS_SECTION, {
  PID: bits(31, 12, "Process id"),
  PV: bit(32, "PID is valid"),
  DSV: bit(33, "DSEG is valid"),
  RID: bits(55, 40, "Requester id"),
  DSEG: bits(63, 56, "Destination segment"),
  MESSAGE_LOW: ignored(95, 64, "Reserved in the message"),
  PRGI: bits(104, 96, "Page request group index"),
  MESSAGE_MIDDLE: ignored(107, 105, "Reserved in the message"),
  CODE: bits(111, 108, "Response code", { 0: "Success", 1: "Invalid Request", 15: "Response Failure" }),
  MESSAGE_HIGH: ignored(127, 112, "Reserved in the message"),
});

/** What the rules ask of an IOMMU. Unknown: whatever refuses nothing. */
class RiscvCommandCaps {
  nonLeaf = true;
  range = true;
  ats = true;
  wiredInterrupts = true;
  pidBits = 20;
  didBits = 24;
}

type Caps = RiscvCommandCaps;

const opcode = Iotinval.reader("OPCODE");
const func3 = Iotinval.reader("FUNC3");
const inval = readers(Iotinval, ["AV", "PSCID", "PSCV", "GV", "NL", "GSCID", "S", "ADDR"]);
const fence = readers(IofenceC, ["AV", "WSI", "PR", "PW", "DATA"]);
const dir = readers(IodirInvalPdt, ["PID", "DV", "DID"]);
const ats = readers(AtsInval, ["PID", "PV", "DSV", "RID", "DSEG", "G", "S", "ADDR"]);
const prgr = readers(AtsPrgr, ["PRGI", "CODE"]);

/** Address and range of an IOTINVAL with AV=1. All ones with S=1 is UNSPECIFIED; the range is then everything. */
function addressRange(view: DataView, caps: Caps, out: Invalidation): void {
  const at = inval.ADDR(view, 0);
  const ranged = caps.range && inval.S(view, 0) !== 0;
  alignedRange(out, at, ranged ? Math.min(sizeInAddress(at), FRAME_BITS) : 0);
  // Privileged specification, Svnapot: a range may be held in pieces, so that all of its pages are to be named.
  out.inPieces = true;
  out.piecesOf = NAPOT_64K_SHIFT;
  if (!(caps.nonLeaf && inval.NL(view, 0) !== 0)) out.onLeaves();
}

/** @param used whether this command uses the address at all */
function checkAddress(view: DataView, caps: Caps, used: boolean, problems: Problems): void {
  if (used && caps.range && inval.S(view, 0) !== 0 && sizeInAddress(inval.ADDR(view, 0)) === NO_SIZE)
    problems.unpredictable(
      "ADDR",
      "expected a zero bit that says the size (S=1), found all ones",
      source("Address Range Invalidation Extension"),
    );
}

function invalOperands(view: DataView): string {
  const parts: string[] = [];
  if (inval.GV(view, 0) !== 0) parts.push(`GSCID ${hex(inval.GSCID(view, 0))}`);
  if (inval.PSCV(view, 0) !== 0) parts.push(`PSCID ${hex(inval.PSCID(view, 0))}`);
  if (inval.AV(view, 0) !== 0) parts.push(`addr ${addressText(inval.ADDR(view, 0))}`);
  for (const flag of ["S", "NL"] as const) if (inval[flag](view, 0) !== 0) parts.push(flag);
  return parts.join(" ");
}

function checkDevice(view: DataView, caps: Caps, problems: Problems): void {
  const did = dir.DID(view, 0);
  if (dir.DV(view, 0) !== 0 && did >= 2 ** caps.didBits)
    problems.illegal(
      "DID",
      `expected ${caps.didBits} bits, as ddtp.iommu_mode says, found ${hex(did)}`,
      source(DIRECTORY_SECTION),
    );
}

function checkAts(_view: DataView, caps: Caps, problems: Problems): void {
  if (!caps.ats)
    problems.illegal("OPCODE", "expected capabilities.ATS, found an IOMMU without", source(ATS_SECTION));
}

/** Without DSV the segment is that of the IOMMU: the device id is the requester id. */
function destination(view: DataView): number {
  return ats.DSV(view, 0) === 0 ? ats.RID(view, 0) : ats.DSEG(view, 0) * 2 ** 16 + ats.RID(view, 0);
}

function atsTarget(view: DataView): string {
  const segment = ats.DSV(view, 0) === 0 ? "" : ` DSEG ${hex(ats.DSEG(view, 0))}`;
  const process = ats.PV(view, 0) === 0 ? "" : ` PID ${hex(ats.PID(view, 0))}`;
  return `RID ${hex(ats.RID(view, 0))}${segment}${process}`;
}

const specs: readonly CommandSpec<Caps>[] = [
  {
    name: "IOTINVAL.VMA",
    layout: Iotinval,
    fixed: { OPCODE: 1, FUNC3: 0 },
    coverage: {
      covers:
        "First-stage entries: of the host (GV=0: those whose second stage is Bare) or of the GSCID (GV=1); all of them, those of the PSCID (PSCV=1), and with AV=1 only leaf entries for the address, or with S=1 for the range whose size it gives; with NL=1 also non-leaf entries for it.",
      doesNotCover:
        "With PSCV=1, global entries. With AV=1 and NL=0, non-leaf entries. Second-stage entries, the directory caches, ATCs.",
    },
    check: (view, caps, problems) => checkAddress(view, caps, inval.AV(view, 0) !== 0, problems),
    invalidate(view, caps, out) {
      out.caches = IOTLB | PAGING_STRUCTURES;
      out.stage = FIRST_STAGE;
      out.onDomain(inval.GV(view, 0) === 0 ? NONE : inval.GSCID(view, 0));
      if (inval.PSCV(view, 0) !== 0) out.onAsid(inval.PSCID(view, 0), false);
      if (inval.AV(view, 0) !== 0) addressRange(view, caps, out);
      return true;
    },
    operands: invalOperands,
  },
  {
    name: "IOTINVAL.GVMA",
    layout: Iotinval,
    fixed: { OPCODE: 1, FUNC3: 1 },
    coverage: {
      covers:
        "Second-stage information, also that in entries that both stages made: of all guests (GV=0, whatever AV says), of the GSCID (GV=1), and with GV=1 and AV=1 only leaf entries for the guest-physical address or range; with NL=1 also non-leaf entries for it.",
      doesNotCover:
        "Host address spaces, first-stage information that is kept apart, the directory caches, ATCs. With an address and NL=0, non-leaf entries.",
    },
    check(view, caps, problems) {
      if (inval.PSCV(view, 0) !== 0)
        problems.illegal("PSCV", "expected 0 with IOTINVAL.GVMA, found 1", source(INVALIDATION_SECTION));
      checkAddress(view, caps, inval.GV(view, 0) !== 0 && inval.AV(view, 0) !== 0, problems);
    },
    invalidate(view, caps, out) {
      out.caches = IOTLB | PAGING_STRUCTURES;
      out.stage = SECOND_STAGE;
      out.combined = COMBINED_BY_ADDRESS;
      if (inval.GV(view, 0) === 0) return true;
      out.onDomain(inval.GSCID(view, 0));
      if (inval.AV(view, 0) !== 0) addressRange(view, caps, out);
      return true;
    },
    operands: invalOperands,
  },
  {
    name: "IOFENCE.C",
    layout: IofenceC,
    fixed: { OPCODE: 2, FUNC3: 0 },
    completion: true,
    coverage: {
      covers: "Nothing itself: it completes when all commands before it have, ATS.INVAL included.",
      doesNotCover: "Commands after it.",
    },
    operands(view) {
      const flags = (["PR", "PW", "WSI"] as const).filter((f) => fence[f](view, 0) !== 0).join(" ");
      if (fence.AV(view, 0) === 0) return flags;
      const to = hex(IofenceC.extract("ADDR", view, 0) << 2n);
      return `${flags} store ${hex(fence.DATA(view, 0))} to ${to}`.trim();
    },
  },
  {
    name: "IODIR.INVAL_DDT",
    layout: IodirInvalDdt,
    fixed: { OPCODE: 3, FUNC3: 0 },
    coverage: {
      covers:
        "DV=1: the leaf device directory entry of the DID and all process directory entries of it. DV=0: all device and process directory entries.",
      doesNotCover: "Translations that the old context made, ATCs. With DV=1, non-leaf directory entries.",
    },
    check: checkDevice,
    invalidate(view, _caps, out) {
      out.caches = CONTEXT_CACHE | PASID_CACHE;
      if (dir.DV(view, 0) === 0) return true;
      out.onDevice(dir.DID(view, 0));
      out.leafOnly = true;
      return true;
    },
    operands: (view) => (dir.DV(view, 0) === 0 ? "" : `DID ${hex(dir.DID(view, 0))}`),
  },
  {
    name: "IODIR.INVAL_PDT",
    layout: IodirInvalPdt,
    fixed: { OPCODE: 3, FUNC3: 1 },
    coverage: {
      covers: "The leaf process directory entry of the PID below the DID.",
      doesNotCover:
        "The device directory entry, non-leaf process directory entries, translations that the old context made, ATCs.",
    },
    check(view, caps, problems) {
      if (dir.DV(view, 0) === 0)
        problems.illegal("DV", "expected 1 with IODIR.INVAL_PDT, found 0", source(DIRECTORY_SECTION));
      checkDevice(view, caps, problems);
      const pid = dir.PID(view, 0);
      if (pid >= 2 ** caps.pidBits)
        problems.illegal(
          "PID",
          `expected ${caps.pidBits} bits, as capabilities say, found ${hex(pid)}`,
          source(DIRECTORY_SECTION),
        );
    },
    invalidate(view, _caps, out) {
      out.caches = PASID_CACHE;
      out.onDevice(dir.DID(view, 0));
      out.onPasid(dir.PID(view, 0));
      out.leafOnly = true;
      return dir.DV(view, 0) !== 0;
    },
    operands: (view) => `DID ${hex(dir.DID(view, 0))} PID ${hex(dir.PID(view, 0))}`,
  },
  {
    name: "ATS.INVAL",
    layout: AtsInval,
    fixed: { OPCODE: 4, FUNC3: 0 },
    coverage: {
      covers:
        "Translations in the ATC of the device: of the PID (PV=1), of all processes (PV=1, G=1), or of requests without one (PV=0); for a page or the range whose size stands in the address.",
      doesNotCover: "Every cache of the IOMMU: IOTINVAL must come first.",
    },
    check: checkAts,
    invalidate(view, _caps, out) {
      out.caches = DEVICE_TLB;
      out.onDevice(destination(view));
      out.onPasid(ats.PV(view, 0) === 0 ? NONE : ats.G(view, 0) !== 0 ? ANY : ats.PID(view, 0));
      const at = ats.ADDR(view, 0);
      alignedRange(out, at, ats.S(view, 0) === 0 ? 0 : Math.min(sizeInAddress(at), FRAME_BITS));
      return true;
    },
    operands(view) {
      const flags = (["G", "S"] as const).map((f) => (ats[f](view, 0) === 0 ? "" : ` ${f}`)).join("");
      return `${atsTarget(view)} addr ${addressText(ats.ADDR(view, 0))}${flags}`;
    },
  },
  {
    name: "ATS.PRGR",
    layout: AtsPrgr,
    fixed: { OPCODE: 4, FUNC3: 1 },
    coverage: { covers: "Nothing: it answers a page request.", doesNotCover: "Every cache." },
    check: checkAts,
    operands(view) {
      const code = prgr.CODE(view, 0);
      return `${atsTarget(view)} PRGI ${prgr.PRGI(view, 0)} ${AtsPrgr.fields.CODE.values?.[code] ?? `code ${code}`}`;
    },
  },
];

/** Functions of an opcode. */
const FUNCTIONS = 8;
const byFunction = new Map(specs.map((s) => [s.fixed.OPCODE! * FUNCTIONS + s.fixed.FUNC3!, s]));

export const RISCV_COMMANDS: CommandSet<Caps> = {
  specs,
  wordCounts: [2],
  // A reserved bit that is set makes a command illegal: cqcsr.cmd_ill.
  reserved: { kind: "illegal", source: source("Command-Queue (CQ)") },
  separator: " ",
  opcode: (view) => opcode(view, 0),
  find: (view) => byFunction.get(opcode(view, 0) * FUNCTIONS + func3(view, 0)) ?? null,
  unknown(view, problems) {
    const code = opcode(view, 0);
    const found = `opcode ${code}, func3 ${func3(view, 0)}`;
    if (code >= 64)
      problems.unpredictable(
        "OPCODE",
        `expected a standard command, found custom ${found}`,
        this.reserved.source,
      );
    else problems.illegal("OPCODE", `expected a defined command, found ${found}`, this.reserved.source);
  },
  capabilities: readCaps,
  has(caps, capability) {
    return capability === "NL" ? caps.nonLeaf : capability === "S" ? caps.range : caps.wiredInterrupts;
  },
};

function readCaps(state: IommuState): RiscvCommandCaps {
  const caps = new RiscvCommandCaps();
  const feature = (field: keyof typeof Capabilities.fields, absent: number) =>
    state.capability("capabilities", Capabilities, field, absent);
  caps.nonLeaf = feature("NL", 1) !== 0;
  caps.range = feature("S", 1) !== 0;
  caps.ats = feature("ATS", 1) !== 0;
  caps.wiredInterrupts = state.field("fctl", FeaturesControl, "WSI", 1) !== 0;
  caps.pidBits = feature("PD20", 1) !== 0 ? 20 : feature("PD17", 1) !== 0 ? 17 : 8;
  // A device context of the extended format (MSI_FLAT) takes twice the room: one bit less in the last level.
  const extended = feature("MSI_FLAT", 0) !== 0;
  const mode = state.field("ddtp", DeviceDirectoryPointer, "iommu_mode", DDTP_3LVL);
  if (mode === DDTP_1LVL) caps.didBits = extended ? 6 : 7;
  else if (mode === DDTP_2LVL) caps.didBits = extended ? 15 : 16;
  return caps;
}
