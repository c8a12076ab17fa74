import { describe, expect, it } from "vitest";
import {
  AmdIommu,
  DTE_EX,
  DTE_GV,
  DTE_IR,
  DTE_IW,
  DTE_SA,
  DTE_SE,
  DTE_TV,
  DTE_V,
  EFR_ALL,
  EPH_EN,
  EVENT_LOG_EN,
  GT_EN,
  gcr3Pieces,
  IOMMU_EN,
} from "./support/amd-iommu.ts";

const VALID = DTE_V | DTE_TV;
const OPEN = VALID | DTE_IR | DTE_IW;
// IO_PAGE_FAULT flags as they stand in an event's bits 59:48.
const GN = 0x001;
const I = 0x008;
const PR = 0x010;
const RW = 0x020;
const PE = 0x040;
const RZ = 0x080;
const MASTER_ABORT = 0x200;
const ENABLED = IOMMU_EN | EVENT_LOG_EN | GT_EN | EPH_EN;

describe("V and TV", () => {
  it("V=0 forwards everything untranslated, whatever else the entry holds", () => {
    const iommu = new AmdIommu();
    iommu.dte(3, ~1n, ~0n, ~0n, ~0n);
    expect(iommu.ask(3, 0xdead_beef_f123n, { access: "rw" })).toEqual({
      result: "ok",
      pa: 0xdead_beef_f123n,
      page: 0n,
      perm: "rwx",
      passthrough: true,
      global: false,
      domain: -1,
      reads: 1,
    });
    expect(iommu.ask(3, 0x1000n, { pasid: 5 })).toMatchObject({ result: "ok", passthrough: true });
  });

  it("V=1, TV=0 ends the walk with PR=0", () => {
    const iommu = new AmdIommu();
    iommu.dte(3, DTE_V | DTE_IR | DTE_IW | (4n << 9n) | 0x5000n, 9n);
    expect(iommu.ask(3, 0x1000n)).toMatchObject({
      code: 0x2,
      name: "IO_PAGE_FAULT",
      reason: "BAD_DEVICE_CONTEXT",
      flags: 0,
      stage: 0,
      domain: 9,
      recorded: true,
    });
    expect(iommu.ask(3, 0x1000n, { access: "w" })).toMatchObject({ code: 0x2, flags: RW });
  });

  it("TV=0 leaves the level encodings unused, and so unchecked", () => {
    const iommu = new AmdIommu();
    iommu.dte(3, DTE_V | (7n << 9n) | DTE_GV | (3n << 56n), 0n, 3n << 54n);
    expect(iommu.ask(3, 0x1000n)).toMatchObject({ code: 0x2, reason: "BAD_DEVICE_CONTEXT" });
  });
});

describe("Mode 0", () => {
  it.each([
    [0n, "", "---"],
    [DTE_IR, "rx", "r-x"],
    [DTE_IW, "w", "-w-"],
    [DTE_IR | DTE_IW, "r w x rw", "rwx"],
  ])("IR and IW %# control access", (perm, granted, text) => {
    const iommu = new AmdIommu();
    iommu.dte(1, VALID | perm, 0xabcdn);
    for (const access of ["r", "w", "x", "rw"] as const) {
      const seen = iommu.ask(1, 0x7_1234n, { access });
      const allowed = access === "rw" ? granted.includes("rw") : granted.includes(access);
      if (allowed)
        expect(seen).toMatchObject({
          pa: 0x7_1234n,
          perm: text,
          passthrough: true,
          page: 0n,
          domain: 0xabcd,
        });
      else
        expect(seen).toMatchObject({
          code: 0x2,
          reason: "PERMISSION",
          stage: 0,
          flags: PR | PE | (access.includes("w") ? RW : 0),
          reads: 1,
        });
      expect(seen).not.toHaveProperty("entry");
    }
  });
});

