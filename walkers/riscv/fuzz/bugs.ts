import { type Bug, misreading, withoutReserved } from "../../fuzz/bug.ts";
import type { Layout } from "../../layout.ts";
import { Sv32Entry, SvEntry } from "../../page-tables/riscv-sv.ts";
import { DDT_MISCONFIGURED, DDT_NOT_VALID, PDT_MISCONFIGURED, TRANSACTION_DISALLOWED } from "../faults.ts";
import {
  BaseDeviceContext,
  DdtEntry,
  DeviceContextLayout,
  MSIPTP_FLAT,
  MSIPTP_OFF,
  MsiPte,
  PdtEntry,
  ProcessContextLayout,
} from "../layouts.ts";
import { Capabilities } from "../registers.ts";

const SOURCE = "RISC-V IOMMU 1.0";
const PRIVILEGED = "Privileged specification";
const capabilities = (values: Readonly<Record<string, number>>) => ({
  capabilities: { layout: Capabilities, values },
});
/** Both formats of device contexts have the same fields. */
type Reading = number | ((value: bigint) => bigint);
const inContexts = (values: Partial<Record<keyof typeof BaseDeviceContext.fields, Reading>>) => [
  misreading(BaseDeviceContext, values),
  misreading(DeviceContextLayout, values),
];
const RIGHTS = ["R", "W", "X"] as const;
const isPointer = (
  layout: Pick<Layout<(typeof RIGHTS)[number]>, "extract">,
  view: DataView,
  littleEndian: boolean,
) => RIGHTS.every((right) => layout.extract(right, view, 0, littleEndian) === 0n);

/** The same in entries that have one of R, W and X, or none of them: pages and tables may both stand at every level. */
const inEntries = (
  kind: "leaves" | "pointers",
  values: Partial<Record<keyof typeof Sv32Entry.fields, number>>,
) =>
  [Sv32Entry, SvEntry].map((layout) => ({
    layout,
    change: (view: DataView, littleEndian: boolean) => {
      if (isPointer(layout, view, littleEndian) === (kind === "pointers"))
        layout.encode(values, view, 0, littleEndian);
    },
  }));

/** The only bit above the PPN that is left in 64 bits when all that a PTE has from bit 10 on is shifted to its place. */
const PBMT_LOW = 1n << 61n;
const PBMT_BITS = 3n << 61n;
const PPN_TOP = 1n << 53n;

/** A frame has 44 bits here: as far beyond any memory as bit 63 of an address is its bit 55. */
function foldMemoryType(view: DataView, littleEndian: boolean): void {
  const entry = view.getBigUint64(0, littleEndian);
  if ((entry & PBMT_LOW) !== 0n) view.setBigUint64(0, (entry & ~PBMT_BITS) | PPN_TOP, littleEndian);
}

/**
 * Not among them is what no answer shows: who tags global entries with a PSCID drops more than is asked for, and a table
 * beyond capabilities.PAS cannot be read by anybody.
 */
