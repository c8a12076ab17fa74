/** Rules, coverage and syntax of the descriptors of VT-d's invalidation queue (Intel VT-d 5.10, 6.5.2). */

import { alignedRange, NO_SIZE, sizeInAddress } from "../commands/address-range.ts";
import { type CommandSet, type CommandSpec, type Problems, readers } from "../commands/command-set.ts";
import {
  ANY,
  DEVICE_TLB,
  FIRST_STAGE,
  type Invalidation,
  IOTLB,
  NONE,
  PAGING_STRUCTURES,
  PASID_CACHE,
} from "../invalidation.ts";
import { addressText, hex } from "../word64.ts";
import { readVtdCaps, type VtdCommandCaps } from "./command-caps.ts";
import {
  ContextCacheInvalidate,
  DeviceTlbInvalidate,
  HptCacheInvalidate,
  InterruptEntryCacheInvalidate,
  InvalidationWait,
  IotlbInvalidate,
  PageGroupResponse,
  PasidCacheInvalidate,
  PasidDeviceTlbInvalidate,
  PasidIotlbInvalidate,
} from "./command-layouts.ts";
import {
  checkTranslations,
  contextOperands,
  GLOBAL,
  granularity,
  invalidateContexts,
  invalidateTranslations,
  PAGE,
  pageOperands,
  pageRange,
  translationOperands,
} from "./invalidations.ts";
import { TTM_LEGACY } from "./registers.ts";

const cc = readers(ContextCacheInvalidate, ["G", "DID", "SID", "FM"]);
const pc = readers(PasidCacheInvalidate, ["G", "DID", "PASID"]);
const iotlb = readers(IotlbInvalidate, ["G", "DW", "DR", "DID", "AM", "IH", "ADDR"]);
const piotlb = readers(PasidIotlbInvalidate, ["G", "DID", "PASID", "AM", "IH", "ADDR"]);
const dtlb = readers(DeviceTlbInvalidate, ["MIP", "SID", "PFSID", "S", "ADDR"]);
const pdtlb = readers(PasidDeviceTlbInvalidate, ["MIP", "SID", "PASID", "PFSID", "G", "S", "ADDR"]);
const hpt = readers(HptCacheInvalidate, ["G", "HPTDID", "AM", "IH", "ADDR"]);
const iec = readers(InterruptEntryCacheInvalidate, ["G", "IM", "IIDX"]);
const wait = readers(InvalidationWait, ["IF", "SW", "FN", "PD", "STDATA"]);
const pgr = readers(PageGroupResponse, ["PP", "RC", "RID", "PASID", "LPIG", "PRGI"]);
const typeOf = IotlbInvalidate.reader("TYPE");

/** Descriptor types of legacy mode: up to the invalidation wait. */
const LEGACY_TYPES = 5;
const PIOTLB_PASID = 2;
const PC_DOMAIN = 0;
const PC_PASID = 1;
const PC_RESERVED = 2;
const PC_GLOBAL = 3;

