/** A context moves to another domain or goes: its invalidation leaves what was translated through it. */
import { describe, expect, it } from "vitest";
import { type Format, Radix, type Run, Scenario, VTD_SECOND, X86_64 } from "./support/cache-scenario.ts";
import { ALL_CAPABILITIES } from "./support/riscv-iommu.ts";
import { steWords } from "./support/smmuv3-machine.ts";

const A = 0x4000_0000n;
const OLD = 0x20_0000n;
const NEW = 0x30_0000n;
const ROOT = 0x10_0000n;
const CONTEXTS = 0x10_1000n;
const RIGHTS = 3n << 61n;

interface Moved {
  readonly scenario: Scenario;
  readonly pasid?: number;
  /** Moves a device's context to another domain, or takes it away, and invalidates the context alone; what comes in between. */
  move(between?: () => void): void;
  /** The first device of two, and another one in the old domain, which stays there. */
  readonly dev: string;
  readonly other: string;
  /** What covers translations of the old domain. */
  readonly owed: readonly bigint[];
  readonly wait: readonly bigint[];
  readonly command: string;
  /** What an observer sees of memory as it is. */
  readonly now: bigint | { readonly code: bigint };
}

const DEV = "00:03.0";
const OTHER = "00:04.0";

const amdV1: Format = {
  levels: 4,
  bits: 9,
  pageBits: 12,
  table: (at, level) => at | (BigInt(level - 1) << 9n) | 1n | RIGHTS,
  leaf: (pa) => pa | 1n | RIGHTS,
};
const sv39x4: Format = {
  levels: 3,
  bits: 9,
  pageBits: 12,
  topBits: 2,
  table: (at) => ((at >> 12n) << 10n) | 1n,
  leaf: (pa) => ((pa >> 12n) << 10n) | 0xdfn,
};

