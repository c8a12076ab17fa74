import { describe, expect, it } from "vitest";
import { DeviceTableEntry, Gcr3Entry } from "../walkers/amd-vi/device-table-entry.ts";
import {
  DevTabHardwareErrorEvent,
  IllegalDevTableEntryEvent,
  InvalidDeviceRequestEvent,
  IoPageFaultEvent,
  PageTabHardwareErrorEvent,
} from "../walkers/amd-vi/events.ts";
import {
  ControlRegister,
  DeviceTableBase,
  ExtendedFeature2Register,
  ExtendedFeatureRegister,
} from "../walkers/amd-vi/registers.ts";
import type { Layout } from "../walkers/layout.ts";
import { AmdV1Entry } from "../walkers/page-tables/amd-v1.ts";

/** Decoded fields by name, from doublewords as a kernel log or a register dump prints them. */
function decode(layout: Layout, ...words: bigint[]): Record<string, bigint> {
  const view = new DataView(new ArrayBuffer(Math.max(layout.bytes, 8)));
  words.forEach((word, i) => {
    view.setBigUint64(i * 8, word, true);
  });
  return Object.fromEntries(layout.decode(view, 0).map((f) => [f.name, f.value]));
}

/** Bits that are set and of no field. */
function undefinedBits(layout: Layout, word: bigint): number[] {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, word, true);
  return layout.reservedSet(view, 0);
}

/** Doublewords of Linux's "Event logged [...]" lines: the kernel prints bits 59:48 as flags. */
function event(
  code: bigint,
  device: bigint,
  pasid: bigint,
  flags: bigint,
  address: bigint,
): [bigint, bigint] {
  const low =
    (code << 60n) | (flags << 48n) | ((pasid & 0xffffn) << 32n) | (((pasid >> 16n) & 0xfn) << 16n) | device;
  return [low, address];
}

describe("device table entries from kernel logs", () => {
  it("a GPU with guest tables for PASIDs (Linux ef75966abf95)", () => {
    const dte = decode(
      DeviceTableEntry,
      0x7d90_0000_0000_0003n,
      0x0000_1001_03fc_0009n,
      0x2000_0001_1784_0013n,
      0n,
    );
    expect(dte).toMatchObject({
      V: 1n,
      TV: 1n,
      MODE: 0n,
      HPTROOT: 0n,
      PPR: 1n,
      GPRP: 0n,
      GIOV: 0n,
      GV: 1n,
      GLX: 1n,
      GCR3TRP: 0x1_01fe_7000n >> 12n,
      IR: 1n,
      IW: 1n,
      DOMAINID: 9n,
      I: 1n,
      SE: 0n,
      SA: 0n,
      IV: 1n,
      INTTABLEN: 9n,
      INTTABROOT: 0x1_1784_0000n >> 6n,
      INTCTL: 2n,
    });
  });

  it("another, whose guest CR3 table has one level", () => {
    const dte = decode(
      DeviceTableEntry,
      0x7590_0000_0000_0003n,
      0x0000_1001_03c3_0002n,
      0x2000_0001_0ebc_c013n,
      0n,
    );
    expect(dte).toMatchObject({
      GV: 1n,
      PPR: 1n,
      GLX: 1n,
      GCR3TRP: 0x1_01e1_d000n >> 12n,
      DOMAINID: 2n,
      I: 1n,
    });
  });

  it("a device with three levels of host tables", () => {
    const dte = decode(DeviceTableEntry, 0x6000_0007_e10a_8603n, 9n, 0x2000_0007_e0d6_a011n, 0n);
    expect(dte).toMatchObject({
      V: 1n,
      TV: 1n,
      MODE: 3n,
      HPTROOT: 0x7_e10a_8000n >> 12n,
      GV: 0n,
      IR: 1n,
      IW: 1n,
      DOMAINID: 9n,
      INTTABLEN: 8n,
      IG: 0n,
      INTCTL: 2n,
    });
  });

  it("every bit of the guest CR3 table root pointer has its place, as Linux's DTE_GCR3 macros cut it", () => {
    for (let bit = 12n; bit < 52n; bit++) {
      const root = 1n << bit;
      const dte = decode(
        DeviceTableEntry,
        ((root >> 12n) & 0x7n) << 58n,
        (((root >> 15n) & 0xffffn) << 16n) | (((root >> 31n) & 0x1f_ffffn) << 43n),
      );
      expect(dte.GCR3TRP).toBe(root >> 12n);
    }
  });

  it("bits that Linux numbers", () => {
    for (const [bit, name] of [
      [0x00, "V"],
      [0x01, "TV"],
      [0x34, "PPR"],
      [0x36, "GIOV"],
      [0x37, "GV"],
      [0x3d, "IR"],
      [0x3e, "IW"],
      [0x62, "SA"],
      [0x67, "EX"],
      [0x80, "IV"],
      [0xb8, "INITPASS"],
      [0xb9, "EINTPASS"],
      [0xba, "NMIPASS"],
      [0xbe, "LINT0PASS"],
      [0xbf, "LINT1PASS"],
    ] as const) {
      const words = [0n, 0n, 0n, 0n];
      words[bit >> 6]! |= 1n << BigInt(bit & 63);
      const set = Object.entries(decode(DeviceTableEntry, ...words)).filter(([, value]) => value !== 0n);
      expect(set).toEqual([[name, 1n]]);
    }
  });
});

