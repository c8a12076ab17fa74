import { DeviceTableEntry } from "../../walkers/amd-vi/device-table-entry.ts";
import {
  FLAG_PE,
  FLAG_PR,
  FLAG_RW,
  FLAG_RZ,
  InvalidDeviceRequestEvent,
} from "../../walkers/amd-vi/events.ts";
import {
  ILLEGAL_DEV_TABLE_ENTRY,
  INVALID_DEVICE_REQUEST,
  IO_PAGE_FAULT,
} from "../../walkers/amd-vi/faults.ts";
import { causesOf, type Fault, hasCode } from "../../walkers/fault.ts";
import { ExtendedCapabilityRegister } from "../../walkers/vtd/registers.ts";
import type { AmdDetails, IommuEvent, LoggedFault } from "./iommu-events.ts";
import { nativeRecord } from "./native-record.ts";
import { isPageFault } from "./page-faults.ts";
import type { VtdDump } from "./vtd-dump.ts";

/** VT-d faults of entries that are not present, or were read in another state than the tables show. */
const VTD_ROOT_NOT_PRESENT = 0x1;
/** What else a log says of the machine. */
export interface MachineFacts {
  readonly units: readonly Extract<IommuEvent, { kind: "unit" }>[];
  readonly reserved: readonly Extract<IommuEvent, { kind: "reserved" }>[];
}

/** The integrated graphics of Intel's processors. */
const INTEL_GRAPHICS = "00:02.0";
/** A driver that hands out no address leaves a device with this one. */
const NULL_PAGE = 4096n;

/**
 * What most often brings a fault about where this device, address and machine are what the log says: the most
 * specific first, then what `explain` says of the code.
 * @param outcome what a walk of the printed tables ends in, null where it does not fault
 */
export function likelyCauses(
  fault: LoggedFault,
  meanings: readonly Fault[],
  groups: MachineFacts,
  outcome: Fault | null | undefined,
): string[] {
  const general = (outcome && meanings.includes(outcome) ? [outcome] : meanings).flatMap((meaning) =>
    causesOf(meaning),
  );
  // Where the tables show what the fault says, the IOMMU read what the CPU had written.
  const tables = outcome?.code === fault.code ? [] : ofTables(fault, groups, outcome);
  const special = [...ofAddress(fault, groups), ...ofGraphics(fault, groups), ...ofStart(fault)];
  const usual = ofAmdEvent(fault, general);
  return [
    ...new Set(outcome === undefined ? [...special, ...usual, ...tables] : [...tables, ...special, ...usual]),
  ];
}

/** The declarations of a fault code: several conditions may share it. */
export function meaningsOf(faults: readonly Fault[], { code }: LoggedFault): readonly Fault[] {
  return code === undefined ? [] : faults.filter((fault) => hasCode(fault) && fault.code === code);
}

function ofAddress(fault: LoggedFault, { reserved }: Pick<MachineFacts, "reserved">): string[] {
  const { addr } = fault;
  if (addr === undefined) return [];
  if (addr < NULL_PAGE && isPageFault(fault))
    return [
      "the address is 0 or next to it: the device was given none, or still has one from before a reset",
    ];
  const region = reserved.find(({ base, end }) => addr >= base && addr <= end);
  return region === undefined
    ? []
    : [
        `the address lies in memory that the firmware reserved for a device (RMRR 0x${region.base.toString(16)}-0x${region.end.toString(16)}): it must be mapped one to one for that device, and is not, or not for this one`,
      ];
}

function ofGraphics(
  { model, dev, text }: LoggedFault,
  { reserved }: Pick<MachineFacts, "reserved">,
): string[] {
  if (model !== "intel" || dev === undefined || !dev.endsWith(INTEL_GRAPHICS) || text.startsWith("SM: TTM"))
    return [];
  const rmrr = reserved.length === 0 ? ", and the log shows no RMRR" : "";
  return [
    `the integrated graphics still scans out of, or was set up by the firmware with, its own (stolen) memory, which needs an RMRR in the firmware's DMAR table${rmrr}; compare with intel_iommu=igfx_off`,
  ];
}

function ofTables(
  { model, code, vtd }: LoggedFault,
  { units }: Pick<MachineFacts, "units">,
  outcome: Fault | null | undefined,
): string[] {
  const causes: string[] = [];
  const coherent = model === "intel" ? coherence(units, vtd) : true;
  if (coherent !== true && code !== undefined && code >= FIRST_SCALABLE)
    causes.push(
      coherent === false
        ? "this unit does not snoop the CPU's caches when it reads tables (ECAP.C=0): the driver owes a cache flush (clflush) after it wrote the entry"
        : "the IOMMU read something else than the CPU had written: where a unit does not snoop (ECAP.C=0, which the boot log shows), the driver owes a cache flush (clflush) after it wrote the entry",
    );
  if (outcome === null)
    causes.push(
      "the entry was written after the IOMMU had read it, without the invalidation, or the cache flush, that was owed",
    );
  return causes;
}

function ofStart({ model, code }: LoggedFault): string[] {
  return model === "intel" && code === VTD_ROOT_NOT_PRESENT
    ? [
        "the device was active when translation was switched on: the firmware, or the kernel before (kexec), had started it",
      ]
    : [];
}

