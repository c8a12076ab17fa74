import { describe, expect, test } from "vitest";
import { AmdIommu, DTE_GIOV, DTE_IR, DTE_TV, DTE_V, EFR_ALL } from "./support/amd-iommu.ts";
import { inspectUnit, outline } from "./support/inspection-records.ts";
import { PDTV, pointer, TC_V } from "./support/riscv-builder.ts";
import { ALL_CAPABILITIES, CAP_MSI_FLAT, RiscvIommu } from "./support/riscv-iommu.ts";
import { cdWords, steWords } from "./support/smmuv3-machine.ts";
import { TableMemory } from "./support/table-memory.ts";

function put(memory: TableMemory, address: bigint, ...words: bigint[]): void {
  words.forEach((word, i) => {
    memory.write64(address + 8n * BigInt(i), word);
  });
}

describe("VT-d", () => {
  test("legacy mode: context entries of every bus that has a context table", async () => {
    const memory = new TableMemory();
    memory.ram(0x1000n, 0x5000n);
    put(memory, 0x1000n, 0x2001n, 0n);
    put(memory, 0x1000n + 0x40n * 16n, 0x3001n, 0n);
    // A root entry whose context table is nowhere; one with a reserved bit.
    put(memory, 0x1000n + 0x41n * 16n, 0x9_9001n, 0n);
    put(memory, 0x1000n + 0xffn * 16n, 0x3003n, 0n);
    // 00:03.0 second stage, 00:1f.0 and 00:1f.1 pass-through, 00:1f.7 with a reserved translation type; 40:00.1.
    put(memory, 0x2000n + 0x18n * 16n, 0x4001n, 0x702n);
    put(memory, 0x2000n + 0xf8n * 16n, 0x9n, 0x302n);
    put(memory, 0x2000n + 0xf9n * 16n, 0x9n, 0x302n);
    put(memory, 0x2000n + 0xffn * 16n, 0xdn, 0x302n);
    put(memory, 0x3000n + 1n * 16n, 0x4001n, 0x802n);
    put(memory, 0x4000n, 0x5003n);
    put(memory, 0x5000n, 0x6003n);
    put(memory, 0x6000n, 0n, 0x7003n);
    put(memory, 0x7000n + 5n * 8n, 0x1_2345_6003n, 0x1_2345_7003n, 0x9_0000_0001n);
    const { records, walks } = await inspectUnit("intel", memory, { rtaddr: 0x1000n });
    expect(records[0]).toEqual({
      type: "iommu",
      model: "intel",
      translation: "enabled",
      table: { kind: "root table", addr: "0x1000" },
    });
    expect(outline(records)).toEqual([
      "00:03.0 - stage2",
      "00:1f.0..00:1f.1 passthrough",
      "00:1f.7 - faulty LCT.4.2",
      "40:00.1 - stage2",
      "41:00.0 -..41:1f.7 faulty LCT.1",
      "ff:00.0 -..ff:1f.7 faulty LRT.3",
    ]);
    expect(records.filter((r) => r.type === "map" && r.dev === "40:00.1")).toEqual([
      {
        type: "map",
        dev: "40:00.1",
        iova: "0x205000",
        pa: "0x123456000",
        size: 8192,
        perm: 3,
        pageShift: 12,
      },
      {
        type: "map",
        dev: "40:00.1",
        iova: "0x207000",
        pa: "0x900000000",
        size: 4096,
        perm: 1,
        pageShift: 12,
      },
    ]);
    expect(records.find((r) => r.type === "pasid" && r.dev === "00:03.0")).toEqual({
      type: "pasid",
      dev: "00:03.0",
      translation: "stage2",
      domain: 7,
      tables: [{ stage: 2, format: "vtd-ss", root: "0x4000", levels: 4 }],
      ranges: 2,
      bytes: 12288,
      pages: { 4096: 3 },
      faulty: 0,
    });
    // Buses and table entries that are not there cost next to nothing.
    expect(walks).toBeLessThan(2000);
  });

  function scalable(): TableMemory {
    const memory = new TableMemory();
    memory.ram(0x1000n, 0xf000n);
    put(memory, 0x1000n, 0x2001n, 0x3001n);
    // 00:03.0 in the lower half, 00:1f.0 in the upper: PDTS = 1 (16384 PASIDs), RID_PASID 1, PASIDE only in the first.
    put(memory, 0x2000n + 0x18n * 32n, 0x4209n, 1n, 0n, 0n);
    put(memory, 0x3000n + 0x78n * 32n, 0x4201n, 1n, 0n, 0n);
    // PASIDs 0 to 63, 64 to 127 (its table is nowhere), 16320 to 16383.
    put(memory, 0x4000n, 0x5001n, 0x9_9001n);
    put(memory, 0x4000n + 255n * 8n, 0x6001n);
    put(memory, 0x5000n + 64n, 0x49n, 9n, 0x7000n);
    put(memory, 0x5000n + 5n * 64n, 0x8000n | 0xc9n, 10n, 0x7000n);
    put(memory, 0x5000n + 6n * 64n, 0x1c9n, 11n);
    put(memory, 0x5000n + 7n * 64n, 0x101n, 12n);
    put(memory, 0x6000n + 63n * 64n, 0x8000n | 0x89n, 13n);
    return memory;
  }
  const SCALABLE = { rtaddr: 0x1400n };

  test("scalable mode: both halves of a bus, PASID directory and tables", async () => {
    const { records, walks } = await inspectUnit("intel", scalable(), SCALABLE);
    expect(outline(records)).toEqual([
      "00:03.0 - stage1",
      "00:03.0 5 nested",
      "00:03.0 6 faulty SPT.4.2",
      "00:03.0 7 passthrough",
      "00:03.0 64..127 faulty SPT.1",
      "00:03.0 16383 stage2",
      "00:1f.0 - stage1",
    ]);
    expect(records.find((r) => r.type === "device")).toEqual({
      type: "device",
      dev: "00:03.0",
      id: 0x18,
      pasid_table: { kind: "PASID directory", addr: "0x4000", pasids: 16384 },
      default_pasid: 1,
    });
    expect(records.find((r) => r.pasid === 5)).toMatchObject({
      domain: 10,
      tables: [
        { stage: 1, format: "x86-64", root: "0x7000", levels: 4 },
        { stage: 2, format: "vtd-ss", root: "0x8000", levels: 4 },
      ],
    });
    expect(walks).toBeLessThan(3000);
  });

  test("one device, one PASID, only requests without PASID", async () => {
    const device = 0x18;
    const only = async (pasid: number) =>
      outline((await inspectUnit("intel", scalable(), SCALABLE, { device, pasid })).records);
    expect(await only(5)).toEqual(["00:03.0 5 nested"]);
    expect(await only(-1)).toEqual(["00:03.0 - stage1"]);
    expect(await only(8)).toEqual(["00:03.0 8 faulty SPT.2"]);
    expect(await only(16384)).toEqual(["00:03.0 16384 faulty SCT.7"]);
    const missing = await inspectUnit("intel", scalable(), SCALABLE, { device: 0x19 });
    expect(outline(missing.records)).toEqual(["00:03.1 - faulty SCT.2"]);
  });

  test("extended mode: a flat table of PASIDs", async () => {
    const memory = new TableMemory();
    memory.ram(0x1000n, 0x8000n);
    put(memory, 0x1000n, 0x2001n, 0n);
    // T = 4 (pass-through, first level with PASID), PASIDE; AW 4 levels; PTS = 1: 64 PASIDs.
    put(memory, 0x2000n + 0x18n * 32n, 0x811n, 0x702n, 0x4001n, 0n);
    put(memory, 0x4000n, 0n, 0x5001n);
    put(memory, 0x4000n + 63n * 8n, 0x5001n, 0x5001n);
    const { records } = await inspectUnit("intel", memory, { rtaddr: 0x1800n });
    expect(outline(records)).toEqual(["00:03.0 - passthrough", "00:03.0 1 stage1", "00:03.0 63 stage1"]);
  });

  test("translation that is disabled or aborted has no devices to show; bound ones it has", async () => {
    const memory = scalable();
    const disabled = await inspectUnit("intel", memory, { ...SCALABLE, gsts: 0n });
    expect(disabled.records).toEqual([{ type: "iommu", model: "intel", translation: "passthrough" }]);
    const aborted = await inspectUnit("intel", memory, { rtaddr: 0x1c00n });
    expect(aborted.records).toEqual([{ type: "iommu", model: "intel", translation: "blocked" }]);
    const bind = [0x18, { model: "intel", baseHi: 0, baseLo: 0x4000, pasidBits: 6 }] as const;
    const bound = await inspectUnit("intel", memory, {}, { bind });
    expect(outline(bound.records)).toEqual([
      "00:03.0 - blocked",
      "00:03.0 1 stage1",
      "00:03.0 5 nested",
      "00:03.0 6 faulty SPT.4.2",
      "00:03.0 7 passthrough",
    ]);
    expect(bound.records[2]).toMatchObject({ fault: { code: "0x59", name: "SPT.2" } });
  });
});