describe("events from kernel logs", () => {
  it.each([
    [
      "IO_PAGE_FAULT device=05:00.0 domain=0x0012 address=0xff6101b0 flags=0x0070",
      0x70n,
      { PR: 1n, RW: 1n, PE: 1n, RZ: 0n },
    ],
    ["a read of a page that is not present", 0x0n, { PR: 0n, RW: 0n, PE: 0n, I: 0n }],
    ["a write to a page that is not present", 0x20n, { PR: 0n, RW: 1n, PE: 0n }],
    ["a read that is denied", 0x50n, { PR: 1n, RW: 0n, PE: 1n }],
  ])("%s", (_, flags, expected) => {
    const fields = decode(IoPageFaultEvent, ...event(0x2n, 0x0500n, 0x12n, flags, 0xff61_01b0n));
    expect(fields).toMatchObject({
      EVENTCODE: 2n,
      DEVICEID: 0x500n,
      PASID_LO: 0x12n,
      ADDRESS: 0xff61_01b0n,
      GN: 0n,
      TR: 0n,
      ...expected,
    });
  });

  it.each([
    ["PPR set without EPHEn, address=0x135300000 flags=0x0080", 0x080n, { RZ: 1n, TR: 0n, RW: 0n }],
    ["the same for a translation request, flags=0x0180", 0x180n, { RZ: 1n, TR: 1n }],
    ["Mode 0 under SNP, a write, flags=0x0020", 0x020n, { RZ: 0n, RW: 1n }],
    ["an interrupt, address=0xfffffffdf8140000 flags=0x0008", 0x008n, { I: 1n, RZ: 0n }],
  ])("ILLEGAL_DEV_TABLE_ENTRY: %s", (_, flags, expected) => {
    const fields = decode(
      IllegalDevTableEntryEvent,
      ...event(0x1n, 0x0600n, 0xa_bcden, flags, 0x1_3530_0000n),
    );
    expect(fields).toMatchObject({ EVENTCODE: 1n, PASID_HI: 0xan, PASID_LO: 0xbcden, ...expected });
  });

  it("INVALID_DEVICE_REQUEST device=00:00.1 address=0xfdf8000020 flags=0x0a00", () => {
    const fields = decode(InvalidDeviceRequestEvent, ...event(0x8n, 1n, 0n, 0xa00n, 0xfd_f800_0020n));
    expect(fields).toMatchObject({ EVENTCODE: 8n, TYPE: 5n, TR: 0n, GN: 0n });
    const type = InvalidDeviceRequestEvent.fields.TYPE.values!;
    expect(type[5]).toMatch(/interrupt or EOI.*IntCtl=0/);
    expect(Object.keys(type)).toHaveLength(8);
  });

  it("hardware errors have their type in bits 58:57", () => {
    for (const layout of [DevTabHardwareErrorEvent, PageTabHardwareErrorEvent])
      expect(decode(layout, 0x4600_0000_0000_0000n, 0n)).toMatchObject({ EVENTCODE: 4n, TYPE: 3n, TR: 0n });
  });
});