describe("reserved bits and encodings", () => {
  it("V=1: exactly bits 6:2 and 63 of bits 127:0 are reserved", () => {
    // SATSSup with the others.
    const iommu = new AmdIommu({ efr: EFR_ALL | (1n << 31n), control: ENABLED });
    const illegal: number[] = [];
    for (let bit = 0; bit < 256; bit++) {
      const words = [OPEN, 0n, 0n, 0n];
      words[bit >> 6]! |= 1n << BigInt(bit & 63);
      iommu.dte(1, ...words);
      iommu.engine.drop();
      const seen = iommu.ask(1, 0x1000n, { access: "w" });
      if (seen.code !== 0x1) continue;
      illegal.push(bit);
      expect(seen).toMatchObject({
        name: "ILLEGAL_DEV_TABLE_ENTRY",
        reason: "BAD_DEVICE_CONTEXT",
        flags: RZ | RW,
        entry: iommu.dteAddress(1),
        value: words[0],
      });
    }
    expect(illegal).toEqual([2, 3, 4, 5, 6, 63]);
  });

  it.each([
    ["GV without GTSup", 55n, { efr: EFR_ALL & ~(1n << 4n) }],
    ["GIOV without GIoSup", 54n, { efr: EFR_ALL & ~(1n << 48n) }],
    ["PPR without EPHSup", 52n, { efr: EFR_ALL & ~(1n << 50n) }],
    ["PPR without EPHEn", 52n, { control: ENABLED & ~EPH_EN }],
    ["GPRP without EPHEn", 53n, { control: ENABLED & ~EPH_EN }],
  ])("%s is reserved", (_, bit, registers) => {
    const iommu = new AmdIommu({ efr: EFR_ALL, control: ENABLED });
    iommu.dte(1, OPEN | (1n << bit));
    expect(iommu.ask(1, 0x1000n).code).not.toBe(0x1);
    iommu.set(registers);
    expect(iommu.ask(1, 0x1000n)).toMatchObject({ code: 0x1, flags: RZ });
  });

  it("refuses IoCtl 3", () => {
    const iommu = new AmdIommu();
    for (const [ioctl, code] of [
      [0n, undefined],
      [1n, undefined],
      [2n, undefined],
      [3n, 0x1],
    ] as const) {
      iommu.dte(1, OPEN, ioctl << 35n);
      iommu.engine.drop();
      expect(iommu.ask(1, 0x1000n).code).toBe(code);
    }
  });

  it("Mode 7 is an invalid level: RZ=0", () => {
    const iommu = new AmdIommu();
    iommu.dte(1, OPEN | (7n << 9n));
    expect(iommu.ask(1, 0x1000n)).toMatchObject({ code: 0x1, flags: 0 });
    expect(iommu.ask(1, 0x1000n, { access: "w", pasid: 1 })).toMatchObject({ code: 0x1, flags: RW | GN });
  });

  it.each([
    [0n, 4],
    [1n, 5],
    [2n, 6],
    [3n, 0],
  ])("HATS %i allows modes up to %i", (hats, most) => {
    const iommu = new AmdIommu({ efr: (EFR_ALL & ~(3n << 10n)) | (hats << 10n) });
    const root = iommu.table();
    for (let mode = 0; mode < 7; mode++) {
      iommu.hostDevice(mode, root, mode);
      const seen = iommu.ask(mode, 0n);
      if (mode > most) expect(seen).toMatchObject({ code: 0x1, flags: 0 });
      else expect(seen.code).not.toBe(0x1);
    }
  });

  it.each([
    ["GLX 3", 3n, 0n, {}, 0x1],
    ["GLX 2 with GLXSup 2", 2n, 0n, {}, 0x2],
    ["GLX 2 with GLXSup 1", 2n, 0n, { glxsup: 1 }, 0x1],
    ["GLX 1 with GLXSup 0", 1n, 0n, { glxsup: 0 }, 0x1],
    ["guest paging mode 1 with GATS 1", 0n, 1n, {}, 0x2],
    ["guest paging mode 1 with GATS 0", 0n, 1n, { gats: 0 }, 0x1],
    ["guest paging mode 2", 0n, 2n, { gats: 2 }, 0x1],
    ["guest paging mode 3", 0n, 3n, { gats: 2 }, 0x1],
  ])("%s", (_, glx, guestPagingMode, props, code) => {
    const iommu = new AmdIommu({ efr: EFR_ALL }, props);
    const [low, high] = gcr3Pieces(iommu.table());
    iommu.dte(1, OPEN | DTE_GV | (glx << 56n) | low, high, guestPagingMode << 54n);
    expect(iommu.ask(1, 0x1000n, { pasid: 0 }).code).toBe(code);
    // Without guest translation those fields say nothing.
    iommu.dte(1, OPEN | (glx << 56n) | low, high, guestPagingMode << 54n);
    iommu.engine.drop();
    expect(iommu.ask(1, 0x1000n).result).toBe("ok");
  });
});

