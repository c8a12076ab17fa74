import { describe, expect, it } from "vitest";
import { Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";

const ROOT = 0x10_0000n;
const CONTEXTS = 0x10_1000n;
const A = 0x1000_0000n;
const PA = 0x8000_0000n;
const DEV = "00:03.0";

/** VT-d in legacy mode; three pages of domain 9. */
class Machine extends Scenario {
  readonly table = new Radix(this, VTD_SECOND);
  readonly pages = [0n, 1n, 2n].map((n) => A + n * 0x1000n);

  constructor() {
    super("intel", { rtaddr: ROOT });
    this.put(ROOT, CONTEXTS | 1n);
    this.context(9n);
    for (const page of this.pages) this.table.map(page, PA + page);
    this.wait();
  }

  context(did: bigint): this {
    return this.put(CONTEXTS + 0x180n, this.table.root | 1n, (did << 8n) | 2n);
  }

  wait(): this {
    return this.cmd(0x25n, 0n);
  }

  use(): this {
    for (const addr of this.pages) this.dma({ dev: DEV, addr });
    return this;
  }

  domain(did: bigint): this {
    return this.cmd((did << 16n) | 0x22n, 0n).wait();
  }

  /** IOTLB invalidation by page, of domain 9. */
  page(addr: bigint): this {
    return this.cmd(0x9_0032n, addr).wait();
  }

  async statistics(options = {}) {
    // Without any request there are no statistics; this one faults.
    this.dma({ dev: DEV, addr: 0x7000_0000n });
    const { redundant_invalidations, covered_pages, over_wide_pages, cached_pages } = (
      await this.run(options)
    ).of("stats")[0] as Record<string, number | undefined>;
    return {
      redundant: redundant_invalidations ?? 0,
      covered: covered_pages ?? 0,
      overWide: over_wide_pages ?? 0,
      cached: cached_pages ?? 0,
    };
  }
}

const remap = (m: Machine, n: number) => m.table.map(m.pages[n]!, PA + 0x3000_0000n + m.pages[n]!);

describe("invalidations in the statistics", () => {
  it.each<[string, (m: Machine) => unknown, object]>([
    ["by page", (m) => m.use().page(A), { covered: 1, cached: 2 }],
    ["of a domain", (m) => m.use().domain(9n), { covered: 3, overWide: 3 }],
    ["of what nothing was cached of", (m) => m.use().domain(8n), { redundant: 1, cached: 3 }],
    ["before anything is used", (m) => m.domain(9n).page(A), { redundant: 2 }],
    ["a second time", (m) => m.use().domain(9n).domain(9n), { covered: 3, overWide: 3, redundant: 1 }],
    ["by page, a second time", (m) => m.use().page(A).page(A), { covered: 1, redundant: 1, cached: 2 }],
    [
      "of a domain after each of its pages, and the tables above",
      (m) => m.use() && m.pages.map((page) => m.page(page)) && m.domain(9n),
      { covered: 3, redundant: 1 },
    ],
    // By page with IH, the table that pointed to the last one stays cached.
    [
      "of pages, then of tables",
      (m) =>
        m
          .use()
          .page(A | 0x40n)
          .page(A),
      { covered: 1, cached: 2 },
    ],
    ["of a context", (m) => m.use().cmd(0x11n, 0n).wait(), { cached: 3 }],
    ["of a context that nothing used", (m) => m.cmd(0x11n, 0n).wait(), { redundant: 1 }],
    ["of a device's TLB, which is not modelled", (m) => m.cmd(0x18_0000_0003n, 0n).wait(), {}],
    [
      "of pages that were used again before it was complete",
      (m) => m.use().cmd(0x9_0022n, 0n).use().wait().domain(9n),
      { cached: 0 },
    ],
    [
      "neutral",
      (m) => m.use().inv({ cache: "iotlb", granularity: "page", addr: "0x10000000" }),
      { covered: 1, cached: 2 },
    ],
  ])("%s", async (_name, play, expected) => {
    const m = new Machine();
    play(m);
    expect(await m.statistics()).toEqual({ redundant: 0, covered: 0, overWide: 0, cached: 0, ...expected });
  });

  it.each<[string, (m: Machine) => unknown, number]>([
    ["nothing has changed", (m) => m.domain(9n), 3],
    ["one entry has changed", (m) => remap(m, 0) && m.domain(9n), 2],
    ["all have", (m) => [0, 1, 2].map((n) => remap(m, n)) && m.domain(9n), 0],
    ["a page is named", (m) => m.page(A), 0],
    ["a table has changed", (m) => m.put(m.table.entry(A, 2), 0n) && m.domain(9n), 0],
    ["a context has changed", (m) => m.context(7n).cmd(0x11n, 0n).wait().domain(9n), 0],
    ["once, and once not", (m) => m.domain(9n).use() && remap(m, 0) && m.domain(9n), 5],
  ])("wider than the change: %s", async (_name, play, overWide) => {
    const m = new Machine().use();
    play(m);
    expect((await m.statistics()).overWide).toBe(overWide);
  });

  it("pages that were dropped for want of memory are not covered any more", async () => {
    const m = new Machine();
    const COUNT = 40_000;
    // One last table behind every entry: more pages than tables.
    const last = m.allocate();
    for (let i = 0; i < 512; i++) m.put(last + BigInt(i) * 8n, PA | 3n);
    for (let i = 0n; i < BigInt(COUNT); i += 512n) m.table.replaceTable(i << 12n, 2, last);
    m.add({ type: "dma", iommu: "unit", dev: DEV, addr: "0x0", len: COUNT * 4096 });
    const kept = (await m.statistics({ memoryLimit: 1 << 20 })).cached;
    expect(kept).toBeLessThan(COUNT);
    m.domain(9n).domain(9n);
    expect(await m.statistics({ memoryLimit: 1 << 20 })).toMatchObject({
      covered: kept,
      cached: 0,
      redundant: 1,
    });
  });
});