const MOVES: Readonly<Record<string, () => Moved>> = {
  "VT-d PASID entry that goes"() {
    const scenario = new Scenario("intel", { rtaddr: ROOT | 0x400n });
    const directory = scenario.allocate();
    const pasids = scenario.allocate();
    const table = new Radix(scenario, X86_64).map(A, OLD);
    scenario.put(ROOT, CONTEXTS | 1n);
    for (const devfn of [0x18n, 0x20n]) scenario.put(CONTEXTS + devfn * 32n, directory | 9n, 0n, 0n, 0n);
    scenario.put(directory, pasids | 1n);
    scenario.put(pasids + 5n * 64n, 0x49n, 1n, table.root, 0n);
    return {
      scenario,
      pasid: 5,
      move(between) {
        scenario.put(pasids + 5n * 64n, 0n);
        between?.();
        scenario.cmd(0x5_0001_0017n, 0n, 0n, 0n).cmd(5n, 0n, 0n, 0n);
      },
      dev: DEV,
      other: OTHER,
      owed: [0x5_0001_0026n, 0n, 0n, 0n],
      wait: [5n, 0n, 0n, 0n],
      command: "PASID-based-IOTLB invalidate: PASID-selective, DID 1, PASID 5",
      now: { code: 0x59n },
    };
  },
  "VT-d PASID entry of a nested translation": () => {
    const scenario = new Scenario("intel", { rtaddr: ROOT | 0x400n });
    const directory = scenario.allocate();
    const pasids = scenario.allocate();
    const second = new Radix(scenario, VTD_SECOND);
    for (let page = 0n; page < 0x200_0000n; page += 0x1000n) second.map(page, page);
    const table = new Radix(scenario, X86_64).map(A, OLD);
    scenario.put(ROOT, CONTEXTS | 1n);
    for (const devfn of [0x18n, 0x20n]) scenario.put(CONTEXTS + devfn * 32n, directory | 9n, 0n, 0n, 0n);
    scenario.put(directory, pasids | 1n);
    scenario.put(pasids + 5n * 64n, second.root | 0xc9n, 1n, table.root, 0n);
    return {
      scenario,
      pasid: 5,
      move(between) {
        scenario.put(pasids + 5n * 64n, 0n);
        between?.();
        scenario.cmd(0x5_0001_0017n, 0n, 0n, 0n).cmd(5n, 0n, 0n, 0n);
      },
      dev: DEV,
      other: OTHER,
      owed: [0x1_0022n, 0n, 0n, 0n],
      wait: [5n, 0n, 0n, 0n],
      command: "IOTLB invalidate: domain-selective, DID 1",
      now: { code: 0x59n },
    };
  },
  "VT-d context entry in another domain"() {
    const scenario = new Scenario("intel", { rtaddr: ROOT });
    const before = new Radix(scenario, VTD_SECOND).map(A, OLD);
    const after = new Radix(scenario, VTD_SECOND).map(A, NEW);
    scenario.put(ROOT, CONTEXTS | 1n, 0n);
    scenario.put(CONTEXTS + 0x180n, before.root | 1n, 0x102n);
    scenario.put(CONTEXTS + 0x200n, before.root | 1n, 0x102n);
    return {
      scenario,
      move(between) {
        scenario.put(CONTEXTS + 0x180n, after.root | 1n, 0x202n);
        between?.();
        scenario.cmd(0x18_0001_0031n, 0n).cmd(5n, 0n);
      },
      dev: DEV,
      other: OTHER,
      owed: [0x1_0022n, 0n],
      wait: [5n, 0n],
      command: "IOTLB invalidate: domain-selective, DID 1",
      now: NEW,
    };
  },
  "AMD device table entry in another domain"() {
    const scenario = new Scenario("amd", { dev_tab_base: ROOT, control: 1n });
    const before = new Radix(scenario, amdV1).map(A, OLD);
    const after = new Radix(scenario, amdV1).map(A, NEW);
    const dte = (devfn: bigint, { root }: Radix, domain: bigint) =>
      scenario.put(ROOT + devfn * 32n, 3n | (4n << 9n) | root | RIGHTS, domain, 0n, 0n);
    dte(0x18n, before, 1n);
    dte(0x20n, before, 1n);
    return {
      scenario,
      move(between) {
        dte(0x18n, after, 2n);
        between?.();
        scenario.cmd((2n << 60n) | 0x18n, 0n).cmd(1n << 60n, 0n);
      },
      dev: DEV,
      other: OTHER,
      owed: [(3n << 60n) | (1n << 32n), 0x7fff_ffff_ffff_f003n],
      wait: [1n << 60n, 0n],
      command: "INVALIDATE_IOMMU_PAGES DomainID 0x1 addr 0x7ffffffffffff000 S PDE",
      now: NEW,
    };
  },
  "RISC-V device context of another guest"() {
    const scenario = new Scenario("riscv", {
      capabilities: ALL_CAPABILITIES,
      fctl: 0n,
      ddtp: ((ROOT >> 12n) << 10n) | 2n,
    });
    const before = new Radix(scenario, sv39x4).map(A, OLD);
    const after = new Radix(scenario, sv39x4).map(A, NEW);
    const dc = (dev: bigint, { root }: Radix, gscid: bigint) =>
      scenario.put(
        ROOT + dev * 64n,
        1n,
        (8n << 60n) | (gscid << 44n) | (root >> 12n),
        0n,
        0n,
        0n,
        0n,
        0n,
        0n,
      );
    dc(3n, before, 1n);
    dc(4n, before, 1n);
    return {
      scenario,
      move(between) {
        dc(3n, after, 2n);
        between?.();
        scenario.cmd(3n | (1n << 33n) | (3n << 40n), 0n).cmd(2n, 0n);
      },
      dev: "did:3",
      other: "did:4",
      owed: [0x81n | (1n << 33n) | (1n << 44n), 0n],
      wait: [2n, 0n],
      command: "IOTINVAL.GVMA GSCID 0x1",
      now: NEW,
    };
  },
};

function missing(run: Run): Record<string, unknown> | undefined {
  return run.of("finding").find((record) => record.rule === "missing-invalidation");
}

describe.each(Object.entries(MOVES))("%s", (_name, make) => {
  it.each([
    ["an old answer", OLD, "stale"],
    ["no answer", undefined, "hazard"],
  ] as const)("%s is the driver's debt", async (_what, observed, verdict) => {
    const { scenario, move, dev, pasid, command } = make();
    const request = { dev, addr: A, pasid };
    scenario.dma(request, OLD);
    move();
    const seq = scenario.dma(request, observed);
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe(verdict);
    expect(missing(run)).toMatchObject({ cache: "iotlb", command });
    expect(missing(run)!.message).toContain("invalidated, but not the translations that came from it");
    expect(run.outcome(seq).changed_line).toBe(missing(run)!.changed_line);
  });

  it("with the invalidation that is owed, an old answer is the IOMMU's fault, and a new one right", async () => {
    for (const old of [true, false]) {
      const { scenario, move, dev, pasid, owed, wait, now } = make();
      const request = { dev, addr: A, pasid };
      scenario.dma(request, OLD);
      move();
      scenario.cmd(...owed).cmd(...wait);
      const seq = scenario.dma(request, old ? OLD : now);
      const run = await scenario.run();
      expect(run.verdict(seq)).toBe(old ? "stale-after-invalidation" : "match");
      expect(run.rules()).not.toContain("missing-invalidation");
    }
  });

  it("is owed as well where a request in between used the old context, and its invalidation came late", async () => {
    const { scenario, move, dev, pasid, command } = make();
    const request = { dev, addr: A, pasid };
    scenario.dma(request, OLD);
    move(() => scenario.dma(request, OLD));
    const seq = scenario.dma(request, OLD);
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe("stale");
    expect(run.rules()).toContain("late-invalidation");
    expect(missing(run)).toMatchObject({ cache: "iotlb", command });
  });

  it("of another page nothing is owed", async () => {
    const { scenario, move, dev, pasid } = make();
    scenario.dma({ dev, addr: A + 0x1000n, pasid }, {});
    move();
    const seq = scenario.dma({ dev, addr: A, pasid });
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe("");
    expect(run.rules()).not.toContain("missing-invalidation");
  });
});