describe("registers", () => {
  it("an Extended Feature Register of a server (GLX, PASMax, GATS)", () => {
    // Linux: FEATURE_GLX 15:14, FEATURE_GATS 13:12, FEATURE_PASMAX 36:32, FEATURE_GT bit 4, FEATURE_NX bit 3.
    expect(decode(ExtendedFeatureRegister, 0x0001_002f_0000_995bn)).toMatchObject({
      NXSUP: 1n,
      GTSUP: 1n,
      HATS: 2n,
      GATS: 1n,
      GLXSUP: 2n,
      PASMAX: 15n,
      USSUP: 1n,
      GIOSUP: 1n,
      HASUP: 0n,
    });
  });

  it("Extended Feature Registers of processors, as their kernels print them", () => {
    expect(undefinedBits(ExtendedFeatureRegister, 0x77e_f222_94adan)).toEqual([]);
    // Later: PPR X2APIC NX GT IA GA PC, and secure nested paging.
    expect(decode(ExtendedFeatureRegister, 0xa5bf_732f_a229_5afen)).toMatchObject({
      PPRSUP: 1n,
      XTSUP: 1n,
      PCSUP: 1n,
      GATS: 1n,
      DUALPPRLOGSUP: 2n,
      DUALEVENTLOGSUP: 2n,
      MARCSUP: 0n,
      BLKSTOPMRKSUP: 1n,
      ATTRFWSUP: 1n,
      HDSUP: 1n,
      INVIOTLBTYPESUP: 0n,
      GAUPDATEDISSUP: 1n,
      FORCEPHYDESTSUP: 0n,
      SNPSUP: 1n,
    });
  });

  it("bits of the Extended Feature 2 Register that Linux numbers", () => {
    for (const [bit, name] of [
      [1, "SEVSNPIOSUP"],
      [3, "GCR3TRPMODESUP"],
      [11, "HTRANGEIGNORE"],
    ] as const) {
      const set = Object.entries(decode(ExtendedFeature2Register, 1n << BigInt(bit))).filter(([, v]) => v);
      expect(set).toEqual([[name, 1n]]);
    }
    expect(decode(ExtendedFeature2Register, 0x140n)).toMatchObject({ SNPAVICSUP: 2n, NUMINTREMAPSUP: 1n });
  });

  it("a control register that Linux printed", () => {
    const set = Object.entries(decode(ControlRegister, 0x000c_2200_0142_148dn)).filter(([, v]) => v !== 0n);
    expect(Object.fromEntries(set)).toEqual({
      IOMMUEN: 1n,
      EVENTLOGEN: 1n,
      EVENTINTEN: 1n,
      INVTIMEOUT: 4n,
      COHERENT: 1n,
      CMDBUFEN: 1n,
      GAEN: 1n,
      SMIFEN: 1n,
      SMIFLOGEN: 1n,
      BLKSTOPMRKEN: 1n,
      EPHEN: 1n,
      XTEN: 1n,
      INTCAPXTEN: 1n,
    });
    expect(undefinedBits(ControlRegister, 0x000c_2200_0142_148dn)).toEqual([]);
    expect(decode(ControlRegister, 0x0400_0000_0001_1005n)).toMatchObject({ GTEN: 1n, GCR3TRPMODE: 1n });
  });

  it("a device table base", () => {
    expect(decode(DeviceTableBase, 0x041f_0001n)).toEqual({ SIZE: 1n, DEVTABBASE: 0x41f0n });
  });
});

describe("entries from Linux's tables", () => {
  it("a 64 KiB page of next level 7", () => {
    expect(decode(AmdV1Entry, 0x7000_0000_0544_7e01n)).toMatchObject({
      PR: 1n,
      NEXT_LEVEL: 7n,
      ADDR: 0x5447n,
      FC: 1n,
      IR: 1n,
      IW: 1n,
      U: 0n,
    });
  });

  it("a guest CR3 entry is an address and a valid bit", () => {
    expect(decode(Gcr3Entry, 0x0008_1234_5678_9001n)).toEqual({ V: 1n, GCR3: 0x8_1234_5678_9n });
  });
});