/** Scalable-mode faults begin here (VT-d 5.10, Table 30). */
const FIRST_SCALABLE = 0x30;
const snoops = ExtendedCapabilityRegister.reader("C");

/** Whether a unit's page walks are coherent; undefined where the log does not say, or units differ. */
function coherence(units: MachineFacts["units"], vtd: VtdDump | undefined): boolean | undefined {
  const own = units.filter(
    ({ model, iommu }) => model === "intel" && (vtd === undefined || iommu === vtd.iommu),
  );
  const answers = new Set(
    own.map(({ regs }) => {
      if (regs.ecap === undefined) return undefined;
      const view = new DataView(new ArrayBuffer(8));
      view.setBigUint64(0, regs.ecap, true);
      return snoops(view, 0) !== 0;
    }),
  );
  return answers.size === 1 ? [...answers][0] : undefined;
}

/** What an INVALID_DEVICE_REQUEST of each type is about (AMD 48882, 2.5.9). */
const REQUEST_CAUSES: Readonly<Record<number, string>> = {
  0: "a read or an atomic in the interrupt address range 0xFEEx_xxxx: a stray pointer",
  1: "the device sends translated requests (ATS) that its device table entry does not allow: ATS was left on by the firmware, or the IOTLB bit of the entry is clear",
  2: "port I/O from the device, and IoCtl of its device table entry is 0",
  3: "a posted write to an address range that means something else on HyperTransport: a stray pointer, or memory placed there",
  4: "a read in an address range that means something else on HyperTransport: a stray pointer, or memory placed there",
  5: "an interrupt or EOI of a device whose entry has IntCtl=0: the firmware's IVRS table does not describe it (an I/O APIC or HPET without its special-device entry), so that nobody set up its interrupts",
  6: "a write to the reserved part of the interrupt range",
  7: "a system management message that SysMgt of the entry does not allow",
};

const requestType = InvalidDeviceRequestEvent.reader("TYPE");
const valid = { ppr: DeviceTableEntry.reader("PPR"), gprp: DeviceTableEntry.reader("GPRP") };
const translates = DeviceTableEntry.reader("TV");
const modeOf = DeviceTableEntry.reader("MODE");
const guestValid = DeviceTableEntry.reader("GV");

/** Of the causes that an AMD event has in general, those that its flags and its entry leave; first what they point to. */
function ofAmdEvent(fault: LoggedFault, general: readonly string[]): readonly string[] {
  const { amd, model, code } = fault;
  if (model !== "amd" || amd?.flags === undefined) return general;
  if (code === IO_PAGE_FAULT.code) return general.filter((cause) => flagsAllow(cause, amd.flags!));
  if (code === ILLEGAL_DEV_TABLE_ENTRY.code) return [...ofDeviceEntry(amd), ...general];
  if (code !== INVALID_DEVICE_REQUEST.code) return general;
  const record = nativeRecord(fault);
  const cause = record && REQUEST_CAUSES[requestType(record.view, 0)];
  return cause === undefined ? general : [cause];
}

/** The causes of a page fault say for which flags they are. */
function flagsAllow(cause: string, flags: number): boolean {
  const has = { PR: (flags & FLAG_PR) !== 0, PE: (flags & FLAG_PE) !== 0, RZ: (flags & FLAG_RZ) !== 0 };
  const condition = cause.includes(":") ? cause.split(":")[0]! : "PR=0";
  const items = [...condition.matchAll(/(PR|PE|RZ)=([01])/g)];
  return items.every(([, name, value]) => has[name as keyof typeof has] === (value === "1"));
}

function ofDeviceEntry({ dte, control, flags }: AmdDetails): string[] {
  if (dte.length * 8 < DeviceTableEntry.bytes) return [];
  const view = new DataView(new ArrayBuffer(DeviceTableEntry.bytes));
  dte.forEach((word, i) => {
    view.setBigUint64(i * 8, word, true);
  });
  const causes: string[] = [];
  const ephClear =
    control === undefined
      ? "the control register is not printed"
      : (control & EPH_ENABLE) === 0n
        ? "EPHEn is clear"
        : undefined;
  if ((valid.ppr(view, 0) !== 0 || valid.gprp(view, 0) !== 0) && ephClear !== undefined)
    causes.push(
      `PPR or GPRP is set in this entry, which is reserved unless CONTROL.EPHEn is set (${ephClear})`,
    );
  const levels = (flags! & FLAG_RZ) === 0;
  if (levels && translates(view, 0) !== 0 && modeOf(view, 0) === 0 && guestValid(view, 0) === 0)
    causes.push(
      "Mode is 0 (pass-through), which an IOMMU with SNP enabled refuses: a device in an identity domain (iommu=pt) on a host that runs SNP",
    );
  return causes;
}

/** CONTROL.EPHEn (AMD 48882, MMIO offset 0018h). */
const EPH_ENABLE = 1n << 45n;

/** What faults of one cause share, whatever their direction and address: an AMD event's flags tell causes apart. */
export function causeKey({ model, dev, code, text, amd }: LoggedFault): string {
  const flags = amd?.flags === undefined ? undefined : amd.flags & ~FLAG_RW;
  return [model, dev, code ?? text, amd?.event, flags].join("\n");
}