describe("where entries are", () => {
  it("faults on a device id beyond the table, whose size is in 4 KiB units less one", () => {
    const iommu = new AmdIommu({ dev_tab_base: 0x100_0001n });
    iommu.dte(255, OPEN);
    expect(iommu.ask(255, 0x1000n)).toMatchObject({ result: "ok", passthrough: true });
    expect(iommu.ask(256, 0x1000n)).toMatchObject({
      code: 0x2,
      reason: "SOURCEID_INVALID",
      flags: 0,
      reads: 0,
      domain: -1,
    });
    expect(iommu.ask(256, 0x1000n, { access: "w", pasid: 1, priv: true })).toMatchObject({
      flags: RW | GN,
    });
    iommu.set({ dev_tab_base: 0x100_0000n });
    expect(iommu.ask(127, 0x1000n).result).toBe("ok");
    expect(iommu.ask(128, 0x1000n)).toMatchObject({ code: 0x2, reason: "SOURCEID_INVALID" });
  });

  it("reports a device table outside memory as a hardware error", () => {
    const iommu = new AmdIommu({ dev_tab_base: 0x7000_0000_0000n | 0x1ffn });
    expect(iommu.ask(0xffff, 0x1000n, { access: "w" })).toMatchObject({
      code: 0x3,
      name: "DEV_TAB_HARDWARE_ERROR",
      reason: "DEVICE_CONTEXT_FETCH",
      flags: MASTER_ABORT | RW,
      entry: 0x7000_0000_0000n + 0xffffn * 32n,
      hole: true,
      reads: 1,
    });
  });

  it("selects a segment by the device id's top bits", () => {
    // Four segments: 3 is at 0x101_0000, two frames long; 1 and 2 are not there.
    const iommu = new AmdIommu({ control: ENABLED | (2n << 34n), dev_tab_seg3_base: 0x100_1001n });
    iommu.dte(128 + 5, OPEN, 0x33n);
    expect(iommu.ask(0xc005, 0x1000n)).toMatchObject({ result: "ok", domain: 0x33 });
    expect(iommu.ask(0x4005, 0x1000n)).toMatchObject({ reason: "SOURCEID_INVALID" });
    expect(iommu.ask(0xc100, 0x1000n)).toMatchObject({ reason: "SOURCEID_INVALID" });
  });

  it("knows no device id of more than 16 bits", () => {
    const iommu = new AmdIommu({ dev_tab_base: 0x1ffn });
    expect(iommu.ask(0x1_0000, 0x1000n)).toMatchObject({ reason: "SOURCEID_INVALID" });
  });
});

describe("before any table", () => {
  it("a disabled IOMMU forwards everything", () => {
    const iommu = new AmdIommu({ control: ENABLED & ~IOMMU_EN });
    iommu.dte(1, VALID);
    expect(iommu.ask(1, 0x1234n, { access: "w" })).toMatchObject({
      result: "ok",
      pa: 0x1234n,
      passthrough: true,
      reads: 0,
    });
    expect(iommu.ask(1, 0xfee0_0000n, { access: "w" }).result).toBe("msi");
    expect(iommu.ask(1, 0xfee0_0000n)).toMatchObject({ result: "ok", pa: 0xfee0_0000n });
  });

  it.each([
    [0xfedf_fff0n, "w", "ok", undefined, undefined],
    [0xfee0_0000n, "w", "msi", undefined, undefined],
    [0xfeef_fffcn, "w", "msi", undefined, undefined],
    [0xfef0_0000n, "w", "ok", undefined, undefined],
    [0x1_fee0_0000n, "w", "ok", undefined, undefined],
    [0xfee0_0000n, "r", "fault", 0x8, 0],
    [0xfee0_0000n, "x", "fault", 0x8, 0],
    // An INVALID_DEVICE_REQUEST event has no RW.
    [0xfee0_0000n, "rw", "fault", 0x8, 0],
  ] as const)("%i %s: %s", (address, access, result, code, flags) => {
    const iommu = new AmdIommu();
    iommu.dte(1, OPEN);
    const seen = iommu.ask(1, address, { access });
    expect(seen.result).toBe(result);
    expect(seen.code).toBe(code);
    expect(seen.flags).toBe(flags);
  });

  it("refuses an interrupt with a PASID", () => {
    const iommu = new AmdIommu();
    iommu.dte(1, OPEN | DTE_GV);
    expect(iommu.ask(1, 0xfee0_1000n, { access: "w", pasid: 3 })).toMatchObject({
      code: 0x2,
      flags: GN | I | RW | 0x004,
    });
  });
});