const specs: readonly CommandSpec<VtdCommandCaps>[] = [
  {
    name: "context-cache invalidate",
    layout: ContextCacheInvalidate,
    fixed: { TYPE: 1 },
    coverage: {
      covers:
        "Cached context entries: all; those with the domain id; or those of the source id (FM takes up to three bits of the function number out of the comparison) with the domain id. Scalable mode knows no domain ids here: domain-selective is global, and device-selective ignores them.",
      doesNotCover:
        "PASID entries, translations and paging structures that came from the old context entry: PASID-cache and IOTLB invalidations must follow.",
    },
    check(view, _caps, problems) {
      if (cc.G(view, 0) === 0)
        problems.illegal("G", "expected granularity 1 to 3, found 0", "VT-d 5.10, 6.5.2.1");
    },
    invalidate(view, caps, out) {
      return invalidateContexts(cc, view, caps, out);
    },
    operands(view) {
      return contextOperands(cc, ContextCacheInvalidate.fields.G, view);
    },
  },
  {
    name: "IOTLB invalidate",
    layout: IotlbInvalidate,
    fixed: { TYPE: 2 },
    coverage: {
      covers:
        "Global: all translations and paging structures. Domain-selective: all with the domain id, whatever the stage and the PASID. Page-selective: second-stage and pass-through entries with the domain id whose input address is among the 2^AM pages, and all first-stage and nested entries with the domain id, their paging structures included, whatever their address; with IH=0 also second-stage paging structures for that range.",
      doesNotCover:
        "Context entries, PASID entries and device-TLBs. Page-selective leaves those pieces of a larger page that are not among the 2^AM pages, and with IH=1 second-stage paging structures above the last level.",
    },
    check(view, caps, problems) {
      checkTranslations(iotlb, view, caps, problems, "VT-d 5.10, 6.5.2.3");
    },
    invalidate(view, caps, out) {
      return invalidateTranslations(iotlb, view, caps, out);
    },
    operands(view) {
      return translationOperands(iotlb, IotlbInvalidate.fields.G, view);
    },
  },
  {
    name: "device-TLB invalidate",
    layout: DeviceTlbInvalidate,
    fixed: { TYPE: 3 },
    coverage: {
      covers:
        "Translations that the device got for requests without PASID and keeps itself: a page (S=0), or the naturally aligned range whose size the lowest zero bit of the address gives (S=1).",
      doesNotCover:
        "Translations with PASID, and every cache of the IOMMU: the IOTLB must be invalidated first, or the device may fetch the old translation again.",
    },
    check(_view, caps, problems) {
      checkDeviceTlb(caps, problems, "VT-d 5.10, 6.5.2.5");
    },
    invalidate(view, _caps, out) {
      out.caches = DEVICE_TLB;
      out.onDevice(dtlb.SID(view, 0));
      out.onPasid(NONE);
      deviceRange(out, dtlb.ADDR(view, 0), dtlb.S(view, 0));
      return true;
    },
    operands(view) {
      return `SID ${hex(dtlb.SID(view, 0))}, addr ${addressText(dtlb.ADDR(view, 0))}, S ${dtlb.S(view, 0)}, MIP ${dtlb.MIP(view, 0)}`;
    },
  },
  {
    name: "interrupt entry cache invalidate",
    layout: InterruptEntryCacheInvalidate,
    fixed: { TYPE: 4 },
    coverage: {
      covers: "Cached interrupt remapping entries: all, or 2^IM from the index on.",
      doesNotCover: "Anything that DMA uses.",
    },
    check(view, caps, problems) {
      const im = iec.IM(view, 0);
      if (iec.G(view, 0) === 1 && im > caps.mhmv)
        problems.illegal(
          "IM",
          `expected at most ECAP_REG.MHMV, ${caps.mhmv}, found ${im}`,
          "VT-d 5.10, 6.5.2.8 and ECAP_REG",
        );
    },
    operands(view) {
      return iec.G(view, 0) === 0
        ? "global"
        : `index-selective, index ${iec.IIDX(view, 0)}, IM ${iec.IM(view, 0)}`;
    },
  },
  {
    name: "invalidation wait",
    layout: InvalidationWait,
    fixed: { TYPE: 5 },
    completion: true,
    coverage: {
      covers: "Nothing itself: it completes when all invalidations before it have.",
      doesNotCover: "Descriptors after it, unless FN=1.",
    },
    operands(view) {
      const flags = (["IF", "SW", "FN", "PD"] as const).map((f) => `${f} ${wait[f](view, 0)}`).join(", ");
      if (wait.SW(view, 0) === 0) return flags;
      const to = InvalidationWait.extract("STADDR", view, 0) << 2n;
      return `${flags}, status ${hex(wait.STDATA(view, 0))} to ${hex(to)}`;
    },
  },
  {
    name: "PASID-based-IOTLB invalidate",
    layout: PasidIotlbInvalidate,
    fixed: { TYPE: 6 },
    words: 4,
    coverage: {
      covers:
        "PASID-selective: all translations with domain id and PASID, whatever the stage, and their first-stage paging structures. Page-selective-within-PASID: first-stage and nested ones whose input address is among the 2^AM pages; with IH=0 also their paging structures.",
      doesNotCover:
        "PASID entries, device-TLBs, other PASIDs of the domain, second-stage paging structures. Page-selective leaves second-stage and pass-through entries, pieces of a larger page that are not among the 2^AM pages, and with IH=1 paging structures above the last level.",
    },
    check(view, _caps, problems) {
      const g = piotlb.G(view, 0);
      if (g < PIOTLB_PASID)
        problems.illegal("G", `expected granularity 2 or 3, found ${g}`, "VT-d 5.10, 6.5.2.4");
    },
    invalidate(view, caps, out) {
      const g = piotlb.G(view, 0);
      out.caches = IOTLB | PAGING_STRUCTURES;
      out.onDomain(piotlb.DID(view, 0) & caps.domainMask);
      out.onPasid(piotlb.PASID(view, 0));
      if (g === PAGE) {
        out.stage = FIRST_STAGE;
        if (piotlb.IH(view, 0) !== 0) out.onLeaves();
        pageRange(out, piotlb.ADDR(view, 0), piotlb.AM(view, 0));
      }
      return g >= PIOTLB_PASID;
    },
    operands(view) {
      const g = piotlb.G(view, 0);
      const tags = `, DID ${piotlb.DID(view, 0)}, PASID ${piotlb.PASID(view, 0)}`;
      const page = g === PAGE ? pageOperands(piotlb, view) : "";
      return granularity(PasidIotlbInvalidate.fields.G, g) + tags + page;
    },
  },
  {
    name: "PASID-cache invalidate",
    layout: PasidCacheInvalidate,
    fixed: { TYPE: 7 },
    words: 4,
    coverage: {
      covers:
        "Cached PASID entries: all; those with the domain id; or those with domain id and PASID, of all devices.",
      doesNotCover:
        "Translations that came from the old PASID entry (a PASID-based-IOTLB or IOTLB invalidation must follow), context entries and device-TLBs.",
    },
    check(view, _caps, problems) {
      if (pc.G(view, 0) === PC_RESERVED)
        problems.illegal("G", "expected granularity 0, 1 or 3, found 2", "VT-d 5.10, 6.5.2.2");
    },
    invalidate(view, caps, out) {
      const g = pc.G(view, 0);
      out.caches = PASID_CACHE;
      if (g === PC_DOMAIN || g === PC_PASID) out.onDomain(pc.DID(view, 0) & caps.domainMask);
      if (g === PC_PASID) out.onPasid(pc.PASID(view, 0));
      return g !== PC_RESERVED;
    },
    operands(view) {
      const g = pc.G(view, 0);
      const did = g === PC_GLOBAL ? "" : `, DID ${pc.DID(view, 0)}`;
      return `${granularity(PasidCacheInvalidate.fields.G, g)}${did}${g === PC_PASID ? `, PASID ${pc.PASID(view, 0)}` : ""}`;
    },
  },
  {
    name: "PASID-based-device-TLB invalidate",
    layout: PasidDeviceTlbInvalidate,
    fixed: { TYPE: 8 },
    words: 4,
    coverage: {
      covers:
        "Translations with the PASID (G=0) or with any (G=1) that the device keeps itself: a page, or with S=1 the range whose size stands in the address.",
      doesNotCover: "Translations for requests without PASID, and every cache of the IOMMU.",
    },
    check(_view, caps, problems) {
      checkDeviceTlb(caps, problems, "VT-d 5.10, 6.5.2.6");
    },
    invalidate(view, _caps, out) {
      out.caches = DEVICE_TLB;
      out.onDevice(pdtlb.SID(view, 0));
      out.onPasid(pdtlb.G(view, 0) === 1 ? ANY : pdtlb.PASID(view, 0));
      deviceRange(out, pdtlb.ADDR(view, 0), pdtlb.S(view, 0));
      return true;
    },
    operands(view) {
      return `SID ${hex(pdtlb.SID(view, 0))}, PASID ${pdtlb.PASID(view, 0)}, G ${pdtlb.G(view, 0)}, addr ${addressText(pdtlb.ADDR(view, 0))}, S ${pdtlb.S(view, 0)}, MIP ${pdtlb.MIP(view, 0)}`;
    },
  },
  {
    name: "HPT cache invalidate",
    layout: HptCacheInvalidate,
    fixed: { TYPE: 10 },
    words: 4,
    coverage: {
      covers:
        "Cached host permission table entries, which translated requests alone use: all, those of the HPT domain id, or those for the 2^AM pages of host addresses.",
      doesNotCover: "Everything that untranslated requests use.",
    },
    check(view, caps, problems) {
      if (!caps.hostPermissions)
        problems.illegal(
          "",
          "expected ECAP_REG.HPTS for HPT cache invalidations, found an IOMMU without",
          "VT-d 5.10, 6.5.2.7",
        );
      if (hpt.G(view, 0) === 0)
        problems.illegal("G", "expected granularity 1 to 3, found 0", "VT-d 5.10, 6.5.2.7");
    },
    operands(view) {
      const g = hpt.G(view, 0);
      const did = g > GLOBAL ? `, HPTDID ${hpt.HPTDID(view, 0)}` : "";
      return granularity(HptCacheInvalidate.fields.G, g) + did + (g === PAGE ? pageOperands(hpt, view) : "");
    },
  },
  {
    name: "page group response",
    layout: PageGroupResponse,
    fixed: { TYPE: 9 },
    words: 4,
    coverage: { covers: "Nothing: it answers a page request.", doesNotCover: "Every cache." },
    operands(view) {
      const pasid = pgr.PP(view, 0) === 1 ? `, PASID ${pgr.PASID(view, 0)}` : "";
      return `RID ${hex(pgr.RID(view, 0))}${pasid}, PRGI ${pgr.PRGI(view, 0)}, RC ${pgr.RC(view, 0)}`;
    },
  },
];