export const RISCV_BUGS: readonly Bug[] = [
  {
    name: "device-context-reserved",
    text: "ignores reserved bits of device contexts",
    source: `${SOURCE}, 2.1.4, rule 1`,
    misreads: [withoutReserved(BaseDeviceContext), withoutReserved(DeviceContextLayout)],
  },
  {
    name: "context-controls",
    text: "ignores SADE, GADE, RCID and MCID, and whether capabilities let them be set",
    source: `${SOURCE}, 2.1.4`,
    misreads: inContexts({ SADE: 0, GADE: 0, RCID: 0, MCID: 0 }),
  },
  {
    name: "directory-reserved",
    text: "ignores reserved bits of non-leaf directory entries",
    source: `${SOURCE}, 2.3.1`,
    misreads: [withoutReserved(DdtEntry), withoutReserved(PdtEntry)],
  },
  {
    name: "process-context-reserved",
    text: "ignores reserved bits of process contexts",
    source: `${SOURCE}, 2.2.4`,
    misreads: [withoutReserved(ProcessContextLayout)],
  },
  {
    name: "page-entry-reserved",
    text: "ignores reserved bits of page-table entries",
    source: `${PRIVILEGED}, Sv39`,
    misreads: [withoutReserved(SvEntry)],
  },
  {
    name: "software-bits-reserved",
    text: "takes bits 60:59 of page-table entries for reserved where capabilities.Svrsw60t59b is 1",
    source: `${SOURCE}, 4.3 and ${PRIVILEGED}, Svrsw60t59b`,
    registers: capabilities({ Svrsw60t59b: 0 }),
  },
  {
    name: "memory-type-address",
    text: "takes PBMT for bits of the address above the PPN, of which 64 bits have one",
    source: `${PRIVILEGED}, Svpbmt`,
    misreads: [{ layout: SvEntry, change: foldMemoryType }],
  },
  {
    name: "napot-pointer",
    text: "ignores N of entries that point to tables",
    source: `${PRIVILEGED}, Svnapot`,
    misreads: [
      {
        layout: SvEntry,
        change: (view, littleEndian) => {
          if (isPointer(SvEntry, view, littleEndian)) SvEntry.encode({ N: 0 }, view, 0, littleEndian);
        },
      },
    ],
  },
  {
    name: "memory-type",
    text: "ignores PBMT where capabilities.Svpbmt is 0",
    source: `${PRIVILEGED}, Svpbmt`,
    misreads: [misreading(SvEntry, { PBMT: 0 })],
  },
  {
    name: "pointer-flags",
    text: "ignores A, D and U of entries that point to tables",
    source: `${PRIVILEGED}, Sv32 and Sv39`,
    misreads: inEntries("pointers", { A: 0, D: 0, U: 0 }),
  },
  {
    name: "accessed",
    text: "takes A and D as set",
    source: `${PRIVILEGED}, Sv32, step 9`,
    misreads: inEntries("leaves", { A: 1, D: 1 }),
  },
  {
    name: "user-pages",
    text: "lets user requests into supervisor pages",
    source: `${PRIVILEGED}, Sv32, step 8`,
    misreads: inEntries("leaves", { U: 1 }),
  },
  {
    name: "write-only",
    text: "takes entries with W and without R for readable",
    source: `${PRIVILEGED}, Sv32, step 3`,
    misreads: [
      {
        layout: SvEntry,
        change: (view, littleEndian) => {
          if (SvEntry.extract("W", view, 0, littleEndian) === 1n)
            SvEntry.encode({ R: 1 }, view, 0, littleEndian);
        },
      },
    ],
  },
  {
    name: "supervisor-requests",
    text: "takes supervisor requests whatever ENS says",
    source: `${SOURCE}, 2.2.4`,
    misreads: [misreading(ProcessContextLayout, { ENS: 1 })],
  },
  {
    name: "supervisor-user",
    text: "lets supervisor requests into user pages whatever SUM says",
    source: `${SOURCE}, 2.2.4`,
    misreads: [misreading(ProcessContextLayout, { SUM: 1 })],
  },
  {
    name: "default-process",
    text: "uses process_id 0 for requests without one, whatever DPE says",
    source: `${SOURCE}, 2.1.3`,
    misreads: inContexts({ DPE: (dpe) => dpe | 1n }),
  },
  {
    name: "fault-records",
    text: "records translation faults whatever DTF says",
    source: `${SOURCE}, 2.1.3`,
    misreads: inContexts({ DTF: 0 }),
  },
  {
    name: "byte-order",
    text: "reads first-stage tables in the byte order of the device directory",
    source: `${SOURCE}, 2.1.3`,
    misreads: inContexts({ SBE: 0 }),
  },
  {
    name: "guest-tag-8-bits",
    text: "tags translations with the low 8 bits of GSCID alone",
    source: `${SOURCE}, 3.1`,
    misreads: inContexts({ GSCID: (id) => id & 0xffn }),
  },
  {
    name: "process-tag-8-bits",
    text: "tags translations with the low 8 bits of PSCID alone",
    source: `${SOURCE}, 3.1`,
    misreads: [
      ...inContexts({ PSCID: (id) => id & 0xffn }),
      misreading(ProcessContextLayout, { PSCID: (id) => id & 0xffn }),
    ],
  },
  {
    name: "updates-anywhere",
    text: "updates A and D whatever SADE and GADE say",
    source: `${SOURCE}, 2.1.3`,
    misreads: inContexts({ SADE: 1, GADE: 1 }),
  },
  {
    name: "any-scheme",
    text: "walks schemes that capabilities do not report",
    source: `${SOURCE}, 2.1.4, rules 10 and 14`,
    registers: capabilities({ Sv39: 1, Sv48: 1, Sv57: 1, Sv39x4: 1, Sv48x4: 1, Sv57x4: 1 }),
  },
  {
    name: "any-process-directory",
    text: "walks process directories that capabilities do not report",
    source: `${SOURCE}, 2.1.4, rule 8`,
    registers: capabilities({ PD8: 1, PD17: 1, PD20: 1 }),
  },
  {
    name: "ats-without-capability",
    text: "takes EN_ATS without capabilities.ATS",
    source: `${SOURCE}, 2.1.4, rule 2`,
    registers: capabilities({ ATS: 1 }),
  },
  {
    name: "ats-anyway",
    text: "takes requests of ATS whatever EN_ATS says",
    source: `${SOURCE}, 2.3, step 7`,
    misreads: inContexts({ EN_ATS: 1 }),
  },
  {
    name: "guest-addresses",
    text: "takes translated addresses for the system's whatever T2GPA says",
    source: `${SOURCE}, 2.1.3, T2GPA`,
    misreads: inContexts({ T2GPA: 0 }),
  },
  {
    name: "message-entry-valid",
    text: "uses MSI page-table entries whose V is 0",
    source: `${SOURCE}, 2.3.3`,
    misreads: [misreading(MsiPte, { V: 1 })],
  },
  {
    name: "message-tables",
    text: "ignores MSI page tables, and what is wrong with their fields but the mode",
    source: `${SOURCE}, 2.1.4 and 2.3.3`,
    misreads: [
      misreading(DeviceContextLayout, {
        msiptp_MODE: (mode) => (mode === BigInt(MSIPTP_FLAT) ? BigInt(MSIPTP_OFF) : mode),
        msi_addr_mask: 0,
        msi_addr_pattern: 0,
      }),
    ],
  },
  {
    name: "misconfigured-as-invalid",
    text: "reports a misconfigured device context as one that is not valid",
    source: `${SOURCE}, 3.2`,
    reports: { [DDT_MISCONFIGURED.name]: DDT_NOT_VALID },
  },
  {
    name: "process-as-transaction",
    text: "reports a misconfigured process context as a transaction that is not allowed",
    source: `${SOURCE}, 3.2`,
    reports: { [PDT_MISCONFIGURED.name]: TRANSACTION_DISALLOWED },
  },
];
