/** After a command that the IOMMU refuses, nothing behind it takes effect until software restarts the queue. */
import { describe, expect, it } from "vitest";
import { type Format, hex, Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";
import { ALL_CAPABILITIES } from "./support/riscv-iommu.ts";
import { steWords } from "./support/smmuv3-machine.ts";

const ROOT = 0x10_0000n;
const A = 0x1000_0000n;
const OLD = 0x8000_0000n;
const NEW = 0x9000_0000n;
const request = { dev: "00:02.0", addr: A };
const RIGHTS = 3n << 61n;

interface Machine {
  readonly scenario: Scenario;
  readonly table: Radix;
  readonly bad: readonly bigint[];
  readonly everything: readonly bigint[];
  readonly wait: readonly bigint[];
  /** A write that restarts the queue, and one to the same IOMMU that does not. */
  readonly restart: readonly [name: string, value: bigint];
  readonly other: readonly [name: string, value: bigint];
}

const radix = (levels: number, table: Format["table"], leaf: Format["leaf"], topBits = 0): Format => ({
  levels,
  bits: 9,
  pageBits: 12,
  topBits,
  table,
  leaf,
});

const MACHINES: Readonly<Record<string, () => Machine>> = {
  "VT-d: FSTS_REG"() {
    const scenario = new Scenario("intel", { rtaddr: ROOT, gsts: 0xc400_0000n });
    const table = new Radix(scenario, VTD_SECOND).map(A, OLD);
    scenario.put(ROOT, (ROOT + 0x1000n) | 1n, 0n).put(ROOT + 0x1100n, table.root | 1n, 0x502n);
    return {
      scenario,
      table,
      bad: [2n, 0n],
      everything: [0x12n, 0n],
      wait: [5n, 0n],
      restart: ["fsts", 0x10n],
      other: ["gsts", 0xc400_0000n],
    };
  },
  "SMMUv3: SMMU_GERRORN"() {
    const scenario = new Scenario("arm-smmuv3", { strtab_base: ROOT, strtab_base_cfg: 8n });
    const format = radix(
      3,
      (at) => at | 3n,
      (pa) => pa | 0x443n,
    );
    const table = new Radix(scenario, format).map(A, OLD);
    const fields = { V: 1, Config: 6, S2VMID: 1, S2T0SZ: 25, S2SL0: 1, S2AA64: 1, S2PS: 5 };
    scenario.put(ROOT + 0x10n * 64n, ...steWords({ ...fields, S2TTB: table.root }));
    return {
      scenario,
      table,
      bad: [0xffn, 0n],
      everything: [0x30n, 0n],
      wait: [0x46n, 0n],
      restart: ["smmu_gerrorn", 1n],
      other: ["smmu_cr0", 1n],
    };
  },
  "AMD: Control.CmdBufEn"() {
    const scenario = new Scenario("amd", { dev_tab_base: ROOT, control: 0x1001n });
    const format = radix(
      4,
      (at, level) => at | (BigInt(level - 1) << 9n) | 1n | RIGHTS,
      (pa) => pa | 1n | RIGHTS,
    );
    const table = new Radix(scenario, format).map(A, OLD);
    scenario.put(ROOT + 0x10n * 32n, 3n | (4n << 9n) | table.root | RIGHTS, 1n, 0n, 0n);
    return {
      scenario,
      table,
      bad: [15n << 60n, 0n],
      everything: [8n << 60n, 0n],
      wait: [1n << 60n, 0n],
      restart: ["control", 1n],
      other: ["control", 0x1001n],
    };
  },
  "RISC-V: cqcsr"() {
    const ddtp = ((ROOT >> 12n) << 10n) | 2n;
    const scenario = new Scenario("riscv", { capabilities: ALL_CAPABILITIES, fctl: 0n, ddtp });
    const format = radix(
      3,
      (at) => ((at >> 12n) << 10n) | 1n,
      (pa) => ((pa >> 12n) << 10n) | 0xdfn,
      2,
    );
    const table = new Radix(scenario, format).map(A, OLD);
    const iohgatp = (8n << 60n) | (1n << 44n) | (table.root >> 12n);
    scenario.put(ROOT + 0x10n * 64n, 1n, iohgatp, 0n, 0n, 0n, 0n, 0n, 0n);
    return {
      scenario,
      table,
      bad: [9n, 0n],
      everything: [0x81n, 0n],
      wait: [2n, 0n],
      restart: ["cqcsr", 0x401n],
      other: ["ddtp", ddtp],
    };
  },
};

function write(scenario: Scenario, [name, value]: readonly [string, bigint]): void {
  scenario.add({ type: "reg", iommu: "unit", name, value: hex(value) });
}

describe.each(Object.entries(MACHINES))("%s", (_name, make) => {
  /** Changes a page that was used, and invalidates behind a command that is refused. */
  function stopped(before: boolean): Machine {
    const machine = make();
    const { scenario, table, bad, everything, wait } = machine;
    if (before) scenario.cmd(...wait);
    scenario.dma(request, OLD);
    table.map(A, NEW);
    scenario
      .cmd(...bad)
      .cmd(...everything)
      .cmd(...wait);
    return machine;
  }

  it.each([true, false])(
    "an old answer is not the IOMMU's fault (it has completed before: %s)",
    async (before) => {
      const { scenario, other } = stopped(before);
      write(scenario, other);
      const seq = scenario.dma(request, OLD);
      const run = await scenario.run();
      expect(run.verdict(seq)).toBe("stale");
      expect(run.rules()).toEqual(["bad-command", "stopped-queue"]);
      const refused = scenario.lines.findIndex((line) => line.includes('"cmd"')) + (before ? 2 : 1);
      expect(run.of("finding")[1]!.issued_line).toBeGreaterThanOrEqual(refused);
    },
  );

  it.each([true, false])(
    "once the queue is restarted, it is (it has completed before: %s)",
    async (before) => {
      const { scenario, restart } = stopped(before);
      write(scenario, restart);
      const seq = scenario.dma(request, OLD);
      const run = await scenario.run();
      expect(run.verdict(seq)).toBe("stale-after-invalidation");
      expect(run.rules()).toEqual(["bad-command"]);
    },
  );

  it("a new answer shows that it was restarted", async () => {
    const { scenario } = stopped(true);
    const right = scenario.dma(request, NEW);
    const wrong = scenario.dma(request, OLD);
    const run = await scenario.run();
    expect([run.verdict(right), run.verdict(wrong)]).toEqual(["match", "stale-after-invalidation"]);
    expect(run.rules()).toEqual(["bad-command"]);
  });

  it("a new answer shows nothing where the trace has all restarts: entries may go at any time", async () => {
    const { scenario } = stopped(true);
    const right = scenario.dma(request, NEW);
    const old = scenario.dma(request, OLD);
    const run = await scenario.run({ restartsRecorded: true });
    expect([run.verdict(right), run.verdict(old)]).toEqual(["match", "stale"]);
  });

  it.each([
    ["came after the change: it is the IOMMU's fault", true, "stale-after-invalidation"],
    ["came before the change: the page may have been read again", false, "stale"],
  ])("one that completed before it stopped, and %s", async (_text, after, verdict) => {
    const { scenario, table, bad, everything, wait } = make();
    scenario.dma(request, OLD);
    if (after) table.map(A, NEW);
    scenario.cmd(...everything).cmd(...wait);
    if (!after) table.map(A, NEW);
    scenario
      .cmd(...bad)
      .cmd(...everything)
      .cmd(...wait);
    const seq = scenario.dma(request, OLD);
    expect((await scenario.run()).verdict(seq)).toBe(verdict);
  });

  it("what nothing behind it covers is owed as ever", async () => {
    const { scenario, table } = stopped(true);
    table.map(A, OLD + 0x1000n);
    scenario.dma(request);
    table.map(A, OLD + 0x2000n);
    const seq = scenario.dma(request);
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe("hazard");
    expect(run.rules()).toContain("missing-invalidation");
  });
});

it("an answer that is nearly what is still held behind the stop differs in what it lacks of that", async () => {
  const { scenario, table, bad, everything } = MACHINES["VT-d: FSTS_REG"]!();
  scenario.put(table.entry(A), OLD | 1n);
  scenario.dma({ ...request, access: "r" }, OLD);
  scenario.put(table.entry(A), OLD | 3n);
  const write = { ...request, access: "w" } as const;
  const held = scenario
    .cmd(...bad)
    .cmd(...everything)
    .dma(write, { code: 5n, recorded: true });
  const unrecorded = scenario.dma(write, { recorded: false });
  const run = await scenario.run();
  expect(run.verdict(held)).toBe("stale");
  expect(run.outcome(unrecorded)).toMatchObject({ verdict: "mismatch", diff: "record" });
  expect(run.rules()).toEqual(["bad-command", "stopped-queue"]);
});

it("of two translations that give an answer, the one is taken whose invalidation stands behind the stop", async () => {
  const { scenario, table, bad, everything } = MACHINES["VT-d: FSTS_REG"]!();
  const large = table.entry(A, 2);
  const read = (offset: bigint) =>
    scenario.dma({ dev: "00:02.0", addr: A + offset, access: "r" }, OLD + offset);
  scenario.put(large, OLD | 0x83n);
  read(0x3000n);
  scenario.put(large, OLD | 0x81n);
  scenario.cmd(...everything);
  read(0x5000n);
  scenario
    .cmd(...bad)
    .put(large, 0n)
    .cmd(...everything);
  const seq = read(0x4000n);
  const run = await scenario.run();
  expect(run.verdict(seq)).toBe("stale");
  expect(run.rules()).toEqual(["bad-command", "stopped-queue"]);
});

it.each([true, false])(
  "what a context leads to whose invalidation stands behind it is held, as that may be (all restarts are recorded: %s)",
  async (restartsRecorded) => {
    const { scenario, table, bad } = MACHINES["RISC-V: cqcsr"]!();
    const DDT_INVALIDATION = [3n, 0n];
    const other = { dev: "00:02.0", addr: A + 0x1000n };
    table.map(other.addr, OLD + 0x1000n);
    scenario.dma(other, OLD + 0x1000n);
    scenario.put(ROOT + 0x10n * 64n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n);
    scenario.cmd(...bad).cmd(...DDT_INVALIDATION);
    const first = scenario.dma(request, OLD);
    table.map(A, NEW);
    const again = scenario.dma(request, OLD);
    const run = await scenario.run({ restartsRecorded });
    expect([run.verdict(first), run.verdict(again)]).toEqual(["stale", "stale"]);
  },
);
