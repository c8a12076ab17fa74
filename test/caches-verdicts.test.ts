import { describe, expect, it } from "vitest";
import { hex, Radix, Scenario, VTD_SECOND, X86_64 } from "./support/cache-scenario.ts";

const ROOT = 0x10_0000n;
const CONTEXTS = 0x10_1000n;
const A = 0x1000_0000n;
const B = 0x1000_1000n;
const FIRST_PA = 0x8000_0000n;
const SECOND_PA = 0x9000_0000n;
const THIRD_PA = 0xa000_0000n;
const DEV = { dev: "00:03.0" };
const AT_A = { ...DEV, addr: A };
const WAIT = [0x25n, 0n] as const;
const GLOBAL_IOTLB = [0x12n, 0n] as const;

/** Legacy mode, device 00:03.0 behind a second stage, domain 9. */
function legacy(regs: Readonly<Record<string, bigint>> = {}, props: Readonly<Record<string, unknown>> = {}) {
  const s = new Scenario("intel", { rtaddr: ROOT, ...regs }, props);
  const table = new Radix(s, VTD_SECOND);
  s.put(ROOT, CONTEXTS | 1n);
  context(s, table);
  return { s, table };
}

function context(s: Scenario, table: Radix, did = 9n): void {
  s.put(CONTEXTS + 0x180n, table.root | 1n, (did << 8n) | 2n);
}

describe("between an invalidation and its completion", () => {
  it("old and new are both lawful, and nobody owes anything", async () => {
    const { s, table } = legacy();
    s.cmd(...WAIT);
    table.map(A, FIRST_PA);
    s.dma(AT_A, FIRST_PA);
    table.map(A, SECOND_PA);
    s.cmd(...GLOBAL_IOTLB);
    const between = [s.dma(AT_A, FIRST_PA), s.dma(AT_A, SECOND_PA), s.dma(AT_A)];
    s.cmd(...WAIT);
    const after = [s.dma(AT_A, FIRST_PA), s.dma(AT_A, SECOND_PA), s.dma(AT_A)];
    const run = await s.run();
    expect(between.map((seq) => run.verdict(seq))).toEqual(["stale", "match", ""]);
    expect(after.map((seq) => run.verdict(seq))).toEqual(["stale-after-invalidation", "match", ""]);
    expect(run.rules()).toEqual([]);
  });

  it("what the invalidation does not cover is owed all the same", async () => {
    const { s, table } = legacy();
    s.cmd(...WAIT);
    table.map(A, FIRST_PA).map(B, FIRST_PA);
    s.dma(AT_A);
    s.dma({ ...DEV, addr: B });
    table.map(A, SECOND_PA).map(B, SECOND_PA);
    s.cmd(0x9_0032n, A);
    const seqs = [s.dma(AT_A), s.dma({ ...DEV, addr: B })];
    const run = await s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual(["", "hazard"]);
    expect(run.rules()).toEqual(["missing-invalidation", "missing-completion"]);
  });

  it("an entry that is filled again in between survives", async () => {
    const { s, table } = legacy();
    s.cmd(...WAIT);
    table.map(A, FIRST_PA);
    s.dma(AT_A);
    s.cmd(...GLOBAL_IOTLB);
    s.dma(AT_A);
    s.cmd(...WAIT);
    table.map(A, SECOND_PA);
    const seq = s.dma(AT_A, FIRST_PA);
    expect((await s.run()).verdict(seq)).toBe("stale");
  });
});