describe("HyperTransport range", () => {
  // EFR2 bit 11, HTRangeIgnore, is clear.
  const EFR2 = 1n << 3n;
  const IOCTL = (value: bigint) => value << (99n - 64n);
  const SYSMGT = (value: bigint) => value << (104n - 64n);
  // Bits 11:9 of the flags are the event's type; a mainboard's log has 0xa00 for type 5.
  const TYPE = 0x200;

  /** A device whose tables map 512 GiB to 1 TiB, the range among it, one by one. */
  function machine(efr2: bigint, word1 = 0n, registers: Record<string, bigint> = {}) {
    const iommu = new AmdIommu({ efr2, ...registers });
    const root = iommu.table();
    iommu.memory.write64(root + 8n, 0x80_0000_0000n | (3n << 61n) | 1n);
    iommu.dte(1, OPEN | (4n << 9n) | root, word1);
    return iommu;
  }

  it.each([
    // address, type of a posted write, type of a read
    [0xfd_0000_0000n, 6, 0],
    [0xfd_f7ff_ffffn, 6, 0],
    [0xfd_f800_0000n, "msi", 0],
    [0xfd_f8ff_ffffn, "msi", 0],
    [0xfd_f900_0000n, 3, 4],
    [0xfd_f90f_ffffn, 3, 4],
    [0xfd_f910_0000n, 7, 7],
    [0xfd_f91f_ffffn, 7, 7],
    [0xfd_f920_0000n, 3, 4],
    [0xfd_fbff_ffffn, 3, 4],
    [0xfd_fc00_0000n, 2, 2],
    [0xfd_fdff_ffffn, 2, 2],
    [0xfd_fe00_0000n, 3, 4],
    [0xff_ffff_ffffn, 3, 4],
  ])("0x%x is not memory", (address, write, read) => {
    const iommu = machine(EFR2);
    const refused = (type: number) => ({
      result: "fault",
      code: 0x8,
      name: "INVALID_DEVICE_REQUEST",
      reason: "OOR_ADDRESS",
      flags: type * TYPE,
      reads: 1,
    });
    for (const access of ["r", "x", "rw"] as const)
      expect(iommu.ask(1, address, { access })).toMatchObject(refused(read));
    const written = iommu.ask(1, address, { access: "w" });
    expect(written).toMatchObject(write === "msi" ? { result: "msi" } : refused(write as number));
    // Once more, now that the device's contexts are known.
    expect(iommu.ask(1, 0xfc_ffff_ffffn)).toMatchObject({ result: "ok", pa: 0xfc_ffff_ffffn });
    expect(iommu.ask(1, address)).toMatchObject(refused(read));
    expect(iommu.ask(1, 0x100_0000_0000n)).toMatchObject({ reason: "PTE_FETCH" });
  });

  it("is memory to an IOMMU that reports HTRangeIgnore, or says nothing", () => {
    const published = machine(EFR2);
    published.set({}, { htrangeignore: 1 });
    for (const iommu of [machine(EFR2 | (1n << 11n)), published])
      for (const address of [0xfd_0000_0000n, 0xfd_f910_0000n, 0xff_ffff_ffffn])
        expect(iommu.ask(1, address)).toMatchObject({ result: "ok", pa: address, passthrough: false });
    const silent = new AmdIommu();
    silent.dte(1, OPEN);
    expect(silent.ask(1, 0xfd_0000_0000n)).toMatchObject({ result: "ok", passthrough: true });
  });

  it("IoCtl says what becomes of port I/O, SysMgt of system management messages", () => {
    const port = 0xfd_fc00_0cf8n;
    const message = 0xfd_f910_0000n;
    for (const [word1, address, access, expected] of [
      [IOCTL(1n), port, "w", { result: "ok", pa: port, passthrough: true }],
      [IOCTL(1n), port, "r", { result: "ok", passthrough: true }],
      [IOCTL(2n), port, "r", { result: "ok", pa: port, passthrough: false, page: 1n << 39n }],
      [IOCTL(2n), message, "w", { code: 0x8, flags: 7 * TYPE }],
      [SYSMGT(1n), message, "w", { result: "ok", pa: message, passthrough: true }],
      [SYSMGT(1n), message, "r", { code: 0x8, flags: 7 * TYPE }],
      [SYSMGT(2n), message, "w", { code: 0x8, flags: 7 * TYPE }],
      [SYSMGT(3n), message, "r", { result: "ok", pa: message, passthrough: false }],
      [SYSMGT(3n), port, "w", { code: 0x8, flags: 2 * TYPE }],
    ] as const)
      expect(machine(EFR2, word1).ask(1, address, { access })).toMatchObject(expected);
  });

  it("concerns no request with a PASID, no device with V=0, and comes before TV and the exclusion range", () => {
    const iommu = machine(EFR2, DTE_EX, { excl_base: 0xfd_0000_0001n, excl_limit: 0xfd_ffff_f000n });
    expect(iommu.ask(1, 0xfd_0000_0000n)).toMatchObject({ code: 0x8, flags: 0 });
    expect(iommu.ask(1, 0xfd_0000_0000n, { pasid: 1 })).toMatchObject({ code: 0x8, reason: "PASID_INVALID" });
    iommu.dte(2, 0n);
    expect(iommu.ask(2, 0xfd_0000_0000n)).toMatchObject({ result: "ok", passthrough: true });
    iommu.dte(3, DTE_V);
    expect(iommu.ask(3, 0xfd_0000_0000n)).toMatchObject({ code: 0x8 });
    expect(iommu.ask(3, 0xfc_0000_0000n)).toMatchObject({ reason: "BAD_DEVICE_CONTEXT" });
  });
});

