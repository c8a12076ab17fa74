import { type Bug, misreading, withoutNeeding, withoutReserved } from "../../fuzz/bug.ts";
import { AmdV1Directory, AmdV1Entry } from "../../page-tables/amd-v1.ts";
import { X86Entry } from "../../page-tables/x86-64.ts";
import { DeviceTableEntry, Gcr3Entry, RESERVED_IOCTL, RESERVED_MODE } from "../device-table-entry.ts";
import { ILLEGAL_DEV_TABLE_ENTRY, IO_PAGE_FAULT, PAGE_TAB_HARDWARE_ERROR } from "../faults.ts";
import { DeviceTableBase, ExtendedFeature2Register, ExtendedFeatureRegister } from "../registers.ts";

const SOURCE = "AMD 48882";
const LARGEST_TABLE = 511;
const PAGE_SHIFT = 12n;
/** Where a device's id begins beside a page number of 64-bit addresses, were these of 48 bits. */
const DEVICE_SHIFT = 36n;
const efr = (values: Readonly<Record<string, number>>) => ({
  efr: { layout: ExtendedFeatureRegister, values },
});

/** What fields of device table entries need of EFR and EFR2. */
const FEATURES = DeviceTableEntry.names().flatMap((name) => DeviceTableEntry.fields[name].needs ?? []);

/** One of the bits that are reserved where V is 1. */
const CHECKED_BIT = DeviceTableEntry.reserved()[0]! & -DeviceTableEntry.reserved()[0]!;

/** Whichever reserved bits are set, the entry is a valid one that has such. */
function checkReserved(view: DataView): void {
  if (DeviceTableEntry.reservedSet(view, 0).length === 0) return;
  DeviceTableEntry.encode({ V: 1 }, view, 0);
  view.setUint32(0, view.getUint32(0, true) | CHECKED_BIT, true);
}

/** Where nothing is to be translated by a valid entry, its events are suppressed, and so are those of a reserved Mode. */
function silenceUntranslated(view: DataView): void {
  const is = (name: "V" | "TV" | "MODE", value: number) =>
    DeviceTableEntry.extract(name, view, 0) === BigInt(value);
  if (is("V", 1) && (is("TV", 0) || is("MODE", RESERVED_MODE)))
    DeviceTableEntry.encode({ TV: 0, MODE: 0, SA: 1 }, view, 0);
}

/** Where nothing is to be translated by a valid entry, it says that all passes that it gives rights to. */
function passUntranslated(view: DataView): void {
  if (DeviceTableEntry.extract("V", view, 0) === 1n && DeviceTableEntry.extract("TV", view, 0) === 0n)
    DeviceTableEntry.encode({ TV: 1, MODE: 0 }, view, 0);
}

