/**
 * Commands of the SMMUv3 as its Non-secure Command queue takes them (Arm IHI 0070, chapter 4). Bits are those that
 * Linux (arm-smmu-v3.h) and QEMU (smmuv3-internal.h) use.
 */

import { alignedRange } from "../commands/address-range.ts";
import { type CommandSet, type CommandSpec, type Problems, readers } from "../commands/command-set.ts";
import { ANY, CONTEXT_CACHE, DEVICE_TLB, NONE, PASID_CACHE } from "../invalidation.ts";
import type { Layout } from "../layout.ts";
import { addressText, hex } from "../word64.ts";
import { readCaps, requires, type Smmuv3CommandCaps } from "./command-caps.ts";
import * as L from "./command-layouts.ts";
import { TLBI_COMMANDS } from "./commands-tlbi.ts";

type Caps = Smmuv3CommandCaps;
type Spec = CommandSpec<Caps>;

// Fields that have the same place in every command that has them.
const op = L.TlbiAll.reader("OP");
const stream = readers(L.AtcInv, ["SSEC", "SSV", "SSID", "SID", "G", "SIZE", "ADDR"]);
const vmid = L.CfgiVmsPidm.reader("VMID");
const leaf = L.CfgiSte.reader("LEAF");
const range = L.CfgiSteRange.reader("RANGE");
const pri = readers(L.PriResp, ["PRGI", "RESP"]);
const resume = readers(L.Resume, ["AC", "AB", "STAG"]);
const sync = readers(L.Sync, ["CS", "MSIDATA"]);
const prefetch = readers(L.PrefetchAddr, ["SIZE", "STRIDE"]);
const dptiAddress = L.DptiPa.reader("ADDR");

/** CMD_CFGI_ALL is CMD_CFGI_STE_RANGE with this range. */
const RANGE_ALL = 31;
/** CMD_ATC_INV: the size that is all addresses. */
const SIZE_ALL = 52;

function sid(view: DataView): string {
  return `SID ${hex(stream.SID(view, 0))}`;
}

function ssid(view: DataView): string {
  return stream.SSV(view, 0) === 0 ? sid(view) : `${sid(view)} SSID ${hex(stream.SSID(view, 0))}`;
}

/** The name of a value's enumerator in a layout, or the value. */
function named<F extends string>(layout: Layout<F>, field: F, value: number): string {
  return layout.fields[field].values?.[value] ?? String(value);
}

function checkSecurity(view: DataView, problems: Problems): void {
  if (stream.SSEC(view, 0) !== 0)
    problems.illegal("SSEC", "expected 0 on the Non-secure Command queue, found 1", "IHI 0070, 4.1.6");
}

function checkStream(view: DataView, caps: Caps, problems: Problems, substream: boolean): void {
  checkSecurity(view, problems);
  if (stream.SID(view, 0) >= 2 ** caps.sidBits)
    problems.unpredictable(
      "SID",
      `expected ${caps.sidBits} bits, as IDR1.SIDSIZE says, found ${hex(stream.SID(view, 0))}`,
      "IHI 0070, 4.1.7",
    );
  if (substream && stream.SSID(view, 0) >= 2 ** caps.ssidBits)
    problems.unpredictable(
      "SSID",
      `expected ${caps.ssidBits} bits, as IDR1.SSIDSIZE says, found ${hex(stream.SSID(view, 0))}`,
      "IHI 0070, 4.1.7",
    );
}

const LEAF_TABLES = "; with Leaf=0 also the L1";

