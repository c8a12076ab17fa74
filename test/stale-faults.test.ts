import { describe, expect, it } from "vitest";
import { parseCodeAliases } from "../cli/code-aliases.ts";
import { Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";

const ROOT = 0x10_0000n;
const CONTEXTS = 0x10_1000n;
const A = 0x4000_0000n;
const PA = 0x8000_0000n;
const AT_A = { dev: "00:03.0", addr: A };
const READ = { ...AT_A, access: "r" } as const;
const WRITE = { ...AT_A, access: "w" } as const;
/** Legacy mode: LGN.5, a write without permission; LGN.6, a read. */
const NO_WRITE = 0x5n;
const GLOBAL_IOTLB = [0x12n, 0n] as const;
const WAIT = [0x25n, 0n] as const;

/** A page that was read only when it was used, and is writable since. */
function madeWritable(): { s: Scenario; changed: number } {
  const s = new Scenario("intel", { rtaddr: ROOT });
  const table = new Radix(s, VTD_SECOND);
  s.put(ROOT, CONTEXTS | 1n).put(CONTEXTS + 0x180n, table.root | 1n, (9n << 8n) | 2n);
  s.put(table.entry(A), PA | 1n);
  s.dma(READ, PA);
  s.put(table.entry(A), PA | 3n);
  return { s, changed: s.lines.length };
}

describe("a denial by a stale entry", () => {
  it("with a record is lawful, and its invalidation is owed", async () => {
    const { s, changed } = madeWritable();
    const seq = s.dma(WRITE, { code: NO_WRITE });
    const run = await s.run();
    expect(run.outcome(seq)).toMatchObject({ verdict: "stale", changed_line: changed });
    expect(run.of("finding")).toMatchObject([{ rule: "missing-invalidation", answered: 1 }]);
  });

  it("without a record differs in the record alone, and its invalidation is owed", async () => {
    const { s, changed } = madeWritable();
    const seq = s.dma(WRITE, { recorded: false });
    const run = await s.run();
    expect(run.outcome(seq)).toMatchObject({ verdict: "mismatch", diff: "record", changed_line: changed });
    expect(run.of("finding")).toMatchObject([
      { rule: "missing-invalidation", changed_line: changed, answered: 1 },
    ]);
    expect(run.of("finding")[0]).not.toHaveProperty("latent");
    const byCode = await s.run({ compare: "code" });
    expect(byCode.verdict(seq)).toBe("stale");
  });

  it("without a record, after the invalidation, is none that any IOMMU gives", async () => {
    const { s } = madeWritable();
    s.cmd(...GLOBAL_IOTLB).cmd(...WAIT);
    const seq = s.dma(WRITE, { recorded: false });
    const run = await s.run();
    expect(run.outcome(seq)).toMatchObject({ verdict: "mismatch", diff: "result" });
    expect(run.outcome(seq)).not.toHaveProperty("changed_line");
    expect(run.rules()).toEqual([]);
  });

  it("where no entry denies it, the result differs", async () => {
    const { s } = madeWritable();
    const seq = s.dma(READ, { recorded: false });
    const run = await s.run();
    expect(run.outcome(seq)).toMatchObject({ verdict: "mismatch", diff: "result" });
    // The entry answers a write otherwise, and no request has asked for one.
    expect(run.rules()).toEqual([]);
  });

  it("with another code differs in the code, unless that is declared to mean the same", async () => {
    const { s, changed } = madeWritable();
    const seq = s.dma(WRITE, { code: 0x85n });
    const run = await s.run();
    expect(run.outcome(seq)).toMatchObject({ verdict: "mismatch", diff: "code", changed_line: changed });
    expect(run.rules()).toEqual(["missing-invalidation"]);
    const codeAliases = parseCodeAliases("0x5=0x85");
    expect((await s.run({ codeAliases })).verdict(seq)).toBe("stale");
    const others = parseCodeAliases(["0x6=0x85", "0x85=0x5"]);
    expect((await s.run({ codeAliases: others })).outcome(seq)).toMatchObject({ diff: "code" });
  });

  it("that was answered rightly is a latent one", async () => {
    const { s, changed } = madeWritable();
    const seq = s.dma(WRITE, PA);
    const run = await s.run();
    expect(run.verdict(seq)).toBe("match");
    expect(run.of("finding")).toMatchObject([
      { rule: "missing-invalidation", severity: "error", latent: true, changed_line: changed, requests: 1 },
    ]);
    expect(run.summary).toMatchObject({ latent: 1, verdicts: { match: 2 } });
    expect(run.of("stats")).toMatchObject([{ latent: 1 }]);
  });
});

describe("a logged fault that a stale entry gives", () => {
  const logged = (s: Scenario, code: string) =>
    s.add({ type: "fault", iommu: "unit", dev: "00:03.0", addr: "0x40000000", access: "w", code });

  it("is one problem with the invalidation that is owed", async () => {
    const { s, changed } = madeWritable();
    s.dma(WRITE);
    logged(s, "0x5");
    const at = s.lines.length;
    s.cmd(...GLOBAL_IOTLB).cmd(...WAIT);
    const run = await s.run();
    expect(run.of("finding")).toMatchObject([
      { rule: "late-invalidation", changed_line: changed, first_line: at - 1, fault_line: at },
    ]);
    expect(run.of("finding")[0]!.message).toContain(`the fault logged in line ${at} comes from it`);
  });

  it("is unexplained where the entry gives another", async () => {
    const { s } = madeWritable();
    s.dma(WRITE);
    logged(s, "0x6");
    expect((await s.run()).rules()).toEqual(["unexplained-fault", "missing-invalidation"]);
  });

  it("is unexplained where the recorded answer was another", async () => {
    const { s } = madeWritable();
    s.dma(WRITE, PA);
    logged(s, "0x5");
    expect((await s.run()).rules()).toEqual(["unexplained-fault", "missing-invalidation"]);
  });

  it("is not missed where the old entry lets the request pass", async () => {
    const s = new Scenario("intel", { rtaddr: ROOT });
    const table = new Radix(s, VTD_SECOND).map(A, PA).map(A + 0x1000n, PA);
    s.put(ROOT, CONTEXTS | 1n).put(CONTEXTS + 0x180n, table.root | 1n, (9n << 8n) | 2n);
    s.dma(WRITE);
    s.put(table.entry(A), PA | 1n).put(table.entry(A + 0x1000n), 0n);
    s.dma(WRITE);
    // The log has others.
    s.dma({ ...WRITE, addr: A + 0x1000n });
    s.add({ type: "fault", iommu: "unit", dev: "00:03.0", addr: "0x40001000", code: "0x5" });
    expect((await s.run()).rules()).toEqual(["missing-invalidation"]);
  });

  it("by another code, where that is declared to mean the same", async () => {
    const { s } = madeWritable();
    s.dma(WRITE);
    logged(s, "0x85");
    const run = await s.run({ codeAliases: parseCodeAliases("0x5=0x85") });
    expect(run.rules()).toEqual(["missing-invalidation"]);
  });
});
