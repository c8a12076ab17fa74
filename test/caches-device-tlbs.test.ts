/**
 * Devices with ATS: what they may keep by themselves has no part in verdicts, but an invalidation of it is owed.
 */
import { describe, expect, it } from "vitest";
import { type Dma, Radix, Scenario, VTD_SECOND, X86_64, x86 } from "./support/cache-scenario.ts";
import { ALL_CAPABILITIES } from "./support/riscv-iommu.ts";
import { cdWords, steWords } from "./support/smmuv3-machine.ts";

const A = 0x1000_0000n;
const B = 0x1000_1000n;
const OLD = 0x8000_0000n;
const NEW = 0x9000_0000n;

interface Subject {
  readonly s: Scenario;
  readonly table: Radix;
  readonly dma: Omit<Dma, "addr">;
  /** Drops everything that the IOMMU caches of it. */
  iommu(): void;
  complete(): void;
}

function legacy(ats: boolean): Subject {
  const s = new Scenario("intel", { rtaddr: 0x10_0000n });
  const table = new Radix(s, VTD_SECOND);
  // TT at 3:2: 01b allows a device-TLB.
  s.put(0x10_0000n, 0x10_1001n).put(0x10_1180n, table.root | (ats ? 5n : 1n), (9n << 8n) | 2n);
  return {
    s,
    table,
    dma: { dev: "00:03.0" },
    iommu: () => s.cmd(0x12n, 0n),
    complete: () => s.cmd(0x25n, 0n),
  };
}

function scalable(ats: boolean): Subject {
  const s = new Scenario("intel", { rtaddr: 0x10_0400n });
  const table = new Radix(s, X86_64);
  const [directory, pasids] = [s.allocate(), s.allocate()];
  // P, DTE at 2, PASIDE at 3.
  s.put(0x10_0000n, 0x10_1001n).put(0x10_1300n, directory | (ats ? 0xdn : 9n), 0n);
  s.put(directory, pasids | 1n).put(pasids + 5n * 64n, 0x41n, 9n, table.root, 0n);
  return {
    s,
    table,
    dma: { dev: "00:03.0", pasid: 5 },
    iommu: () => s.cmd(0x12n, 0n, 0n, 0n),
    complete: () => s.cmd(0x25n, 0n, 0n, 0n),
  };
}

function extended(ats: boolean): Subject {
  const s = new Scenario("intel", { rtaddr: 0x10_0800n }, { ecs: 1 });
  const table = new Radix(s, X86_64);
  const pasids = s.allocate();
  // T at 4:2: 101b allows a device-TLB, 100b does not; PASIDE at 11. AW 4 levels, DID 9.
  s.put(0x10_0000n, 0x10_1001n).put(0x10_1300n, (ats ? 0x15n : 0x11n) | 0x800n, 0x902n, pasids, 0n);
  s.put(pasids + 40n, table.root | 1n);
  return {
    s,
    table,
    dma: { dev: "00:03.0", pasid: 5 },
    iommu: () => s.cmd(0x12n, 0n),
    complete: () => s.cmd(0x25n, 0n),
  };
}

function smmu(ats: boolean): Subject {
  const s = new Scenario("arm-smmuv3", { strtab_base: 0x1_0000n, strtab_base_cfg: 8n });
  const table = new Radix(s, {
    ...x86(3n, 0xc43n),
    leaf: (pa, level) => pa | (level === 1 ? 0xcc3n : 0xcc1n),
  });
  const cds = s.allocate(256n);
  const stream = { S1ContextPtr: cds, S1CDMax: 2, S1DSS: 2, EATS: ats ? 1 : 0 };
  s.put(0x1_0040n, ...steWords({ V: 1, Config: 5, S2VMID: 1, ...stream }));
  const fields = { V: 1, AA64: 1, A: 1, R: 1, IPS: 5, EPD1: 1, T0SZ: 16, ASID: 5, TTB0: table.root };
  s.put(cds + 64n, ...cdWords(fields));
  return {
    s,
    table,
    dma: { dev: "sid:1", pasid: 1 },
    iommu: () => s.cmd(0x30n, 0n),
    complete: () => s.cmd(0x46n, 0n),
  };
}

function amd(ats: boolean): Subject {
  const rights = 3n << 61n;
  const s = new Scenario("amd", { dev_tab_base: 0x10_0001n });
  const table = new Radix(s, {
    ...x86(0n, 0n),
    table: (next, level) => next | (BigInt(level - 1) << 9n) | 1n | rights,
    leaf: (pa) => pa | 1n | rights,
  });
  // V, TV, Mode 4, IR, IW; I at bit 96.
  s.put(0x10_0020n, 3n | (4n << 9n) | table.root | rights, 7n | (ats ? 1n << 32n : 0n), 0n, 0n);
  return {
    s,
    table,
    dma: { dev: "devid:1" },
    iommu: () => s.cmd(8n << 60n, 0n),
    complete: () => s.cmd(1n << 60n, 0n),
  };
}

function riscv(ats: boolean): Subject {
  const s = new Scenario("riscv", {
    capabilities: ALL_CAPABILITIES,
    fctl: 0n,
    ddtp: ((0x10_0000n >> 12n) << 10n) | 2n,
  });
  const table = new Radix(s, {
    levels: 3,
    bits: 9,
    pageBits: 12,
    table: (next) => ((next >> 12n) << 10n) | 1n,
    leaf: (pa) => ((pa >> 12n) << 10n) | 0xdfn,
  });
  // V, EN_ATS; fsc of Sv39.
  s.put(0x10_0040n, ats ? 3n : 1n, 0n, 5n << 12n, (8n << 60n) | (table.root >> 12n), 0n, 0n, 0n, 0n);
  return {
    s,
    table,
    dma: { dev: "did:1" },
    iommu: () => s.cmd(1n, 0n),
    complete: () => s.cmd(2n, 0n),
  };
}