describe("before the first completion", () => {
  function scenario() {
    const { s, table } = legacy();
    table.map(A, FIRST_PA);
    s.dma(AT_A, FIRST_PA);
    table.map(A, SECOND_PA);
    s.cmd(...GLOBAL_IOTLB);
    return { s, seqs: [s.dma(AT_A, FIRST_PA), s.dma(AT_A, SECOND_PA), s.dma(AT_A, FIRST_PA)] };
  }

  it("a system that never completes any is taken to act at once", async () => {
    const { s, seqs } = scenario();
    const run = await s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual([
      "stale-after-invalidation",
      "match",
      "stale-after-invalidation",
    ]);
    expect(run.summary.verdicts).toEqual({ match: 2, "stale-after-invalidation": 2 });
  });

  it("one that completes some later was allowed the old answer", async () => {
    const { s, seqs } = scenario();
    s.add({ type: "mark", label: "here" });
    s.cmd(...WAIT);
    const after = s.dma(AT_A, FIRST_PA);
    const run = await s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual(["stale", "match", "stale"]);
    expect(run.verdict(after)).toBe("stale-after-invalidation");
    expect(run.summary.verdicts).toEqual({ match: 2, stale: 2, "stale-after-invalidation": 1 });
    // Output that was held back stays in the order of the input.
    const lines = run.records.map((record) => record.line).filter((line) => line !== undefined) as number[];
    expect(lines).toEqual([...lines].sort((a, b) => a - b));
  });

  it("two IOMMUs are decided one by one", async () => {
    const { s, table } = legacy();
    s.add({ type: "iommu", id: "other", model: "intel", regs: { rtaddr: `0x${ROOT.toString(16)}` } });
    table.map(A, FIRST_PA);
    const ask = (iommu: string, pa: bigint) =>
      s.add({
        type: "dma",
        iommu,
        dev: "00:03.0",
        addr: "0x10000000",
        observed: { result: "ok", pa: `0x${pa.toString(16)}` },
      });
    for (const iommu of ["unit", "other"]) ask(iommu, FIRST_PA);
    table.map(A, SECOND_PA);
    for (const iommu of ["unit", "other"]) s.add({ type: "cmd", iommu, data: ["0x12", "0x0"] });
    for (const iommu of ["other", "unit", "other", "unit"]) ask(iommu, FIRST_PA);
    s.add({ type: "cmd", iommu: "other", data: ["0x25", "0x0"] });
    for (const iommu of ["other", "unit"]) ask(iommu, FIRST_PA);
    const run = await s.run();
    expect(run.of("outcome").map((record) => `${record.iommu} ${record.verdict}`)).toEqual([
      "unit match",
      "other match",
      "other stale",
      "unit stale-after-invalidation",
      "other stale",
      "unit stale-after-invalidation",
      "other stale-after-invalidation",
      "unit stale-after-invalidation",
    ]);
  });

  it("a selection that wants one of the two gets it or not", async () => {
    const { s } = scenario();
    s.cmd(...WAIT);
    const run = await s.run({ only: ["stale"] });
    expect(run.of("outcome").map((record) => record.verdict)).toEqual(["stale", "stale"]);
  });

  it("a neutral invalidation says what has happened", async () => {
    const { s, table } = legacy();
    table.map(A, FIRST_PA);
    s.dma(AT_A, FIRST_PA);
    table.map(A, SECOND_PA);
    s.inv({ cache: "iotlb", granularity: "global" });
    const seq = s.dma(AT_A, FIRST_PA);
    s.cmd(...WAIT);
    expect((await s.run()).verdict(seq)).toBe("stale-after-invalidation");
  });
});