describe("SMMUv3", () => {
  const stage2 = { Config: 6, S2T0SZ: 25, S2SL0: 1, S2PS: 6, S2AA64: 1, S2R: 1, S2TTB: 0x8_0000n };
  const cd = (asid: number) =>
    cdWords({ V: 1, AA64: 1, A: 1, R: 1, IPS: 6, EPD1: 1, T0SZ: 16, TTB0: 0x9_0000n, ASID: asid });

  test("a linear stream table: aborts and bypasses in groups, streams with tables", async () => {
    const memory = new TableMemory();
    memory.ram(0x1_0000n, 0x1000n);
    memory.ram(0x8_0000n, 0x1000n);
    put(memory, 0x1_0000n, ...steWords({ V: 1, Config: 4 }));
    put(memory, 0x1_0000n + 64n, ...steWords({ V: 1, Config: 4 }));
    put(memory, 0x1_0000n + 2n * 64n, ...steWords({ V: 1, Config: 0 }));
    put(memory, 0x1_0000n + 5n * 64n, ...steWords({ V: 1, ...stage2, S2VMID: 3 }));
    put(memory, 0x1_0000n + 6n * 64n, ...steWords({ V: 1, ...stage2, S2TG: 3 }));
    const registers = { strtab_base: 0x1_0000n, strtab_base_cfg: 6n };
    const { records } = await inspectUnit("arm-smmuv3", memory, registers);
    expect(outline(records)).toEqual([
      "sid:0..sid:1 passthrough",
      "sid:2..sid:2 blocked",
      "sid:5 - stage2",
      "sid:6 - faulty C_BAD_STE",
    ]);
    expect(records.find((r) => r.type === "pasid")).toMatchObject({
      domain: 3,
      tables: [{ stage: 2, format: "vmsav8-64", root: "0x80000", levels: 3 }],
    });
  });

  test("a 2-level stream table of 32 bits, and 2-level context descriptors", async () => {
    const memory = new TableMemory();
    // SPLIT 8: 2^24 level 1 descriptors, of which these pages are recorded.
    memory.ram(0x1000_0000n, 0x1000n);
    memory.ram(0x2_0000n, 0x4000n);
    memory.ram(0x5_0000n, 0x1000n);
    memory.ram(0x6_0000n, 0x2_0000n);
    // Streams 0x300 to 0x30f (Span 5), with L2Ptr.
    put(memory, 0x1000_0000n + 3n * 8n, 0x2_0005n);
    const stage1 = { V: 1, Config: 5, S1Fmt: 2, S1CDMax: 12, S1ContextPtr: 0x5_0000n };
    put(memory, 0x2_0000n + 64n, ...steWords({ ...stage1, S1DSS: 0 }));
    put(memory, 0x2_0000n + 15n * 64n, ...steWords({ ...stage1, S1DSS: 1 }));
    put(memory, 0x2_0000n + 16n * 64n, ...steWords({ ...stage1, S1DSS: 1 }));
    // SubstreamIDs 0 to 1023 and 3072 to 4095.
    put(memory, 0x5_0000n, 0x6_0001n);
    put(memory, 0x5_0000n + 24n, 0x7_0001n);
    put(memory, 0x6_0000n, ...cd(0));
    put(memory, 0x6_0000n + 7n * 64n, ...cd(7));
    put(memory, 0x7_0000n + 1023n * 64n, ...cd(4095));
    put(memory, 0x7_0000n + 1022n * 64n, ...cdWords({ V: 1 }));
    const registers = { strtab_base: 0x1000_0000n, strtab_base_cfg: 0x1_0212n };
    const { records, walks } = await inspectUnit("arm-smmuv3", memory, registers, { faulty: false });
    expect(outline(records)).toEqual([
      "sid:769 - blocked",
      "sid:769 0 stage1",
      "sid:769 7 stage1",
      "sid:769 4095 stage1",
      "sid:783 - passthrough",
      "sid:783 0 stage1",
      "sid:783 7 stage1",
      "sid:783 4095 stage1",
    ]);
    expect(records.filter((r) => r.type === "pasid").map((r) => r.asid)).toEqual([
      undefined,
      0,
      7,
      4095,
      undefined,
      0,
      7,
      4095,
    ]);
    expect(walks).toBeLessThan(10_000);
    const faulty = await inspectUnit("arm-smmuv3", memory, registers, { device: 769 });
    expect(outline(faulty.records)).toContain("sid:769 4094 faulty C_BAD_CD");
  });
});