const SUBJECTS: [string, (ats: boolean) => Subject, string, string][] = [
  [
    "VT-d legacy mode",
    legacy,
    "device-TLB invalidate: SID 0x18, addr 0x10000000, S 0, MIP 0",
    "device-TLB invalidate: SID 0x18, addr 0x100ff000, S 1, MIP 0",
  ],
  [
    "VT-d scalable mode",
    scalable,
    "PASID-based-device-TLB invalidate: SID 0x18, PASID 5, G 0, addr 0x10000000, S 0, MIP 0",
    "PASID-based-device-TLB invalidate: SID 0x18, PASID 5, G 0, addr 0x100ff000, S 1, MIP 0",
  ],
  [
    "VT-d extended mode",
    extended,
    "PASID-based-device-TLB invalidate: SID 0x18, PASID 5, G 0, addr 0x10000000, S 0, MIP 0",
    "PASID-based-device-TLB invalidate: SID 0x18, PASID 5, G 0, addr 0x100ff000, S 1, MIP 0",
  ],
  [
    "SMMUv3",
    smmu,
    "CMD_ATC_INV SID 0x1 SSID 0x1 addr 0x10000000 Size 0",
    "CMD_ATC_INV SID 0x1 SSID 0x1 addr 0x0 Size 52",
  ],
  [
    "AMD-Vi",
    amd,
    "INVALIDATE_IOTLB_PAGES DeviceID 0x1 addr 0x10000000 QueueID 0x1 MaxPend 0",
    "INVALIDATE_IOTLB_PAGES DeviceID 0x1 addr 0x100ff000 S QueueID 0x1 MaxPend 0",
  ],
  ["RISC-V", riscv, "ATS.INVAL RID 0x1 addr 0x10000000", "ATS.INVAL RID 0x1 addr 0x100ff000 S"],
];

const RULE = "missing-device-tlb-invalidation";

it("VT-d: a command without PASID leaves what was made with one", async () => {
  const { s, table, dma, iommu, complete } = scalable(true);
  complete();
  table.map(A, OLD);
  s.dma({ ...dma, addr: A });
  table.map(A, NEW);
  iommu();
  // VT-d 5.10, 6.5.2.4: the whole address space of requests without PASID.
  s.cmd(0x18_0000_0003n, 0x7fff_ffff_ffff_f001n, 0n, 0n);
  complete();
  s.dma({ ...dma, addr: A });
  expect((await s.run()).rules()).toEqual([RULE]);
});

describe.each(SUBJECTS)("%s", (_name, make, small, large) => {
  /** Uses a page, changes it, drops it from the IOMMU, gives another command, and uses it again. */
  async function play(command: readonly bigint[], { ats = true, level = 1, pa = NEW } = {}) {
    const { s, table, dma, iommu, complete } = make(ats);
    complete();
    const request = { ...dma, addr: A + (level === 1 ? 0n : 0x5000n) };
    table.map(A, OLD, level);
    s.dma(request);
    if (pa === 0n) s.put(table.entry(A, level), 0n);
    else table.map(A, pa, level);
    iommu();
    complete();
    if (command.length > 0) s.cmd(...command);
    complete();
    const seqs = [s.dma(request), s.dma(request)];
    const run = await s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual(["", ""]);
    return run.of("finding");
  }

  it.each([
    ["a page", { level: 1 }],
    ["a page that is gone", { level: 1, pa: 0n }],
    ["a large page", { level: 2 }],
  ])("%s: the command is asked for once, and is enough", async (_what, options) => {
    const [finding, ...more] = await play([], options);
    const command = options.level === 1 ? small : large;
    expect(finding).toMatchObject({ rule: RULE, cache: "devtlb", command });
    expect(more).toEqual([]);
    expect(await play((finding!.data as string[]).map(BigInt), options)).toEqual([]);
  });

  it("a device without ATS keeps nothing", async () => {
    expect(await play([], { ats: false })).toEqual([]);
  });

  it("one page's does not cover another's", async () => {
    const [finding] = await play([]);
    const words = (finding!.data as string[]).map(BigInt);
    const { s, table, dma, iommu, complete } = make(true);
    complete();
    table.map(B, OLD);
    s.dma({ ...dma, addr: B });
    table.map(B, NEW);
    iommu();
    s.cmd(...words);
    complete();
    s.dma({ ...dma, addr: B });
    expect((await s.run()).rules()).toEqual([RULE]);
  });

  it("one that is not complete is no finding, and an old answer is the IOMMU's fault", async () => {
    const [finding] = await play([]);
    const { s, table, dma, iommu, complete } = make(true);
    complete();
    table.map(A, OLD);
    s.dma({ ...dma, addr: A });
    table.map(A, NEW);
    iommu();
    complete();
    s.cmd(...(finding!.data as string[]).map(BigInt));
    const old = s.dma({ ...dma, addr: A }, OLD);
    complete();
    const run = await s.run();
    expect(run.rules()).toEqual([]);
    expect(run.verdict(old)).toBe("stale-after-invalidation");
  });

  it("the neutral form covers it too", async () => {
    const { s, table, dma } = make(true);
    for (const fields of [{ granularity: "global" }, { granularity: "device", dev: dma.dev }]) {
      table.map(A, OLD);
      s.dma({ ...dma, addr: A });
      table.map(A, NEW);
      s.inv({ cache: "all", ...fields });
      s.dma({ ...dma, addr: A });
      s.inv({ cache: "all", ...fields });
    }
    expect((await s.run()).rules()).toEqual([]);
  });
});