const specs: readonly Spec[] = [
  {
    name: "CMD_PREFETCH_CONFIG",
    layout: L.PrefetchConfig,
    fixed: { OP: 0x01 },
    coverage: { covers: "Nothing: it is a hint.", doesNotCover: "Every cache." },
    check: (view, caps, problems) => checkStream(view, caps, problems, stream.SSV(view, 0) !== 0),
    operands: ssid,
  },
  {
    name: "CMD_PREFETCH_ADDR",
    layout: L.PrefetchAddr,
    fixed: { OP: 0x02 },
    coverage: { covers: "Nothing: it is a hint.", doesNotCover: "Every cache." },
    check: (view, caps, problems) => checkStream(view, caps, problems, stream.SSV(view, 0) !== 0),
    operands(view) {
      const addr = addressText(stream.ADDR(view, 0));
      return `${ssid(view)} addr ${addr} Size ${prefetch.SIZE(view, 0)} Stride ${prefetch.STRIDE(view, 0)}`;
    },
  },
  {
    name: "CMD_CFGI_STE",
    layout: L.CfgiSte,
    fixed: { OP: 0x03 },
    coverage: {
      covers: `The STE of the StreamID and all CDs (L1 CD tables too) cached for it${LEAF_TABLES} stream table entries on the way to it.`,
      doesNotCover:
        "TLB entries that the old STE or CDs made, and ATCs. With Leaf=1, L1 stream table entries stay.",
    },
    check: (view, caps, problems) => checkStream(view, caps, problems, false),
    invalidate(view, _caps, out) {
      out.caches = CONTEXT_CACHE | PASID_CACHE;
      out.onDevice(stream.SID(view, 0));
      out.leafOnly = leaf(view, 0) !== 0;
      return true;
    },
    operands: (view) => sid(view) + (leaf(view, 0) === 0 ? "" : " leaf"),
  },
  {
    name: "CMD_CFGI_STE_RANGE",
    layout: L.CfgiSteRange,
    fixed: { OP: 0x04 },
    coverage: {
      covers:
        "STEs, CDs and the L1 tables on the way to them, of the 2^(Range+1) StreamIDs around the given one, aligned to their number.",
      doesNotCover: "TLB entries that the old configuration made, and ATCs.",
    },
    check(view, caps, problems) {
      checkStream(view, caps, problems, false);
    },
    invalidate(view, _caps, out) {
      out.caches = CONTEXT_CACHE | PASID_CACHE;
      out.onDevice(stream.SID(view, 0), (2 ** (range(view, 0) + 1) - 1) | 0);
      return true;
    },
    operands: (view) => `${sid(view)} Range ${range(view, 0)}`,
  },
  {
    name: "CMD_CFGI_ALL",
    layout: L.CfgiSteRange,
    source: "IHI 0070, 4.3.6",
    fixed: { OP: 0x04, RANGE: RANGE_ALL },
    coverage: {
      covers: "All STEs, CDs, L1 tables on the way to them, and VMS information, of all StreamIDs.",
      doesNotCover: "TLB entries and ATCs.",
    },
    // The StreamID does not matter here (4.3.6).
    check: (view, _caps, problems) => checkSecurity(view, problems),
    invalidate(_view, _caps, out) {
      out.caches = CONTEXT_CACHE | PASID_CACHE;
      return true;
    },
  },
  {
    name: "CMD_CFGI_CD",
    layout: L.CfgiCd,
    fixed: { OP: 0x05 },
    coverage: {
      covers: `The CD with the index SubstreamID in the table of the StreamID (0 also for a stream without substreams)${LEAF_TABLES} CD table entry on the way to it.`,
      doesNotCover:
        "The STE, TLB entries of the CD's ASID, ATCs, and the same CD cached through another StreamID. With Leaf=1, the L1 CD table entry stays.",
    },
    check(view, caps, problems) {
      requires(caps.s1p, "IDR0.S1P", problems, "IHI 0070, 4.3.3");
      checkStream(view, caps, problems, true);
    },
    invalidate(view, _caps, out) {
      out.caches = PASID_CACHE;
      out.onDevice(stream.SID(view, 0));
      out.onPasid(stream.SSID(view, 0));
      out.leafOnly = leaf(view, 0) !== 0;
      return true;
    },
    operands: (view) => `${sid(view)} SSID ${hex(stream.SSID(view, 0))}${leaf(view, 0) === 0 ? "" : " leaf"}`,
  },
  {
    name: "CMD_CFGI_CD_ALL",
    layout: L.CfgiCdAll,
    fixed: { OP: 0x06 },
    coverage: {
      covers: "All CDs and L1 CD table entries cached for the StreamID.",
      doesNotCover: "The STE, TLB entries of the ASIDs, ATCs, and CDs cached through another StreamID.",
    },
    check(view, caps, problems) {
      requires(caps.s1p, "IDR0.S1P", problems, "IHI 0070, 4.3.4");
      checkStream(view, caps, problems, false);
    },
    invalidate(view, _caps, out) {
      out.caches = PASID_CACHE;
      out.onDevice(stream.SID(view, 0));
      return true;
    },
    operands: sid,
  },
  {
    name: "CMD_CFGI_VMS_PIDM",
    layout: L.CfgiVmsPidm,
    fixed: { OP: 0x07 },
    coverage: {
      covers: "The PARTID map of the VMID where a cache keeps it by VMID.",
      doesNotCover: "STEs, CDs, TLB entries, ATCs.",
    },
    check(view, caps, problems) {
      requires(caps.mpam, "IDR3.MPAM", problems, "IHI 0070, 4.3.5");
      checkSecurity(view, problems);
    },
    operands: (view) => `VMID ${vmid(view, 0)}`,
  },
  ...TLBI_COMMANDS,
  {
    name: "CMD_ATC_INV",
    layout: L.AtcInv,
    fixed: { OP: 0x40 },
    coverage: {
      covers:
        "Translations in the ATC of the device, in 2^Size aligned pages: of the SubstreamID (SSV=1), of all SubstreamIDs (SSV=1, G=1), or of requests without one (SSV=0).",
      doesNotCover:
        "Every cache of the SMMU: its TLB must be invalidated, and a CMD_SYNC be complete, before.",
    },
    check(view, caps, problems) {
      requires(caps.ats, "IDR0.ATS", problems, "IHI 0070, 4.5.1");
      checkStream(view, caps, problems, stream.SSV(view, 0) !== 0);
      const size = stream.SIZE(view, 0);
      if (size > SIZE_ALL)
        problems.unpredictable("SIZE", `expected at most ${SIZE_ALL}, found ${size}`, "IHI 0070, 4.5.1");
    },
    invalidate(view, _caps, out) {
      out.caches = DEVICE_TLB;
      out.onDevice(stream.SID(view, 0));
      const global = stream.G(view, 0) !== 0;
      out.onPasid(stream.SSV(view, 0) === 0 ? NONE : global ? ANY : stream.SSID(view, 0));
      alignedRange(out, stream.ADDR(view, 0), stream.SIZE(view, 0));
      return true;
    },
    operands(view) {
      const global = stream.G(view, 0) === 0 ? "" : " G";
      return `${ssid(view)}${global} addr ${addressText(stream.ADDR(view, 0))} Size ${stream.SIZE(view, 0)}`;
    },
  },
  {
    name: "CMD_PRI_RESP",
    layout: L.PriResp,
    fixed: { OP: 0x41 },
    coverage: { covers: "Nothing: it answers a page request.", doesNotCover: "Every cache." },
    check(view, caps, problems) {
      requires(caps.pri, "IDR0.PRI", problems, "IHI 0070, 4.5.2");
      checkStream(view, caps, problems, stream.SSV(view, 0) !== 0);
      if (pri.RESP(view, 0) === 3) problems.illegal("RESP", "expected 0 to 2, found 3", "IHI 0070, 4.5.2");
    },
    operands: (view) =>
      `${ssid(view)} PRGIndex ${pri.PRGI(view, 0)} ${named(L.PriResp, "RESP", pri.RESP(view, 0))}`,
  },
  {
    name: "CMD_RESUME",
    layout: L.Resume,
    fixed: { OP: 0x44 },
    coverage: { covers: "Nothing: it ends a stall.", doesNotCover: "Every cache." },
    check(view, caps, problems) {
      requires(caps.stall, "the stall model", problems, "IHI 0070, 4.7.1");
      checkStream(view, caps, problems, false);
    },
    operands(view) {
      const action = resume.AC(view, 0) !== 0 ? "retry" : resume.AB(view, 0) !== 0 ? "abort" : "terminate";
      return `${sid(view)} STAG ${hex(resume.STAG(view, 0))} ${action}`;
    },
  },
  {
    name: "CMD_STALL_TERM",
    layout: L.StallTerm,
    fixed: { OP: 0x45 },
    coverage: { covers: "Nothing: it terminates what is stalled.", doesNotCover: "Every cache." },
    check(view, caps, problems) {
      requires(caps.stall, "the stall model", problems, "IHI 0070, 4.7.2");
      checkStream(view, caps, problems, false);
    },
    operands: sid,
  },
  {
    name: "CMD_SYNC",
    layout: L.Sync,
    fixed: { OP: 0x46 },
    completion: true,
    coverage: {
      covers: "Nothing itself: it completes when all commands before it have, ATC invalidations included.",
      doesNotCover: "Commands after it.",
    },
    check(view, _caps, problems) {
      if (sync.CS(view, 0) === 3) problems.illegal("CS", "expected 0 to 2, found 3", "IHI 0070, 4.7.3");
    },
    operands(view) {
      const cs = sync.CS(view, 0);
      const msi = L.Sync.extract("MSIADDR", view, 0) << 2n;
      const to = cs === 1 && msi !== 0n ? ` MSI ${hex(sync.MSIDATA(view, 0))} to ${hex(msi)}` : "";
      return named(L.Sync, "CS", cs) + to;
    },
  },
  {
    name: "CMD_DPTI_ALL",
    layout: L.DptiAll,
    fixed: { OP: 0x70 },
    coverage: {
      covers: "All device permission table information.",
      doesNotCover: "STEs, CDs, TLB entries, ATCs.",
    },
    check: (_view, caps, problems) => requires(caps.dpt, "IDR3.DPT", problems, "IHI 0070, 4.6.1"),
  },
  {
    name: "CMD_DPTI_PA",
    layout: L.DptiPa,
    fixed: { OP: 0x73 },
    coverage: {
      covers: "Device permission table information of a range of physical addresses.",
      doesNotCover: "STEs, CDs, TLB entries, ATCs.",
    },
    check: (_view, caps, problems) => requires(caps.dpt, "IDR3.DPT", problems, "IHI 0070, 4.6.2"),
    operands: (view) => `addr ${addressText(dptiAddress(view, 0))}`,
  },
];