describe("who owes what", () => {
  it("a changed entry that is used again, and invalidated late: one finding", async () => {
    const { s, table } = legacy();
    s.cmd(...WAIT);
    table.map(A, FIRST_PA);
    s.dma(AT_A);
    table.map(A, SECOND_PA);
    const changed = s.lines.length;
    s.dma(AT_A);
    s.dma(AT_A);
    s.cmd(0x9_0032n, A).cmd(...WAIT);
    s.dma(AT_A);
    const run = await s.run();
    expect(run.of("finding")).toMatchObject([
      {
        rule: "late-invalidation",
        line: s.lines.length - 1,
        severity: "error",
        changed_line: changed,
        first_line: changed + 1,
        invalidated_line: s.lines.length - 1,
        requests: 2,
        cache: "iotlb",
        command: "IOTLB invalidate: page-selective, DID 9, addr 0x10000000, AM 0, IH 0",
      },
    ]);
    expect(run.of("finding")[0]!.message).toContain(`came after the use, in line ${s.lines.length - 1}`);
  });

  it("an invalidation that never comes", async () => {
    const { s, table } = legacy();
    table.map(A, FIRST_PA).map(B, FIRST_PA);
    s.dma(AT_A);
    s.dma({ ...DEV, addr: B });
    table.map(A, SECOND_PA);
    const changed = s.lines.length;
    s.dma(AT_A, FIRST_PA);
    s.dma(AT_A, SECOND_PA);
    s.cmd(0x9_0032n, B).cmd(...WAIT);
    const run = await s.run();
    expect(run.of("finding")).toMatchObject([
      { rule: "missing-invalidation", line: changed + 1, changed_line: changed, requests: 2, answered: 1 },
    ]);
    expect(run.of("finding")[0]).not.toHaveProperty("latent");
    expect(run.of("finding")[0]!.message).toContain("it never came by the end of the trace");
    expect(run.summary).not.toHaveProperty("latent");
  });

  it("a page that becomes as it was is not invalidated by that", async () => {
    const { s, table } = legacy();
    table.map(A, FIRST_PA).map(B, FIRST_PA);
    s.dma(AT_A);
    s.dma({ ...DEV, addr: B });
    s.put(table.entry(A), 0n);
    s.dma(AT_A);
    table.map(A, FIRST_PA);
    s.dma(AT_A);
    // Of another page.
    s.cmd(0x9_0032n, B).cmd(...WAIT);
    expect((await s.run()).rules()).toEqual(["missing-invalidation"]);
  });

  it("a page unmapped and mapped anew was stale from the unmapping on", async () => {
    const { s, table } = legacy();
    table.map(A, FIRST_PA);
    s.dma(AT_A);
    const leaf = table.entry(A);
    s.put(leaf, 0n);
    const unmapped = s.lines.length;
    table.map(A, SECOND_PA);
    s.dma(AT_A);
    const [missing] = (await s.run()).of("finding");
    expect(missing).toMatchObject({
      rule: "missing-invalidation",
      changed_line: unmapped,
      entry_addr: hex(leaf),
      old: hex(FIRST_PA | 3n),
      new: hex(SECOND_PA | 3n),
    });
    expect(missing!.message).toContain(
      `was changed in line ${unmapped} from ${hex(FIRST_PA | 3n)} (it is ${hex(SECOND_PA | 3n)} now)`,
    );
  });

  it("what the IOMMU writes itself, and what became as it was, is not the change", async () => {
    const { s, table } = legacy();
    table.map(A, FIRST_PA);
    s.dma(AT_A);
    const leaf = table.entry(A);
    s.put(leaf, 0n);
    table.map(A, FIRST_PA);
    const accessed = Buffer.alloc(8);
    accessed.writeBigUInt64LE(FIRST_PA | 0x103n);
    s.add({ type: "mem", addr: hex(leaf), data: accessed.toString("hex"), by: "iommu" });
    table.map(A, SECOND_PA);
    const changed = s.lines.length;
    s.dma(AT_A);
    const [missing] = (await s.run()).of("finding");
    expect(missing).toMatchObject({ changed_line: changed, old: hex(FIRST_PA | 0x103n) });
    expect(missing!.message).toContain(`in line ${changed} from ${hex(FIRST_PA | 0x103n)} to`);
  });

  it("a page that becomes another one and back is no hazard any more", async () => {
    const { s, table } = legacy();
    table.map(A, FIRST_PA);
    s.dma(AT_A);
    table.map(A, SECOND_PA).map(A, FIRST_PA);
    const seq = s.dma(AT_A);
    expect((await s.run()).verdict(seq)).toBe("");
  });

  it("every older translation that nothing has invalidated is lawful, not only the latest", async () => {
    const { s, table } = legacy();
    for (const pa of [FIRST_PA, SECOND_PA, THIRD_PA]) {
      table.map(A, pa);
      s.dma(AT_A, pa);
    }
    const seqs = [FIRST_PA, SECOND_PA, THIRD_PA, 0xb000_0000n].map((pa) => s.dma(AT_A, pa));
    const run = await s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual(["stale", "stale", "match", "mismatch"]);
  });

  it("what a denied request has brought into the cache may deny the next one", async () => {
    const { s, table } = legacy();
    table.map(B, FIRST_PA);
    s.put(table.entry(A), FIRST_PA | 1n);
    const write = { ...AT_A, access: "w" } as const;
    s.dma(write, { code: 5n });
    table.map(A, FIRST_PA);
    const denied = s.dma(write, {});
    s.cmd(0x9_0032n, A).cmd(...WAIT);
    const after = s.dma(write, {});
    const run = await s.run();
    expect(run.verdict(denied)).toBe("stale");
    expect(run.verdict(after)).toBe("stale-after-invalidation");
  });

  it("a page size that changes leaves the old one in the cache", async () => {
    const { s, table } = legacy();
    s.put(table.entry(A, 2), FIRST_PA | 0x83n);
    s.dma(AT_A, FIRST_PA);
    const small = s.allocate();
    s.put(small, SECOND_PA | 3n);
    s.put(table.entry(A, 2), small | 3n);
    const [old, fresh] = [s.dma(AT_A, FIRST_PA), s.dma(AT_A, SECOND_PA)];
    s.cmd(0x9_0032n, A | 9n).cmd(...WAIT);
    const after = [s.dma(AT_A, FIRST_PA), s.dma(AT_A, SECOND_PA)];
    const run = await s.run();
    expect([old, fresh, ...after].map((seq) => run.verdict(seq))).toEqual([
      "stale",
      "match",
      "stale-after-invalidation",
      "match",
    ]);
  });
});