describe("AMD-Vi", () => {
  test("entries that are not valid are not devices; blocked ones come in groups", async () => {
    const iommu = new AmdIommu();
    const table = iommu.table();
    iommu.dte(0, DTE_V | DTE_TV);
    iommu.dte(1, DTE_V | DTE_TV);
    iommu.dte(2, DTE_V);
    iommu.dte(3, DTE_V | DTE_TV | DTE_IR, 5n);
    iommu.hostDevice(0x18, table, 4);
    iommu.dte(0x19, DTE_V | DTE_TV | (7n << 9n));
    const { records } = await inspectUnit("amd", iommu.memory, { dev_tab_base: 0x100_0001n });
    expect(outline(records)).toEqual([
      "00:00.0..00:00.1 blocked",
      "00:00.2..00:00.2 blocked",
      "00:00.3..00:00.3 passthrough",
      "00:03.0 - stage2",
      "00:03.1 - faulty ILLEGAL_DEV_TABLE_ENTRY",
    ]);
  });

  test.each([0, 1, 2])("a guest CR3 table of GLX %i", async (glx) => {
    const iommu = new AmdIommu({ efr: EFR_ALL });
    const limit = [2 ** 9, 2 ** 18, 2 ** 20][glx]!;
    const root = iommu.table();
    const pasids = [0, 1, 511, limit - 1].filter((pasid, i, all) => all.indexOf(pasid) === i);
    const tables = new Map<bigint, bigint>();
    for (const pasid of pasids) {
      let at = root;
      for (let level = glx; level > 0; level--) {
        const entry = at + BigInt((pasid >> (9 * level)) & 511) * 8n;
        const next = tables.get(entry) ?? iommu.table();
        tables.set(entry, next);
        iommu.memory.write64(entry, next | 1n);
        at = next;
      }
      iommu.memory.write64(at + BigInt(pasid & 511) * 8n, iommu.table() | 1n);
    }
    iommu.guestDevice(0x18, root, glx, { or0: DTE_GIOV });
    const registers = { dev_tab_base: 0x100_0001n, efr: EFR_ALL };
    const { records, walks } = await inspectUnit("amd", iommu.memory, registers);
    expect(outline(records)).toEqual([
      "00:03.0 - stage1",
      ...pasids.map((pasid) => `00:03.0 ${pasid} stage1`),
    ]);
    expect(walks).toBeLessThan(70_000);
  });

  test("segments of the device table", async () => {
    const iommu = new AmdIommu();
    const table = iommu.table();
    iommu.memory.ram(0x700_0000n, 0x1000n);
    // Two segments of 2^15 devices: the second one's entry 1 is 80:00.1.
    put(iommu.memory, 0x700_0020n, DTE_V | DTE_TV | (3n << 9n) | table | (3n << 61n), 1n);
    const registers = {
      dev_tab_base: 0x100_0001n,
      dev_tab_seg1_base: 0x700_0000n,
      control: 1n | (1n << 34n),
    };
    const { records } = await inspectUnit("amd", iommu.memory, registers);
    expect(outline(records)).toEqual(["80:00.1 - stage2"]);
  });
});

