/** IOMMUs whose walks are not coherent: what processors have written and not flushed, they need not have seen. */
import { describe, expect, it } from "vitest";
import { UnflushedWrites } from "../pipeline/caches/history/unflushed-writes.ts";
import { type Format, hex, Radix, type Run, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";
import { ALL_CAPABILITIES } from "./support/riscv-iommu.ts";
import { steWords } from "./support/smmuv3-machine.ts";

const ROOT = 0x10_0000n;
const CONTEXTS = 0x10_1000n;
const A = 0x1000_0000n;
const PA = 0x8000_0000n;
const NEW = 0x9000_0000n;
const DEV = "00:02.0";

const armStage2: Format = {
  levels: 3,
  bits: 9,
  pageBits: 12,
  table: (at) => at | 3n,
  leaf: (pa) => pa | 0x4c3n,
};
const RIGHTS = 3n << 61n;
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

/** A device 00:02.0 with a table of its own, in a machine whose walks are coherent or not. */
type Machine = (coherent: boolean) => { scenario: Scenario; table: Radix };

const MACHINES: Readonly<Record<string, { make: Machine; because: string; fault: bigint }>> = {
  "VT-d, ECAP_REG.C": {
    because: "ECAP_REG.C=0",
    fault: 0x6n,
    make(coherent) {
      const scenario = new Scenario("intel", { rtaddr: ROOT, ecap: coherent ? 3n : 2n });
      const table = new Radix(scenario, VTD_SECOND);
      scenario.put(ROOT, CONTEXTS | 1n, 0n);
      scenario.put(CONTEXTS + 0x100n, table.root | 1n, 0x502n);
      return { scenario, table };
    },
  },
  "SMMUv3, SMMU_IDR0.COHACC": {
    because: "SMMU_IDR0.COHACC=0",
    fault: 0x10n,
    make(coherent) {
      const idr0 = 0x0d44_101bn & ~0x10n;
      const scenario = new Scenario("arm-smmuv3", {
        idr0: coherent ? idr0 | 0x10n : idr0,
        strtab_base: ROOT,
        strtab_base_cfg: 8n,
      });
      const table = new Radix(scenario, armStage2);
      const fields = { V: 1, Config: 6, S2VMID: 1, S2T0SZ: 25, S2SL0: 1, S2AA64: 1, S2PS: 5, S2R: 1 };
      scenario.put(ROOT + 0x10n * 64n, ...steWords({ ...fields, S2TTB: table.root }));
      return { scenario, table };
    },
  },
  "AMD, Control.Coherent": {
    because: "Control.Coherent=0",
    fault: 0x2n,
    make(coherent) {
      const scenario = new Scenario("amd", { dev_tab_base: ROOT, control: coherent ? 0x401n : 1n });
      const table = new Radix(scenario, amdV1);
      scenario.put(ROOT + 0x10n * 32n, 3n | (4n << 9n) | table.root | RIGHTS, 1n, 0n, 0n);
      return { scenario, table };
    },
  },
  "RISC-V, a property": {
    because: "props.coherent=false",
    fault: 0x15n,
    make(coherent) {
      const regs = { capabilities: ALL_CAPABILITIES, fctl: 0n, ddtp: ((ROOT >> 12n) << 10n) | 2n };
      const scenario = new Scenario("riscv", regs, { coherent });
      const table = new Radix(scenario, sv39x4);
      const iohgatp = (8n << 60n) | (1n << 44n) | (table.root >> 12n);
      scenario.put(ROOT + 0x10n * 64n, 1n, iohgatp, 0n, 0n, 0n, 0n, 0n, 0n);
      return { scenario, table };
    },
  },
};

function finding(run: Run): Record<string, unknown> | undefined {
  return run.of("finding").find((record) => record.rule === "missing-flush");
}

const request = { dev: DEV, addr: A };

describe.each(Object.entries(MACHINES))("%s", (_name, { make, because, fault }) => {
  it("a trace that records flushes shows the one that is missing, whatever was answered", async () => {
    const { scenario: s, table } = make(false);
    table.entry(A);
    s.add({ type: "flush" });
    table.map(A, PA);
    const written = s.lines.length;
    s.dma(request, PA);
    s.dma(request, PA);
    const run = await s.run();
    expect(run.summary.verdicts).toEqual({ match: 2 });
    expect(run.of("finding")).toMatchObject([
      { rule: "missing-flush", line: written + 1, latent: true, changed_line: written },
    ]);
    expect(finding(run)!.message).toContain(`with ${because} the IOMMU need not see that write`);
    // What was written before the first flush was there, as far as the trace tells; and this write is flushed.
    const { scenario: flushed, table: other } = make(false);
    other.map(A, PA);
    flushed.add({ type: "flush", addr: "0x0" });
    other.map(A, NEW);
    flushed.add({ type: "flush", addr: hex(other.entry(A)) });
    flushed.dma(request, NEW);
    expect((await flushed.run()).rules()).toEqual([]);
  });

  it("a fault from before the last write of an entry is not the IOMMU's", async () => {
    const { scenario, table } = make(false);
    table.map(A, PA);
    const written = scenario.lines.length;
    const seq = scenario.dma(request, { code: fault });
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe("unflushed");
    expect(run.outcome(seq).changed_line).toBe(written);
    expect(finding(run)).toMatchObject({ changed_line: written, severity: "warning" });
    expect(finding(run)!.message).toContain(because);
    expect(run.summary).toMatchObject({ verdicts: { unflushed: 1 } });
  });

  it.each([
    ["a flush of the line", (at: bigint) => ({ addr: hex(at & ~63n), size: "0x40" })],
    ["of one byte of it", (at: bigint) => ({ addr: hex(at) })],
    ["of everything", () => ({})],
  ])("%s makes it the IOMMU's", async (_what, flush) => {
    const { scenario, table } = make(false);
    table.map(A, PA);
    scenario.add({ type: "flush", ...flush(table.entry(A)) });
    const seq = scenario.dma(request, { code: fault });
    const run = await scenario.run();
    // The flushes of a line leave the tables above it, without which there is no translation either.
    const all = Object.keys(flush(0n)).length === 0;
    expect(run.verdict(seq)).toBe(all ? "mismatch" : "unflushed");
    if (!all) expect(finding(run)!.changed_line).not.toBe(scenario.lines.length - 2);
  });

  it("with coherent walks, a fault like that is a mismatch", async () => {
    const { scenario, table } = make(true);
    table.map(A, PA);
    const seq = scenario.dma(request, { code: fault });
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe("mismatch");
    expect(finding(run)).toBeUndefined();
  });

  it("what memory never was is a mismatch", async () => {
    const { scenario, table } = make(false);
    table.map(A, PA);
    const seq = scenario.dma(request, NEW);
    expect((await scenario.run()).verdict(seq)).toBe("mismatch");
  });

  it("what memory says is a match, flushed or not", async () => {
    const { scenario, table } = make(false);
    table.map(A, PA);
    const seq = scenario.dma(request, PA);
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe("match");
    expect(finding(run)).toBeUndefined();
  });
});

describe("VT-d", () => {
  const CAP = 0x1d2008c222f0406n;
  const RWBF = 0x10n;

  function changed(regs: Readonly<Record<string, bigint>>, between: (scenario: Scenario) => void) {
    const scenario = new Scenario("intel", { rtaddr: ROOT, gsts: 0xc000_0000n, ecap: 3n, cap: CAP, ...regs });
    const table = new Radix(scenario, VTD_SECOND);
    table.entry(A);
    scenario.put(ROOT, CONTEXTS | 1n, 0n);
    scenario.put(CONTEXTS + 0x100n, table.root | 1n, 0x502n);
    scenario.add({ type: "flush" });
    table.map(A, PA);
    between(scenario);
    return { scenario, seq: scenario.dma(request, { code: 6n }) };
  }
  const write =
    (name: string, value: bigint) =>
    (scenario: Scenario): void =>
      void scenario.add({ type: "reg", iommu: "unit", name, value: hex(value) });

  it.each([
    ["nothing", () => {}, "unflushed"],
    ["GCMD_REG.WBF", write("gcmd", 0x8800_0000n), "mismatch"],
    ["a flush record", (s: Scenario): void => void s.add({ type: "flush", iommu: "unit" }), "mismatch"],
    ["an invalidation", write("ccmd", 0xa000_0000_0000_0000n), "mismatch"],
    ["another register", write("gcmd", 0x8000_0000n), "unflushed"],
  ] as const)("CAP_REG.RWBF: %s after a write", async (_what, between, verdict) => {
    const { scenario, seq } = changed({ cap: CAP | RWBF }, between);
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe(verdict);
    if (verdict === "unflushed") expect(finding(run)!.message).toContain("CAP_REG.RWBF=1");
  });

  it("with ECAP_REG.C=0, WBF flushes no processor's cache", async () => {
    const { scenario, seq } = changed({ ecap: 2n, cap: CAP | RWBF }, write("gcmd", 0x8800_0000n));
    expect((await scenario.run()).verdict(seq)).toBe("unflushed");
  });

  it("a PASID directory entry that was not flushed (0x51): the driver's, not the IOMMU's", async () => {
    const scenario = new Scenario("intel", {
      cap: 0x11d2008c22380c06n,
      ecap: 0x2c99884000fden,
      rtaddr: 0x1400n,
      gsts: 0xc000_0000n,
    });
    scenario.put(0x16a0n, 0x2001n, 0n).put(0x2100n, 0x3009n, 0n, 0n, 0n).put(0x3000n, 0x4001n);
    const directory = scenario.lines.length;
    scenario.put(0x4080n, 0x41n, 7n, 0x1_0001n, 0n, 0n, 0n, 0n, 0n).put(0x1_0000n, 0x1_1007n);
    const seq = scenario.dma({ dev: "6a:01.0", addr: 0x7fe0_c994_3000n, pasid: 2 }, { code: 0x51n });
    const run = await scenario.run();
    expect(run.verdict(seq)).toBe("unflushed");
    expect(finding(run)).toMatchObject({ changed_line: directory, entry_addr: "0x3000" });
  });

  it("an update that is invalidated and not flushed is told apart where flushes are recorded", async () => {
    for (const [flush, verdict] of [
      [false, "stale-after-invalidation"],
      [true, "unflushed"],
    ] as const) {
      const scenario = new Scenario("intel", { rtaddr: ROOT, ecap: 2n });
      const table = new Radix(scenario, VTD_SECOND).map(A, PA);
      scenario.put(ROOT, CONTEXTS | 1n, 0n);
      scenario.put(CONTEXTS + 0x100n, table.root | 1n, 0x502n);
      if (flush) scenario.add({ type: "flush" });
      scenario.dma(request, PA);
      table.map(A, NEW);
      scenario.cmd(0x12n, 0n).cmd(5n, 0n);
      const seq = scenario.dma(request, PA);
      expect((await scenario.run()).verdict(seq)).toBe(verdict);
    }
  });
});

describe("UnflushedWrites", () => {
  const bytes = new Uint8Array(4096);
  const memory = {
    view: new DataView(bytes.buffer),
    at: 0,
    peek(_frame: number, offset: number) {
      this.at = offset;
      return true;
    },
  };

  it("keeps what a line held first, and latest, and forgets it with a flush of any of its bytes", () => {
    const writes = new UnflushedWrites(memory);
    for (let value = 0; value < 10; value++) {
      bytes[0x80] = value;
      writes.writing(0, 0x80, 8, value + 1);
    }
    expect(writes.of(2).map(({ line, before }) => [line, before[0]])).toEqual([
      [1, 0],
      [8, 7],
      [9, 8],
      [10, 9],
    ]);
    writes.flush(0, 0x0, 0, 0x80);
    expect(writes.of(2)).toHaveLength(4);
    writes.flush(0, 0x7f, 0, 2);
    expect(writes.any).toBe(false);
  });

  it("keeps a bounded number of lines, the latest", () => {
    const writes = new UnflushedWrites(memory);
    writes.writing(0, 0, 2 ** 23, 1);
    writes.writing(1, 0, 64, 2);
    expect(writes.of(2 ** 26)).toHaveLength(1);
    expect(writes.of(2 ** 17 - 1)).toHaveLength(1);
    expect(writes.of(2 ** 16)).toHaveLength(0);
    writes.flush(0, 0, 2 ** 20, 0);
    expect(writes.any).toBe(false);
  });
});