/** Commands of revision H.a that belong to structures that nothing here walks. */
const LATER_COMMANDS: Readonly<Record<number, string>> = {
  8: "CMD_CFGI_CIT",
  9: "CMD_CFGI_VSTT_VSID",
  10: "CMD_CFGI_VSTT",
};

const byOpcode = new Map(specs.filter((s) => s.name !== "CMD_CFGI_ALL").map((s) => [s.fixed.OP, s]));
const cfgiAll = specs.find((s) => s.name === "CMD_CFGI_ALL")!;

export const SMMUV3_COMMANDS: CommandSet<Caps> = {
  specs,
  wordCounts: [2],
  reserved: { kind: "reserved", source: "IHI 0070, 4.1.5" },
  separator: " ",
  opcode: (view) => op(view, 0),
  find(view) {
    const spec = byOpcode.get(op(view, 0)) ?? null;
    return spec?.layout === L.CfgiSteRange && range(view, 0) === RANGE_ALL ? cfgiAll : spec;
  },
  unknown(view, problems) {
    const code = op(view, 0);
    const later = LATER_COMMANDS[code];
    if (later !== undefined || (code >= 0x80 && code <= 0x8f))
      problems.unpredictable(
        "",
        `expected a command that is known here, found ${hex(code)}, ${later ?? "IMPLEMENTATION DEFINED"}`,
        "IHI 0070, 4.1.1",
      );
    else problems.illegal("", `expected a command, found Reserved opcode ${hex(code)}`, "IHI 0070, 4.1.1");
  },
  capabilities: readCaps,
  has(caps, capability) {
    return capability === "RIL" ? caps.ril : capability === "DS" ? caps.ds : caps.d128;
  },
};