describe("exclusion range", () => {
  it("forwards what lies in it, for all devices or those with EX", () => {
    const range = { excl_base: 0x8000_0001n, excl_limit: 0x8000_3fffn };
    const iommu = new AmdIommu(range);
    const root = iommu.table();
    iommu.hostDevice(1, root, 3);
    iommu.dte(2, OPEN | (3n << 9n) | root, DTE_EX);
    expect(iommu.ask(1, 0x8000_1000n).reason).toBe("PTE_FETCH");
    for (const address of [0x8000_0000n, 0x8000_3fffn])
      expect(iommu.ask(2, address)).toMatchObject({ result: "ok", pa: address, passthrough: true });
    for (const address of [0x7fff_ffffn, 0x8000_4000n])
      expect(iommu.ask(2, address).reason).toBe("PTE_FETCH");
    iommu.set({ excl_base: 0x8000_0003n });
    expect(iommu.ask(1, 0x8000_1000n)).toMatchObject({ result: "ok", passthrough: true });
    iommu.set({ excl_base: 0x8000_0002n });
    expect(iommu.ask(2, 0x8000_1000n).reason).toBe("PTE_FETCH");
  });
});

describe("which events are recorded", () => {
  it("SA suppresses page faults, and those alone; SE all but the first", () => {
    const iommu = new AmdIommu();
    const root = iommu.table();
    iommu.memory.write64(root + 8n, (0xbadn << 40n) | (2n << 9n) | (3n << 61n) | 1n);
    for (const [device, bits, recorded] of [
      [1, 0n, true],
      [2, DTE_SE, true],
      [3, DTE_SA, false],
    ] as const) {
      iommu.dte(device, OPEN | (3n << 9n) | root, bits);
      expect(iommu.ask(device, 0n)).toMatchObject({ code: 0x2, recorded });
      expect(iommu.ask(device, 1n << 30n)).toMatchObject({ code: 0x4, recorded: true });
      iommu.dte(device + 8, DTE_V, bits);
      expect(iommu.ask(device + 8, 0n)).toMatchObject({ reason: "BAD_DEVICE_CONTEXT", recorded });
    }
  });

  it("without EventLogEn nothing is", () => {
    const iommu = new AmdIommu({ control: IOMMU_EN | GT_EN });
    iommu.dte(1, DTE_V);
    iommu.dte(2, OPEN | (7n << 9n));
    expect(iommu.ask(1, 0n)).toMatchObject({ code: 0x2, recorded: false });
    expect(iommu.ask(2, 0n)).toMatchObject({ code: 0x1, recorded: false });
  });
});

describe("a PASID without guest translation", () => {
  it.each([
    ["GV=0", {}, 0n],
    ["GTEn=0", { control: ENABLED & ~GT_EN }, DTE_GV],
  ])("%s", (_, registers, gv) => {
    const iommu = new AmdIommu({ control: ENABLED, ...registers });
    iommu.dte(1, OPEN | gv);
    expect(iommu.ask(1, 0x1000n, { pasid: 4 })).toMatchObject({
      code: 0x8,
      name: "INVALID_DEVICE_REQUEST",
      reason: "PASID_INVALID",
      flags: -1,
    });
    expect(iommu.ask(1, 0x1000n)).toMatchObject({ result: "ok", passthrough: true });
  });
});
