/**
 * Commands of AMD-Vi's command buffer (AMD 48882, 2.4): 16 bytes each, opcode in bits 63:60. Bits are those that Linux
 * (drivers/iommu/amd/iommu.c) and QEMU (hw/i386/amd_iommu.c) use.
 */

import { alignedRange, FRAME_BITS, sizeInAddress } from "../commands/address-range.ts";
import { type CommandSet, type CommandSpec, readers } from "../commands/command-set.ts";
import {
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
import { address, bit, bits, type LayoutField, layout, requester, split } from "../layout.ts";
import { addressText, hex } from "../word64.ts";
import { ExtendedFeatureRegister } from "./registers.ts";

const BYTES = 16;
const OP = bits(63, 60, "Opcode");
const DEVID = requester(15, 0, "DeviceID");
const GUESTID = "GuestID";
const S = bit(64, "Size stands in the address");
const GN = bit(66, "Address is a guest virtual one, of the PASID", { needs: "GTSUP" });
const ADDR = address(127, 76, "Address");

function command<F extends string>(
  name: string,
  section: string,
  fields: { readonly [K in F]: LayoutField },
) {
  return layout(name, `AMD 48882, ${section}`, BYTES, { OP, ...fields });
}

const CompletionWait = command("COMPLETION_WAIT", "2.4.1", {
  S: bit(0, "Store the data when complete"),
  I: bit(1, "Interrupt when complete"),
  F: bit(2, "Flush the queue: later commands wait for this one"),
  STADDR: address(51, 3, "Store address"),
  STDATA: bits(127, 64, "Store data"),
});
const InvalidateDevtabEntry = command("INVALIDATE_DEVTAB_ENTRY", "2.4.2", { DEVID });
const InvalidateIommuPages = command("INVALIDATE_IOMMU_PAGES", "2.4.3", {
  PASID: bits(19, 0, "PASID"),
  DOMID: bits(47, 32, "DomainID"),
  S,
  PDE: bit(65, "Page directory entries too"),
  GN,
  ADDR,
});
const InvalidateIotlbPages = command("INVALIDATE_IOTLB_PAGES", "2.4.4", {
  DEVID,
  PASID: split(
    [
      [59, 56],
      [23, 16],
      [55, 48],
    ],
    "PASID",
  ),
  MAXPEND: bits(31, 24, "Invalidations that the device may have pending"),
  QUEUEID: bits(47, 32, "DeviceID of the queue that pending ones count on"),
  S,
  GN,
  TYPE: bits(69, 68, "Type"),
  ADDR,
});
const InvalidateInterruptTable = command("INVALIDATE_INTERRUPT_TABLE", "2.4.5", { DEVID });
const PrefetchIommuPages = command("PREFETCH_IOMMU_PAGES", "2.4.6", {
  DEVID,
  PFCOUNT: bits(31, 24, "Number of translations"),
  PASID: bits(51, 32, "PASID"),
  S,
  GN,
  INVAL: bit(68, "Invalidate what is cached first"),
  ADDR,
});
const CompletePprRequest = command("COMPLETE_PPR_REQUEST", "2.4.7", {
  DEVID,
  PASID: bits(51, 32, "PASID"),
  GN,
  TAG: bits(111, 96, "Completion tag"),
});
const InvalidateIommuAll = command("INVALIDATE_IOMMU_ALL", "2.4.8", {});
const InsertGuestEvent = command("INSERT_GUEST_EVENT", "2.4.9", {
  GUESTID: bits(47, 32, GUESTID),
});
const ResetVmmio = command("RESET_VMMIO", "2.4.10", {
  GUESTID: bits(15, 0, GUESTID),
  ALL: bit(28, "All registers"),
  VCMD: bit(31, "The guest's command buffer registers"),
});

/** What the rules ask of an IOMMU. Unknown: whatever refuses nothing. */
export class AmdViCommandCaps {
  guestTranslation = true;
  prefetch = true;
  pageRequests = true;
  invalidateAll = true;
  pasidBits = 20;
}

const op = InvalidateIommuAll.reader("OP");
const wait = readers(CompletionWait, ["S", "I", "F"]);
const devid = InvalidateDevtabEntry.reader("DEVID");
const pages = readers(InvalidateIommuPages, ["PASID", "DOMID", "S", "PDE", "GN", "ADDR"]);
const iotlb = readers(InvalidateIotlbPages, ["PASID", "MAXPEND", "QUEUEID", "S", "GN", "TYPE", "ADDR"]);
const prefetch = readers(PrefetchIommuPages, ["PFCOUNT", "PASID", "S", "GN", "INVAL", "ADDR"]);
const ppr = readers(CompletePprRequest, ["PASID", "GN", "TAG"]);
const guest = InsertGuestEvent.reader("GUESTID");
const reset = readers(ResetVmmio, ["GUESTID", "ALL", "VCMD"]);

/**
 * With the lowest zero bit of the address at bit 51 or above (order 40 of 4 KiB and up), everything is meant
 * (48882, 2.2.3, example page size encodings: an address of 7_FFFF_FFFF_F000h).
 */
const EVERYTHING = 40;

/** S=0: one page. S=1: the size is in the address. */
function range(out: Invalidation, frame: number, s: number): void {
  const order = s === 0 ? 0 : sizeInAddress(frame);
  alignedRange(out, frame, order >= EVERYTHING ? FRAME_BITS : order);
}

function guestOperand(gn: number, pasid: number): string {
  return gn === 0 ? "" : ` PASID ${hex(pasid)} GN`;
}

const NOTHING = { doesNotCover: "Every cache that DMA uses." } as const;

const specs: readonly CommandSpec<AmdViCommandCaps>[] = [
  {
    name: "COMPLETION_WAIT",
    layout: CompletionWait,
    fixed: { OP: 1 },
    completion: true,
    coverage: {
      covers: "Nothing itself: it completes when all commands before it have.",
      doesNotCover: "Commands after it, unless F=1.",
    },
    operands(view) {
      const flags = (["S", "I", "F"] as const).filter((f) => wait[f](view, 0) !== 0).join(" ");
      if (wait.S(view, 0) === 0) return flags;
      const to = hex(CompletionWait.extract("STADDR", view, 0) << 3n);
      return `${flags} store ${hex(CompletionWait.extract("STDATA", view, 0))} to ${to}`;
    },
  },
  {
    name: "INVALIDATE_DEVTAB_ENTRY",
    layout: InvalidateDevtabEntry,
    fixed: { OP: 2 },
    coverage: {
      covers: "The cached device table entry of the DeviceID.",
      doesNotCover:
        "Translations and guest CR3 table entries of the domain that the old entry named, interrupt tables, the device's own IOTLB.",
    },
    invalidate(view, _caps, out) {
      out.caches = CONTEXT_CACHE;
      out.onDevice(devid(view, 0));
      return true;
    },
    operands: (view) => `DeviceID ${hex(devid(view, 0))}`,
  },
  {
    name: "INVALIDATE_IOMMU_PAGES",
    layout: InvalidateIommuPages,
    fixed: { OP: 3 },
    coverage: {
      covers:
        "GN=0: host translations of the domain for the page (S=0) or the aligned range whose size the lowest zero bit of the address gives (S=1), and what was made from them. GN=1: guest translations of the domain and the PASID for that range. PDE=1: page directory entries too, and with GN=1 the guest CR3 table entry of the PASID.",
      doesNotCover:
        "Device table entries, other domains, with GN=1 other PASIDs, and IOTLBs in devices. With PDE=0, page directory entries stay.",
    },
    check(view, caps, problems) {
      const pasid = pages.PASID(view, 0);
      const gn = pages.GN(view, 0);
      if (gn !== 0 && pasid >= 2 ** caps.pasidBits)
        problems.illegal(
          "PASID",
          `expected ${caps.pasidBits} bits, as EFR.PASmax says, found ${hex(pasid)}`,
          "AMD 48882, 2.4.3",
        );
    },
    invalidate(view, _caps, out) {
      out.caches = IOTLB | PAGING_STRUCTURES;
      out.onDomain(pages.DOMID(view, 0));
      if (pages.GN(view, 0) !== 0) {
        out.stage = FIRST_STAGE;
        if (pages.PDE(view, 0) !== 0) out.caches |= PASID_CACHE;
        out.onPasid(pages.PASID(view, 0));
      } else {
        out.stage = SECOND_STAGE;
        out.combined = COMBINED_BY_ADDRESS;
      }
      if (pages.PDE(view, 0) === 0) out.onLeaves();
      range(out, pages.ADDR(view, 0), pages.S(view, 0));
      return true;
    },
    operands(view) {
      const flags = (["S", "PDE"] as const).map((f) => (pages[f](view, 0) === 0 ? "" : ` ${f}`)).join("");
      const guest = guestOperand(pages.GN(view, 0), pages.PASID(view, 0));
      return `DomainID ${hex(pages.DOMID(view, 0))}${guest} addr ${addressText(pages.ADDR(view, 0))}${flags}`;
    },
  },
  {
    name: "INVALIDATE_IOTLB_PAGES",
    layout: InvalidateIotlbPages,
    fixed: { OP: 4 },
    coverage: {
      covers:
        "Translations in the IOTLB of the device: for requests without PASID (GN=0) or of the PASID (GN=1), of the page or the range whose size stands in the address.",
      doesNotCover: "Every cache of the IOMMU: INVALIDATE_IOMMU_PAGES must come first.",
    },
    invalidate(view, _caps, out) {
      out.caches = DEVICE_TLB;
      out.onDevice(devid(view, 0));
      out.onPasid(iotlb.GN(view, 0) === 0 ? NONE : iotlb.PASID(view, 0));
      range(out, iotlb.ADDR(view, 0), iotlb.S(view, 0));
      return true;
    },
    operands(view) {
      const size = iotlb.S(view, 0) === 0 ? "" : " S";
      const guest = guestOperand(iotlb.GN(view, 0), iotlb.PASID(view, 0));
      const queue = `QueueID ${hex(iotlb.QUEUEID(view, 0))} MaxPend ${iotlb.MAXPEND(view, 0)}`;
      return `DeviceID ${hex(devid(view, 0))}${guest} addr ${addressText(iotlb.ADDR(view, 0))}${size} ${queue}`;
    },
  },
  {
    name: "INVALIDATE_INTERRUPT_TABLE",
    layout: InvalidateInterruptTable,
    fixed: { OP: 5 },
    coverage: { covers: "Cached interrupt table entries of the DeviceID.", ...NOTHING },
    operands: (view) => `DeviceID ${hex(devid(view, 0))}`,
  },
  {
    name: "PREFETCH_IOMMU_PAGES",
    layout: PrefetchIommuPages,
    fixed: { OP: 6 },
    coverage: {
      covers: "Nothing that is relied on here: it is a hint, also with Inval=1.",
      doesNotCover: "Every cache.",
    },
    check(_view, caps, problems) {
      if (!caps.prefetch)
        problems.illegal("OP", "expected an IOMMU with EFR.PreFSup, found one without", "AMD 48882, 2.4.6");
    },
    operands(view) {
      const guest = guestOperand(prefetch.GN(view, 0), prefetch.PASID(view, 0));
      const flags = (["S", "INVAL"] as const)
        .map((f) => (prefetch[f](view, 0) === 0 ? "" : f === "S" ? " S" : " Inval"))
        .join("");
      return `DeviceID ${hex(devid(view, 0))}${guest} addr ${addressText(prefetch.ADDR(view, 0))}${flags} PFCount ${prefetch.PFCOUNT(view, 0)}`;
    },
  },
  {
    name: "COMPLETE_PPR_REQUEST",
    layout: CompletePprRequest,
    fixed: { OP: 7 },
    coverage: { covers: "Nothing: it answers a peripheral page request.", ...NOTHING },
    check(_view, caps, problems) {
      if (!caps.pageRequests)
        problems.illegal("OP", "expected an IOMMU with EFR.PPRSup, found one without", "AMD 48882, 2.4.7");
    },
    operands(view) {
      const guest = guestOperand(ppr.GN(view, 0), ppr.PASID(view, 0));
      return `DeviceID ${hex(devid(view, 0))}${guest} tag ${hex(ppr.TAG(view, 0))}`;
    },
  },
  {
    name: "INVALIDATE_IOMMU_ALL",
    layout: InvalidateIommuAll,
    fixed: { OP: 8 },
    coverage: {
      covers:
        "Everything that the IOMMU caches: device table entries, guest CR3 table entries, translations, page directory entries, interrupt tables.",
      doesNotCover: "IOTLBs in devices.",
    },
    check(_view, caps, problems) {
      if (!caps.invalidateAll)
        problems.illegal("OP", "expected an IOMMU with EFR.IASup, found one without", "AMD 48882, 2.4.8");
    },
    invalidate(_view, _caps, out) {
      out.caches = CONTEXT_CACHE | PASID_CACHE | IOTLB | PAGING_STRUCTURES;
      return true;
    },
  },
  {
    name: "INSERT_GUEST_EVENT",
    layout: InsertGuestEvent,
    fixed: { OP: 9 },
    coverage: { covers: "Nothing: it hands an event to a guest.", ...NOTHING },
    operands: (view) => `GuestID ${hex(guest(view, 0))}`,
  },
  {
    name: "RESET_VMMIO",
    layout: ResetVmmio,
    fixed: { OP: 10 },
    coverage: { covers: "Nothing: it resets a guest's registers.", ...NOTHING },
    operands(view) {
      const all = reset.ALL(view, 0) === 0 ? "" : " All";
      return `GuestID ${hex(reset.GUESTID(view, 0))}${all}${reset.VCMD(view, 0) === 0 ? "" : " Vcmd"}`;
    },
  },
];

const byOpcode = new Map(specs.map((spec) => [spec.fixed.OP, spec]));

export const AMD_VI_COMMANDS: CommandSet<AmdViCommandCaps> = {
  specs,
  wordCounts: [2],
  // Reserved bits that are set end in ILLEGAL_COMMAND_ERROR.
  reserved: { kind: "illegal", source: "AMD 48882, 2.5.6" },
  separator: " ",
  opcode: (view) => op(view, 0),
  find: (view) => byOpcode.get(op(view, 0)) ?? null,
  unknown(view, problems) {
    problems.illegal("", `expected an opcode 1h to Ah, found ${hex(op(view, 0))}`, "AMD 48882, 2.4");
  },
  capabilities(state) {
    const caps = new AmdViCommandCaps();
    const feature = (field: keyof typeof ExtendedFeatureRegister.fields, absent: number) =>
      state.capability("efr", ExtendedFeatureRegister, field, absent);
    caps.guestTranslation = feature("GTSUP", 1) !== 0;
    caps.prefetch = feature("PREFSUP", 1) !== 0;
    caps.pageRequests = feature("PPRSUP", 1) !== 0;
    caps.invalidateAll = feature("IASUP", 1) !== 0;
    caps.pasidBits = state.property("pasid_bits") ?? feature("PASMAX", 19) + 1;
    return caps;
  },
  has: (caps) => caps.guestTranslation,
};