describe("RISC-V", () => {
  const registersOf = (iommu: RiscvIommu) =>
    Object.fromEntries(
      [...iommu.state.registers].map(([name, { hi, lo }]) => [
        name,
        (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0),
      ]),
    );

  test.each([
    [2n, [0, 63]],
    [3n, [0, 64, 2 ** 15 - 1]],
    [4n, [1, 2 ** 15, 2 ** 24 - 1]],
  ])("a device directory of ddtp.iommu_mode %i", async (mode, ids) => {
    const iommu = new RiscvIommu({ mode });
    const root = iommu.allocate(4096);
    for (const id of ids) iommu.device(id, { tc: TC_V, fsc: pointer(8n, root) });
    const { records, walks } = await inspectUnit("riscv", iommu.memory, registersOf(iommu));
    expect(outline(records)).toEqual(ids.map((id) => `did:${id} - stage1`));
    expect(walks).toBeLessThan(3000);
  });

  test("contexts of the base format, and one that is misconfigured", async () => {
    const iommu = new RiscvIommu({ mode: 3n, capabilities: ALL_CAPABILITIES & ~CAP_MSI_FLAT });
    const root = iommu.allocate(4096);
    iommu.device(127, { tc: TC_V, fsc: pointer(8n, root) });
    iommu.device(128, { tc: TC_V, fsc: pointer(5n, root) });
    iommu.device(129, { tc: TC_V });
    const { records } = await inspectUnit("riscv", iommu.memory, registersOf(iommu));
    expect(outline(records)).toEqual([
      "did:127 - stage1",
      "did:128 - faulty DDT entry misconfigured",
      "did:129..did:129 passthrough",
    ]);
  });

  test.each([
    [1, [0, 255]],
    [2, [255, 256, 2 ** 17 - 1]],
    [3, [0, 2 ** 17, 2 ** 20 - 1]],
  ])("a process directory of %i levels", async (levels, pasids) => {
    const iommu = new RiscvIommu();
    const directory = iommu.allocate(4096);
    const root = iommu.allocate(4096);
    for (const pasid of pasids)
      iommu.process(directory, levels, pasid, 1n | (BigInt(pasid) << 12n), pointer(8n, root));
    iommu.device(1, { tc: TC_V | PDTV, fsc: pointer(BigInt(levels), directory) });
    const { records, walks } = await inspectUnit("riscv", iommu.memory, registersOf(iommu));
    expect(outline(records)).toEqual([
      "did:1 - passthrough",
      ...pasids.map((pasid) => `did:1 ${pasid} stage1`),
    ]);
    expect(records.filter((r) => r.type === "pasid").map((r) => r.asid)).toEqual([undefined, ...pasids]);
    expect(walks).toBeLessThan(10_000);
  });
});