describe("an invalidation that comes before the change", () => {
  const GLOBAL_CONTEXT = [0x11n, 0n] as const;
  const of = async (...steps: ((s: Scenario, table: Radix) => unknown)[]) => {
    const { s, table } = legacy();
    s.cmd(...WAIT);
    table.map(A, FIRST_PA);
    s.dma(AT_A, FIRST_PA);
    for (const step of steps) step(s, table);
    const seq = s.dma(AT_A, FIRST_PA);
    const run = await s.run();
    return [run.verdict(seq), ...run.rules()];
  };
  const TOO_EARLY = ["stale", "invalidated-too-early"];

  it("may be followed by another read of the old entry: the driver owes one more", async () => {
    const early = (s: Scenario, table: Radix) => {
      s.cmd(...GLOBAL_IOTLB).cmd(...WAIT);
      table.map(A, SECOND_PA);
    };
    expect(await of(early)).toEqual(TOO_EARLY);
    const another = [0x9_0032n, B] as const;
    expect(await of(early, (s) => s.cmd(...another).cmd(...WAIT))).toEqual(TOO_EARLY);
    const late = await of(early, (s) => s.cmd(0x9_0032n, A).cmd(...WAIT));
    expect(late).toEqual(["stale-after-invalidation"]);
    // One that has not completed is enough for nobody to owe another.
    expect(await of(early, (s) => s.cmd(...GLOBAL_IOTLB))).toEqual(["stale", "missing-completion"]);
    const others = (s: Scenario) => {
      for (let i = 0n; i < 64n; i++) s.cmd(0x9_0032n, B + (i << 12n));
      s.cmd(...WAIT);
    };
    expect(await of(early, others)).toEqual(["stale-after-invalidation"]);
  });

  it("is no better for a context entry", async () => {
    const moved = (s: Scenario) => context(s, new Radix(s, VTD_SECOND).map(A, SECOND_PA), 10n);
    const invalidate = (s: Scenario) =>
      s
        .cmd(...GLOBAL_CONTEXT)
        .cmd(...GLOBAL_IOTLB)
        .cmd(...WAIT);
    expect(await of(invalidate, moved)).toEqual(TOO_EARLY);
    expect(await of(moved, invalidate)).toEqual(["stale-after-invalidation"]);
  });
});

