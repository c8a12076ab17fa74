/** What a write of a register does to caches: invalidations that are asked for, and root pointers that move. */
import { describe, expect, it } from "vitest";
import { Radix, type Run, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";
import { ALL_CAPABILITIES } from "./support/riscv-iommu.ts";
import { type SteFields, steWords } from "./support/smmuv3-machine.ts";

const A = 0x1000_0000n;
const OLD = 0x8000_0000n;
const NEW = 0x9000_0000n;
const DEV = "00:02.0";
const request = { dev: DEV, addr: A };

function write(scenario: Scenario, name: string, value: bigint): void {
  scenario.add({ type: "reg", iommu: "unit", name, value: `0x${value.toString(16)}` });
}

function finding(run: Run, rule: string): Record<string, unknown> | undefined {
  return run.of("finding").find((record) => record.rule === rule);
}

describe("VT-d: register-based invalidation", () => {
  const ROOT = 0x10_0000n;
  const CONTEXTS = 0x10_1000n;
  // ND 6, PSI, MAMV 0, all else as in a machine of legacy mode.
  const CAP = 0x1d2008c222f0406n;
  const GLOBAL_CONTEXTS = 0xa000_0000_0000_0000n;
  const GLOBAL_IOTLB = 0x9000_0000_0000_0000n;

  class Legacy extends Scenario {
    readonly before = new Radix(this, VTD_SECOND).map(A, OLD);
    readonly after = new Radix(this, VTD_SECOND).map(A, NEW);

    constructor(regs: Readonly<Record<string, bigint>> = {}) {
      super("intel", { cap: CAP, ecap: 0xfdfn, rtaddr: ROOT, gsts: 0xc000_0000n, ...regs });
      this.put(ROOT, CONTEXTS | 1n, 0n);
      this.context(this.before);
    }

    /** Legacy context entry of 00:02.0: AW 2 (4 levels), domain 5. */
    context(table: Radix): void {
      this.put(CONTEXTS + 0x100n, table.root | 1n, 0x502n);
    }
  }

  it.each([
    ["global", GLOBAL_CONTEXTS, GLOBAL_IOTLB],
    ["by device and by domain", 0xe000_0000_0010_0005n, 0xa000_0005_0000_0000n],
  ])("%s: what was cached is gone", async (_name, contexts, iotlb) => {
    for (const [observed, verdict] of [
      [NEW, "match"],
      [OLD, "stale-after-invalidation"],
    ] as const) {
      const scenario = new Legacy();
      scenario.dma(request, OLD);
      scenario.context(scenario.after);
      write(scenario, "ccmd", contexts);
      write(scenario, "iotlb", iotlb);
      const seq = scenario.dma(request, observed);
      const run = await scenario.run();
      expect(run.verdict(seq)).toBe(verdict);
      expect(run.rules()).toEqual([]);
      expect(run.of("stats")[0]).toMatchObject({ invalidations: { CCMD_REG: 1, IOTLB_REG: 1 } });
    }
  });

  it("takes the registers by the specification's whole names", async () => {
    const scenario = new Legacy();
    scenario.dma(request, OLD);
    scenario.context(scenario.after);
    write(scenario, "CCMD_REG", GLOBAL_CONTEXTS);
    write(scenario, "iotlb_reg", GLOBAL_IOTLB);
    expect((await scenario.run()).rules()).toEqual([]);
  });

  it.each([
    ["of another domain", 0xe000_0000_0010_0006n],
    ["of another device", 0xe000_0000_0018_0005n],
    ["without ICC", 0x2000_0000_0000_0000n],
  ])("a CCMD_REG %s leaves the context", async (_name, value) => {
    const scenario = new Legacy();
    scenario.dma(request, OLD);
    scenario.context(scenario.after);
    write(scenario, "ccmd", value);
    write(scenario, "iotlb", GLOBAL_IOTLB);
    const seq = scenario.dma(request, OLD);
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe("stale");
    expect(finding(run, "missing-invalidation")).toMatchObject({
      command: "CCMD_REG: device-selective, DID 5, SID 0x10, FM 0",
      command_register: "ccmd",
      data: ["0xe000000000100005"],
    });
  });

  it.each([
    ["the page of IVA_REG", A, "stale-after-invalidation"],
    ["another page", A + 0x1000n, "stale"],
  ])("by page: %s", async (_name, iva, verdict) => {
    const scenario = new Legacy();
    scenario.dma(request, OLD);
    scenario.before.map(A, NEW);
    write(scenario, "iva", iva);
    write(scenario, "iotlb", 0xb000_0005_0000_0000n);
    const seq = scenario.dma(request, OLD);
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe(verdict);
    if (verdict === "stale")
      expect(finding(run, "missing-invalidation")).toMatchObject({
        command: "IOTLB_REG: page-selective, DID 5, addr 0x10000000, AM 0, IH 0",
        data: ["0xb000000500000000", "0x10000000"],
      });
  });

  it("is refused while the queue is enabled, and where no granularity is given", async () => {
    for (const [gsts, iotlb, message] of [
      [0xc400_0000n, GLOBAL_IOTLB, "expected GSTS_REG.QIES to be clear"],
      [0xc000_0000n, 0x8000_0000_0000_0000n, "expected granularity 1 to 3, found 0"],
    ] as const) {
      const scenario = new Legacy({ gsts });
      scenario.dma(request, OLD);
      scenario.before.map(A, NEW);
      write(scenario, "iotlb", iotlb);
      const seq = scenario.dma(request, OLD);
      const run = await scenario.run();
      expect(run.verdict(seq)).toBe("stale");
      expect(finding(run, "bad-command")?.message).toContain(message);
    }
  });

  it("advises the queue where commands have come through it, or it is not known to be off", async () => {
    for (const [regs, used] of [
      [{ gsts: 0xc000_0000n }, true],
      [{ gsts: 0xc400_0000n }, false],
    ] as const) {
      const scenario = new Legacy(regs);
      if (used) scenario.cmd(5n, 0n);
      scenario.dma(request, OLD);
      scenario.before.map(A, NEW);
      scenario.dma(request, OLD);
      const found = finding(await scenario.run(), "missing-invalidation");
      expect(found?.command).toMatch(/^IOTLB invalidate: /);
      expect(found).not.toHaveProperty("command_register");
    }
  });

  it("with GCMD_REG, RTADDR_REG counts from SRTP on, and TE and QIE show in GSTS_REG", async () => {
    const scenario = new Legacy();
    write(scenario, "gcmd", 0x8000_0000n);
    const next = scenario.allocate();
    const contexts = scenario.allocate();
    scenario.put(next, contexts | 1n, 0n);
    scenario.put(contexts + 0x100n, scenario.after.root | 1n, 0x502n);
    write(scenario, "rtaddr", next);
    const before = scenario.dma(request, OLD);
    write(scenario, "gcmd", 0xc000_0000n);
    write(scenario, "ccmd", GLOBAL_CONTEXTS);
    write(scenario, "iotlb", GLOBAL_IOTLB);
    const after = scenario.dma(request, NEW);
    write(scenario, "gcmd", 0n);
    const off = scenario.dma(request, A);
    const run = await scenario.run();
    expect([before, after, off].map((seq) => run.verdict(seq))).toEqual(["match", "match", "match"]);
    expect(run.rules()).toEqual([]);
  });

  it("SRTP drops everything with CAP_REG.ESRTPS alone", async () => {
    for (const [cap, verdict] of [
      [CAP, "stale"],
      [CAP | (1n << 63n), "stale-after-invalidation"],
    ] as const) {
      const scenario = new Legacy({ cap });
      scenario.dma(request, OLD);
      scenario.context(scenario.after);
      write(scenario, "gcmd", 0xc000_0000n);
      const seq = scenario.dma(request, OLD);
      expect((await scenario.run()).verdict(seq)).toBe(verdict);
    }
  });
});

/** An IOMMU whose device is translated by other tables under another root. */
interface Moved {
  readonly scenario: Scenario;
  /** Moves the root pointer. */
  move(): void;
  /** Gives the commands that are owed, and waits for them. */
  invalidate(): void;
  readonly register: string;
  readonly expected: string;
}

const RIGHTS = 3n << 61n;

const MOVED: Readonly<Record<string, () => Moved>> = {
  "VT-d RTADDR_REG"() {
    const [root, next] = [0x10_0000n, 0x20_0000n];
    const scenario = new Scenario("intel", { rtaddr: root, cap: 0x1d2008c222f0406n });
    [root, next].forEach((at, i) => {
      const table = new Radix(scenario, VTD_SECOND).map(A, [OLD, NEW][i]!);
      scenario.put(at, (at + 0x1000n) | 1n, 0n);
      scenario.put(at + 0x1100n, table.root | 1n, 0x502n);
    });
    return {
      scenario,
      move: () => write(scenario, "rtaddr", next),
      invalidate: () => scenario.cmd(0x11n, 0n).cmd(0x12n, 0n).cmd(5n, 0n),
      register: "rtaddr",
      expected: "context-cache invalidate: global, then IOTLB invalidate: global",
    };
  },
  "SMMUv3 SMMU_STRTAB_BASE"() {
    const [root, next] = [0x10_0000n, 0x20_0000n];
    const scenario = new Scenario("arm-smmuv3", { strtab_base: root, strtab_base_cfg: 8n, cr0: 1n });
    const format = {
      levels: 3,
      bits: 9,
      pageBits: 12,
      table: (at: bigint) => at | 3n,
      leaf: (pa: bigint) => pa | 0x4c3n,
    };
    [root, next].forEach((at, i) => {
      const table = new Radix(scenario, format).map(A, [OLD, NEW][i]!);
      const fields: SteFields = {
        V: 1,
        Config: 6,
        S2VMID: 1,
        S2T0SZ: 25,
        S2SL0: 1,
        S2AA64: 1,
        S2PS: 5,
        S2TTB: table.root,
      };
      scenario.put(at + 0x10n * 64n, ...steWords(fields));
    });
    return {
      scenario,
      move() {
        write(scenario, "smmu_cr0", 0n);
        write(scenario, "smmu_strtab_base", next);
        write(scenario, "smmu_cr0", 1n);
      },
      invalidate: () => scenario.cmd(4n, 31n).cmd(0x30n, 0n).cmd(0x46n, 0n),
      register: "strtab_base",
      expected: "CMD_CFGI_ALL, then CMD_TLBI_NSNH_ALL",
    };
  },
  "AMD DEV_TAB_BASE"() {
    const [root, next] = [0x10_0000n, 0x20_0000n];
    const scenario = new Scenario("amd", { dev_tab_base: root, control: 1n });
    const format = {
      levels: 4,
      bits: 9,
      pageBits: 12,
      table: (at: bigint, level: number) => at | (BigInt(level - 1) << 9n) | 1n | RIGHTS,
      leaf: (pa: bigint) => pa | 1n | RIGHTS,
    };
    [root, next].forEach((at, i) => {
      const table = new Radix(scenario, format).map(A, [OLD, NEW][i]!);
      scenario.put(at + 0x10n * 32n, 3n | (4n << 9n) | table.root | RIGHTS, 1n, 0n, 0n);
    });
    return {
      scenario,
      move: () => write(scenario, "dev_tab_base", next),
      invalidate: () => scenario.cmd(8n << 60n, 0n).cmd(1n << 60n, 0n),
      register: "dev_tab_base",
      expected: "INVALIDATE_IOMMU_ALL",
    };
  },
  "RISC-V ddtp"() {
    const [root, next] = [0x10_0000n, 0x20_0000n];
    const ddtp = (at: bigint) => ((at >> 12n) << 10n) | 2n;
    const scenario = new Scenario("riscv", { capabilities: ALL_CAPABILITIES, fctl: 0n, ddtp: ddtp(root) });
    const format = {
      levels: 3,
      bits: 9,
      pageBits: 12,
      topBits: 2,
      table: (at: bigint) => ((at >> 12n) << 10n) | 1n,
      leaf: (pa: bigint) => ((pa >> 12n) << 10n) | 0xdfn,
    };
    [root, next].forEach((at, i) => {
      const table = new Radix(scenario, format).map(A, [OLD, NEW][i]!);
      const iohgatp = (8n << 60n) | (1n << 44n) | (table.root >> 12n);
      scenario.put(at + 0x10n * 64n, 1n, iohgatp, 0n, 0n, 0n, 0n, 0n, 0n);
    });
    return {
      scenario,
      move: () => {
        // By way of Off.
        write(scenario, "ddtp", ddtp(root) & ~0xfn);
        write(scenario, "ddtp", ddtp(next));
      },
      invalidate: () => scenario.cmd(3n, 0n).cmd(1n, 0n).cmd(0x81n, 0n).cmd(2n, 0n),
      register: "ddtp",
      expected: "IODIR.INVAL_DDT, then IOTINVAL.VMA, then IOTINVAL.GVMA",
    };
  },
};

describe.each(Object.entries(MOVED))("a root pointer that moves: %s", (_name, make) => {
  it.each([
    ["an old answer", OLD, "stale"],
    ["no answer", undefined, "hazard"],
  ] as const)("without invalidations, %s is the driver's debt", async (_what, observed, verdict) => {
    const { scenario, move, register, expected } = make();
    const dma = (seen?: bigint) => scenario.dma(request, seen);
    dma(OLD);
    move();
    const line = scenario.lines.length;
    const seq = dma(observed);
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe(verdict);
    expect(run.rules()).toEqual(["missing-invalidation"]);
    const found = finding(run, "missing-invalidation")!;
    expect(found.register).toBe(register);
    expect(found.changed_line).toBeLessThanOrEqual(line);
    expect(found.message).toContain(`Expected ${expected}`);
    expect(run.outcome(seq).changed_line).toBe(found.changed_line);
  });

  it.each([
    ["the new answer", NEW, "match"],
    ["the old one", OLD, "stale-after-invalidation"],
  ])("with them, nothing is said of %s", async (_what, observed, verdict) => {
    const { scenario, move, invalidate } = make();
    scenario.dma(request, OLD);
    move();
    invalidate();
    const seq = scenario.dma(request, observed);
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe(verdict);
    expect(run.rules()).toEqual([]);
  });

  it("a change before anything was used asks for nothing", async () => {
    const { scenario, move } = make();
    move();
    const seq = scenario.dma(request, NEW);
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe("match");
    expect(run.rules()).toEqual([]);
  });
});

describe("registers that may not be changed as the IOMMU is", () => {
  /** @returns message of what is found when a register is written once or more often */
  async function found(model: string, regs: Readonly<Record<string, bigint>>, writes: [string, bigint][]) {
    const s = new Scenario(model, regs);
    for (const [name, value] of writes) write(s, name, value);
    return (await s.run())
      .of("finding")
      .filter(({ rule }) => rule === "guarded-register")
      .map(({ line, message }) => [(line as number) - 2, (message as string).replace(/^.*: expected /, "")]);
  }

  it("SMMUv3, IHI 0070 6.3.24, 6.3.25, 6.3.12: only while SMMUEN is 0", async () => {
    const on = { cr0: 1n, cr2: 0n, strtab_base: 0x1_0000n, strtab_base_cfg: 8n };
    for (const [name, value] of [
      ["strtab_base", 0x2_0000n],
      ["strtab_base_cfg", 7n],
      ["cr2", 1n],
    ] as const) {
      expect(await found("arm-smmuv3", on, [[name, value]])).toMatchObject([
        [1, expect.stringMatching(/^CR0.SMMUEN to be 0 before it is changed/)],
      ]);
      expect(await found("arm-smmuv3", { ...on, cr0: 0n }, [[name, value]])).toEqual([]);
      expect(await found("arm-smmuv3", on, [[name, on[name]]])).toEqual([]);
      // A trace says what there is, before it begins.
      expect(await found("arm-smmuv3", { cr0: 1n }, [[name, value]])).toEqual([]);
    }
    const off: [string, bigint][] = [
      ["cr0", 0n],
      ["strtab_base", 0x2_0000n],
      ["cr0", 1n],
    ];
    expect(await found("arm-smmuv3", on, off)).toEqual([]);
  });

  it("RISC-V, ddtp and fctl", async () => {
    const on = { ddtp: 0x4002n, fctl: 0n };
    const directory = "ddtp.iommu_mode to be Off or Bare before another directory is in use";
    for (const [writes, expected] of [
      [[["ddtp", 0x4003n]], [[1, directory]]],
      [[["ddtp", 0x8002n]], [[1, directory]]],
      // Bit 4 is busy.
      [[["ddtp", 0x4012n]], []],
      [[["ddtp", 1n]], [[1, "ddtp.iommu_mode to be Off before it becomes Bare"]]],
      [[["fctl", 4n]], [[1, "ddtp.iommu_mode to be Off before fctl is changed"]]],
      [
        [
          ["ddtp", 0x4000n],
          ["fctl", 4n],
          ["ddtp", 1n],
          ["ddtp", 0x4003n],
        ],
        [],
      ],
    ] as [[string, bigint][], unknown[]][])
      expect(await found("riscv", on, writes)).toEqual(expected);
  });
});