const byType = new Map(specs.map((spec) => [spec.fixed.TYPE, spec]));

export const VTD_COMMANDS: CommandSet<VtdCommandCaps> = {
  specs,
  wordCounts: [2, 4],
  // A reserved field that is not zero stops the queue (IQE), 6.5.2.11.
  reserved: { kind: "illegal", source: "VT-d 5.10, 6.5.2.11" },
  separator: ": ",
  opcode: (view) => typeOf(view, 0),
  find: (view) => byType.get(typeOf(view, 0)) ?? null,
  unknown(view, problems) {
    problems.illegal(
      "",
      `expected a descriptor type 1h to Ah, found ${hex(typeOf(view, 0))}`,
      "VT-d 5.10, 6.5.2",
    );
  },
  capabilities: readVtdCaps,
  has(caps, capability) {
    return capability === "DIT" ? caps.throttle : caps.pageRequestDrain;
  },
  /**
   * Table 26: the types that each mode takes. The width is IQA_REG.DW's, which a trace does not have: of a 256-bit
   * descriptor many logs keep the first 128 bits, and zeros that fill up a 128-bit one do no harm.
   */
  checkAll(view, words, caps, problems) {
    const source = "VT-d 5.10, 6.5.2.11, Table 26";
    const mode = caps.translationTable;
    if (words === 4 && caps.scalableSupport === 0 && !isZero(view, UPPER_HALF))
      problems.illegal("", "expected 128 bits without ECAP_REG.SMTS, found 256", "VT-d 5.10, IQA_REG.DW");
    const type = typeOf(view, 0);
    if (mode === TTM_LEGACY && type > LEGACY_TYPES)
      problems.illegal("TYPE", `expected a type 1h to 5h in legacy mode, found ${hex(type)}`, source);
  },
};

/** Where the second half of a 256-bit descriptor begins. */
const UPPER_HALF = 16;

function isZero(view: DataView, from: number): boolean {
  for (let at = from; at < view.byteLength; at++) if (view.getUint8(at) !== 0) return false;
  return true;
}

function checkDeviceTlb(caps: VtdCommandCaps, problems: Problems, source: string): void {
  if (!caps.deviceTlb)
    problems.illegal("", "expected ECAP_REG.DT for device-TLB invalidations, found an IOMMU without", source);
}

/** S=0: one page. S=1: the size is in the address (PCIe ATS, Translation Range Size); all ones is everything. */
function deviceRange(out: Invalidation, frame: number, s: number): void {
  const order = s === 0 ? 0 : sizeInAddress(frame);
  alignedRange(out, frame, order === NO_SIZE ? order - 1 : order);
}