describe("a request of several pages", () => {
  const both = { ...AT_A, len: 0x2000 };

  it("is stale where one of them is, whichever", async () => {
    const { s, table } = legacy();
    table.map(A, FIRST_PA).map(B, THIRD_PA);
    s.dma(both, FIRST_PA);
    table.map(A, SECOND_PA);
    const first = s.dma(both, FIRST_PA);
    table.map(A, FIRST_PA);
    s.put(table.entry(B), 0n);
    const second = s.dma(both, FIRST_PA);
    const run = await s.run();
    expect([first, second].map((seq) => run.verdict(seq))).toEqual(["stale", "stale"]);
  });

  it("that faulted is explained by a page that may have, not by one that cannot", async () => {
    const { s, table } = legacy();
    table.map(A, FIRST_PA).map(B, THIRD_PA);
    const sound = s.dma(both, { code: 6n });
    s.put(table.entry(B), 0n);
    const gone = s.dma(both, { code: 6n });
    const run = await s.run();
    expect([sound, gone].map((seq) => run.verdict(seq))).toEqual(["mismatch", "match"]);
  });
});

describe("VT-d with CAP_REG.CM", () => {
  // CM, SAGAW of all widths, PSI.
  const CAP = 0x80n | (0xen << 8n) | (47n << 16n) | (1n << 39n);

  it.each([
    ["1", CAP, ["stale", "hazard", "stale-after-invalidation"]],
    ["0", CAP & ~0x80n, ["mismatch", "", "mismatch"]],
  ])("CM %s: a second-stage entry that is not present", async (_cm, cap, expected) => {
    const { s, table } = legacy({ cap });
    table.map(B, FIRST_PA);
    s.dma(AT_A, {});
    table.map(A, FIRST_PA);
    const [before, hazard] = [s.dma(AT_A, {}), s.dma(AT_A)];
    s.cmd(0x9_0032n, A).cmd(...WAIT);
    const after = s.dma(AT_A, {});
    const run = await s.run();
    expect([before, hazard, after].map((seq) => run.verdict(seq))).toEqual(expected);
  });

  it("a page for writes alone outlives the read that finds no page there, denied by the same code", async () => {
    const { s, table } = legacy({ cap: CAP });
    const asked = { ...AT_A, access: "w" } as const;
    s.put(table.entry(A), FIRST_PA | 2n);
    s.dma(asked, FIRST_PA);
    s.put(table.entry(A), 0n);
    s.dma(AT_A, { code: 6n });
    const seq = s.dma(asked, FIRST_PA);
    expect((await s.run()).verdict(seq)).toBe("stale");
  });

  it("a context entry that is not present", async () => {
    const s = new Scenario("intel", { rtaddr: ROOT, cap: CAP });
    const table = new Radix(s, VTD_SECOND).map(A, FIRST_PA);
    s.put(ROOT, CONTEXTS | 1n);
    s.dma(AT_A, {});
    context(s, table);
    const before = s.dma(AT_A, {});
    // 6.2.2: such an entry is tagged with domain 0, whatever it becomes.
    s.cmd(0x18_0009_0031n, 0n).cmd(...WAIT);
    const wrong = s.dma(AT_A, {});
    s.cmd(0x18_0000_0031n, 0n).cmd(...WAIT);
    const after = s.dma(AT_A, {});
    const run = await s.run();
    expect([before, wrong, after].map((seq) => run.verdict(seq))).toEqual([
      "stale",
      "stale",
      "stale-after-invalidation",
    ]);
  });
});