describe("what the old domain holds for those who are still in it", () => {
  const stay = Object.entries(MOVES).filter(([name]) => name.includes("another"));
  it.each(stay)("%s: is not the debt of who has left", async (_name, make) => {
    const { scenario, move, dev, other, owed, wait } = make();
    scenario.dma({ dev, addr: A }, OLD);
    move();
    scenario.cmd(...owed).cmd(...wait);
    scenario.dma({ dev: other, addr: A }, OLD);
    const seq = scenario.dma({ dev, addr: A });
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe("");
    expect(run.rules()).not.toContain("missing-invalidation");
  });
});

describe("SMMUv3", () => {
  const stage2: Format = {
    levels: 3,
    bits: 9,
    pageBits: 12,
    table: (at) => at | 3n,
    leaf: (pa) => pa | 0x4c3n,
  };

  function moved(observed: bigint | undefined) {
    const scenario = new Scenario("arm-smmuv3", { strtab_base: ROOT, strtab_base_cfg: 8n });
    const ste = ({ root }: Radix, vmid: number) =>
      scenario.put(
        ROOT + 3n * 64n,
        ...steWords({
          V: 1,
          Config: 6,
          S2VMID: vmid,
          S2T0SZ: 25,
          S2SL0: 1,
          S2AA64: 1,
          S2PS: 5,
          S2TTB: root,
        }),
      );
    ste(new Radix(scenario, stage2).map(A, OLD), 1);
    scenario.dma({ dev: "sid:3", addr: A }, OLD);
    ste(new Radix(scenario, stage2).map(A, NEW), 2);
    scenario.cmd((3n << 32n) | 3n, 1n).cmd(0x46n, 0n);
    return { scenario, seq: scenario.dma({ dev: "sid:3", addr: A }, observed) };
  }

  it("a VMID that nobody uses any more may keep its translations", async () => {
    const { scenario, seq } = moved(undefined);
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe("");
    expect(run.rules()).not.toContain("missing-invalidation");
  });

  it("an answer from them shows that they were owed an invalidation", async () => {
    const { scenario, seq } = moved(OLD);
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe("stale");
    expect(missing(run)).toMatchObject({ command: "CMD_TLBI_S12_VMALL VMID 1" });
  });
});

it("a domain id that another device gets: what is changed is the entry of the device that had it", async () => {
  const s = new Scenario("intel", { rtaddr: ROOT });
  const table = new Radix(s, VTD_SECOND).map(A, OLD);
  const heir = new Radix(s, VTD_SECOND).map(A, NEW);
  s.put(ROOT, CONTEXTS | 1n).put(CONTEXTS + 0x180n, table.root | 1n, 0x902n);
  s.dma({ dev: DEV, addr: A }, OLD);
  s.put(CONTEXTS + 0x180n, 0n, 0n);
  const removed = s.lines.length;
  s.cmd(0x18_0009_0031n, 0n).cmd(0x25n, 0n);
  s.put(CONTEXTS + 0x200n, heir.root | 1n, 0x902n);
  const old = s.dma({ dev: OTHER, addr: A }, OLD);
  const run = await s.run();
  expect(run.verdict(old)).toBe("stale");
  const owed = run.of("finding").find(({ rule }) => rule === "missing-invalidation")!;
  expect(owed).toMatchObject({ changed_line: removed, dev: OTHER, cache: "iotlb" });
  expect(owed.message).toContain("VT-d context entry at 0x101188 was changed");
  expect(owed.message).toContain("invalidated, but not the translations that came from it");
});