export const AMD_VI_BUGS: readonly Bug[] = [
  {
    name: "device-entry-reserved",
    text: "ignores reserved bits of device table entries",
    source: `${SOURCE}, 2.5.2`,
    misreads: [withoutReserved(DeviceTableEntry)],
  },
  {
    name: "device-entry-always-checked",
    text: "checks the reserved bits of a device table entry whatever V and IV say",
    source: `${SOURCE}, 2.2.2`,
    misreads: [{ layout: DeviceTableEntry, change: checkReserved }],
  },
  {
    name: "device-entry-features",
    text: "ignores fields of device table entries that need what EFR does not report",
    source: `${SOURCE}, 2.2.2`,
    misreads: [withoutNeeding(DeviceTableEntry, FEATURES)],
  },
  {
    name: "reserved-io-control",
    text: "takes the reserved encoding of IoCtl",
    source: `${SOURCE}, 2.5.2`,
    misreads: [
      misreading(DeviceTableEntry, { IOCTL: (ioctl) => (ioctl === BigInt(RESERVED_IOCTL) ? 0n : ioctl) }),
    ],
  },
  {
    name: "one-table-level",
    text: "walks one level of guest CR3 tables whatever GLX says",
    source: `${SOURCE}, 2.2.6`,
    misreads: [misreading(DeviceTableEntry, { GLX: 0 })],
  },
  {
    name: "page-entry-reserved",
    text: "ignores reserved bits of host page table entries",
    source: `${SOURCE}, 2.2.3`,
    misreads: [withoutReserved(AmdV1Entry), withoutReserved(AmdV1Directory)],
  },
  {
    name: "page-size-encoding",
    text: "takes a page whose size its address encodes for one of its level's size",
    source: `${SOURCE}, 2.2.3`,
    misreads: [misreading(AmdV1Entry, { NEXT_LEVEL: (next) => (next === 7n ? 0n : next) })],
  },
  {
    name: "skipped-levels",
    text: "walks the levels that Next Level of a host entry skips",
    source: `${SOURCE}, 2.2.3`,
    misreads: [
      {
        layout: AmdV1Directory,
        change: (view, _littleEndian, level) => AmdV1Directory.encode({ NEXT_LEVEL: level - 1 }, view, 0),
      },
    ],
  },
  {
    name: "leaf-present",
    text: "does not look whether the last host entry is present",
    source: `${SOURCE}, 2.2.3`,
    misreads: [misreading(AmdV1Entry, { PR: 1 })],
  },
  {
    name: "upper-permissions",
    text: "does not accumulate the permissions of upper host levels",
    source: `${SOURCE}, 2.2.3`,
    misreads: [misreading(AmdV1Directory, { IR: 1, IW: 1 })],
  },
  {
    name: "device-entry-permissions",
    text: "ignores IR and IW of the device table entry",
    source: `${SOURCE}, 2.2.2`,
    misreads: [misreading(DeviceTableEntry, { IR: 1, IW: 1 })],
  },
  {
    name: "ats-anyway",
    text: "takes requests of ATS whatever I says",
    source: `${SOURCE}, 2.2.2, I`,
    misreads: [misreading(DeviceTableEntry, { I: 1 })],
  },
  {
    name: "translation-invalid",
    text: "translates by a device table entry whose TV is 0",
    source: `${SOURCE}, 2.2.2, table 8`,
    misreads: [misreading(DeviceTableEntry, { TV: 1 })],
  },
  {
    name: "untranslated-passes",
    text: "lets requests pass where TV is 0",
    source: `${SOURCE}, 2.2.2, table 8`,
    misreads: [{ layout: DeviceTableEntry, change: passUntranslated }],
  },
  {
    name: "suppress-all",
    text: "logs events whatever SA says",
    source: `${SOURCE}, 2.2.2`,
    misreads: [misreading(DeviceTableEntry, { SA: 0 })],
  },
  {
    name: "untranslated-unlogged",
    text: "logs no event where TV is 0 or Mode is reserved",
    source: `${SOURCE}, 2.2.2, table 8, and 2.5.2`,
    misreads: [{ layout: DeviceTableEntry, change: silenceUntranslated }],
  },
  {
    name: "guest-without-pasid",
    text: "uses PASID 0 for requests without PASID, whatever GIOV says",
    source: `${SOURCE}, 2.2.2`,
    misreads: [misreading(DeviceTableEntry, { GIOV: 1 })],
  },
  {
    name: "guest-levels",
    text: "walks 4 guest levels whatever GuestPagingMode says",
    source: `${SOURCE}, 2.2.2`,
    misreads: [misreading(DeviceTableEntry, { GUESTPAGINGMODE: 0 })],
  },
  {
    name: "domain-8-bits",
    text: "tags translations with the low 8 bits of DomainID alone",
    source: `${SOURCE}, 2.4`,
    misreads: [misreading(DeviceTableEntry, { DOMAINID: (id) => id & 0xffn })],
  },
  {
    name: "guest-table-valid",
    text: "uses guest CR3 table entries whose V is 0",
    source: `${SOURCE}, 2.2.6`,
    misreads: [misreading(Gcr3Entry, { V: 1 })],
  },
  {
    name: "guest-user",
    text: "lets user requests into supervisor pages of a guest",
    source: `${SOURCE}, 2.2.6.3`,
    misreads: [misreading(X86Entry, { US: 1 })],
  },
  {
    name: "guest-execute",
    text: "ignores NX of guest entries",
    source: `${SOURCE}, 2.2.6.3`,
    misreads: [misreading(X86Entry, { XD: 0 })],
  },
  {
    name: "guest-write",
    text: "asks only the last guest level for write permission",
    source: `${SOURCE}, 2.2.6.3`,
    misreads: [misreading(X86Entry, { RW: 1 }, [2, 3, 4, 5])],
  },
  {
    name: "device-in-address",
    text: "finds cached translations by a device's id and address bits 63:48 as one number",
    source: `${SOURCE}, 2.4.3`,
    cacheKey: (device, address) => (address >> PAGE_SHIFT) | (BigInt(device) << DEVICE_SHIFT),
  },
  {
    name: "device-table-size",
    text: "looks devices up beyond the size of the device table",
    source: `${SOURCE}, 2.2.2`,
    registers: { dev_tab_base: { layout: DeviceTableBase, values: { SIZE: LARGEST_TABLE } } },
  },
  {
    name: "any-mode",
    text: "walks more host levels than EFR.HATS reports",
    source: `${SOURCE}, 2.5.2`,
    registers: efr({ HATS: 2 }),
  },
  {
    name: "any-guest-mode",
    text: "walks 5 guest levels although EFR.GATS does not report them",
    source: `${SOURCE}, 2.5.2`,
    registers: efr({ GATS: 1 }),
  },
  {
    name: "any-pasid",
    text: "takes PASIDs beyond EFR.PASmax",
    source: `${SOURCE}, 2.2.6`,
    registers: efr({ PASMAX: 19 }),
  },
  {
    name: "no-execute-without-support",
    text: "applies NX although EFR.NXSup is 0",
    source: `${SOURCE}, 2.2.6.3`,
    registers: efr({ NXSUP: 1 }),
  },
  {
    name: "hypertransport-range",
    text: "translates the HyperTransport address range as any other",
    source: `${SOURCE}, 2.1.2`,
    registers: { efr2: { layout: ExtendedFeature2Register, values: { HTRANGEIGNORE: 1 } } },
  },
  {
    name: "illegal-as-page-fault",
    text: "reports an illegal device table entry as an I/O page fault",
    source: `${SOURCE}, 2.5.2`,
    reports: { [ILLEGAL_DEV_TABLE_ENTRY.name]: IO_PAGE_FAULT },
  },
  {
    name: "unreadable-as-page-fault",
    text: "reports a page table that cannot be read as an I/O page fault",
    source: `${SOURCE}, 2.5.5`,
    reports: { [PAGE_TAB_HARDWARE_ERROR.name]: IO_PAGE_FAULT },
  },
];