describe("registers and bindings", () => {
  const newRoot = 0x20_0000n;

  function moved(cap: bigint) {
    const { s, table } = legacy({ cap });
    const other = new Radix(s, VTD_SECOND).map(A, SECOND_PA);
    table.map(A, FIRST_PA);
    const contexts = s.allocate();
    s.put(newRoot, contexts | 1n).put(contexts + 0x180n, other.root | 1n, (9n << 8n) | 2n);
    s.dma(AT_A, FIRST_PA);
    s.add({ type: "reg", iommu: "unit", name: "rtaddr", value: "0x200000" });
    return s;
  }
  const CAP = (0xen << 8n) | (47n << 16n);

  it("caches survive a new root table", async () => {
    const s = moved(CAP);
    const seqs = [s.dma(AT_A, FIRST_PA), s.dma(AT_A, SECOND_PA)];
    s.cmd(0x11n, 0n).cmd(...WAIT);
    seqs.push(s.dma(AT_A, FIRST_PA));
    s.cmd(...GLOBAL_IOTLB).cmd(...WAIT);
    seqs.push(s.dma(AT_A, FIRST_PA));
    const run = await s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual([
      "stale",
      "match",
      "stale",
      "stale-after-invalidation",
    ]);
  });

  it("they do not where CAP_REG.ESRTPS says so", async () => {
    const s = moved(CAP | (1n << 63n));
    const seq = s.dma(AT_A, FIRST_PA);
    expect((await s.run()).verdict(seq)).toBe("stale-after-invalidation");
  });

  it("CAP_REG.ESRTPS is about a root table that moves, not about any register", async () => {
    const { s, table } = legacy({ cap: CAP | (1n << 63n) });
    table.map(A, FIRST_PA);
    s.dma(AT_A, FIRST_PA);
    table.map(A, SECOND_PA);
    for (const [name, value] of Object.entries({ fectl: "0x0", rtaddr: hex(ROOT) }))
      s.add({ type: "reg", iommu: "unit", name, value });
    const seq = s.dma(AT_A, FIRST_PA);
    expect((await s.run()).verdict(seq)).toBe("stale");
  });

  it("an IOMMU that is turned off looks into no cache", async () => {
    const { s, table } = legacy({ gsts: 0x8000_0000n });
    table.map(A, FIRST_PA);
    s.dma(AT_A, FIRST_PA);
    s.add({ type: "reg", iommu: "unit", name: "gsts", value: "0x0" });
    const [old, identity] = [s.dma(AT_A, FIRST_PA), s.dma(AT_A, A)];
    const run = await s.run();
    expect([old, identity].map((seq) => run.verdict(seq))).toEqual(["mismatch", "match"]);
  });

  it("the tables of one binding are not looked for under the next", async () => {
    const s = new Scenario("intel", {});
    const bind = (table: Radix) => {
      const [directory, pasids] = [s.allocate(), s.allocate()];
      s.put(directory, pasids | 1n).put(pasids + 64n, 0x49n, 9n, table.root, 0n);
      const config = { version: 1, model: "intel", base_ptr: `0x${directory.toString(16)}` };
      s.add({ type: "bind", iommu: "unit", dev: "00:03.0", config });
    };
    const request = { ...AT_A, pasid: 1 };
    bind(new Radix(s, X86_64).map(A, FIRST_PA));
    s.dma(request, FIRST_PA);
    bind(new Radix(s, X86_64).map(A, SECOND_PA));
    const [old, fresh] = [s.dma(request, FIRST_PA), s.dma(request, SECOND_PA)];
    const run = await s.run();
    expect([old, fresh].map((seq) => run.verdict(seq))).toEqual(["mismatch", "match"]);
  });

  it("an invalidation of another device leaves a bound one's entries", async () => {
    const s = new Scenario("intel", {});
    const [directory, pasids] = [s.allocate(), s.allocate()];
    const [before, after] = [FIRST_PA, SECOND_PA].map((pa) =>
      new Radix(s, X86_64).map(A, THIRD_PA).map(B, pa),
    );
    const entry = (table: Radix) => s.put(pasids + 64n, 0x49n, 9n, table.root, 0n);
    s.put(directory, pasids | 1n);
    entry(before!);
    const config = { version: 1, model: "intel", base_ptr: `0x${directory.toString(16)}` };
    s.add({ type: "bind", iommu: "unit", dev: "00:03.0", config });
    s.dma({ ...AT_A, pasid: 1 });
    entry(after!);
    s.inv({ cache: "pasid", granularity: "device", dev: "00:04.0" });
    const first = s.dma({ ...DEV, addr: B, pasid: 1 }, FIRST_PA);
    s.inv({ cache: "all", granularity: "device", dev: "00:03.0" });
    const second = s.dma({ ...DEV, addr: B, pasid: 1 }, FIRST_PA);
    const run = await s.run();
    expect([first, second].map((seq) => run.verdict(seq))).toEqual(["stale", "stale-after-invalidation"]);
  });
});

describe("what a stale context makes", () => {
  it("outlives the context: translations must be invalidated after it", async () => {
    const { s, table } = legacy();
    s.cmd(...WAIT);
    const other = new Radix(s, VTD_SECOND).map(A, THIRD_PA).map(B, SECOND_PA);
    table.map(A, THIRD_PA).map(B, FIRST_PA);
    s.dma(AT_A);
    context(s, other);
    // Translations first, then the context: between the two the stale context makes a new translation.
    s.cmd(...GLOBAL_IOTLB).cmd(...WAIT);
    const atB = { ...DEV, addr: B };
    s.dma(atB, FIRST_PA);
    s.cmd(0x11n, 0n).cmd(...WAIT);
    const seqs = [s.dma(atB, FIRST_PA), s.dma(atB)];
    s.cmd(...GLOBAL_IOTLB).cmd(...WAIT);
    seqs.push(s.dma(atB, FIRST_PA));
    const run = await s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual(["stale", "hazard", "stale-after-invalidation"]);
  });

  it("does not where the context's own invalidation was issued first", async () => {
    const { s, table } = legacy();
    s.cmd(...WAIT);
    const other = new Radix(s, VTD_SECOND).map(A, THIRD_PA).map(B, SECOND_PA);
    table.map(A, THIRD_PA).map(B, FIRST_PA);
    s.dma(AT_A);
    context(s, other);
    const atB = { ...DEV, addr: B };
    s.cmd(0x11n, 0n).cmd(...GLOBAL_IOTLB);
    const between = s.dma(atB, FIRST_PA);
    s.cmd(...WAIT);
    const after = [s.dma(atB), s.dma(atB, FIRST_PA)];
    const run = await s.run();
    expect(run.verdict(between)).toBe("stale");
    expect(after.map((seq) => run.verdict(seq))).toEqual(["", "stale-after-invalidation"]);
    expect(run.rules()).toEqual([]);
  });

  it("legacy mode has no PASID cache: after context cache and IOTLB there is nothing old", async () => {
    const { s, table } = legacy();
    s.cmd(...WAIT);
    const other = new Radix(s, VTD_SECOND).map(A, SECOND_PA);
    table.map(A, FIRST_PA);
    s.dma(AT_A);
    context(s, other);
    s.cmd(0x11n, 0n)
      .cmd(...GLOBAL_IOTLB)
      .cmd(...WAIT);
    const seqs = [s.dma(AT_A), s.dma(AT_A, FIRST_PA)];
    const run = await s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual(["", "stale-after-invalidation"]);
  });
});
