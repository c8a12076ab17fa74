import { describe, expect, it } from "vitest";
import { Radix, Scenario, X86_64 } from "./support/cache-scenario.ts";
import { A, NEIGHBOUR, SUBJECTS, type Subject, smmu } from "./support/cache-subjects.ts";

/**
 * A table is replaced by another: the driver must drop the entry that pointed to the old one, not only the translations
 * that were made through it. An IOMMU that goes on from the old entry finds what the old table says now.
 */
const OLD = 0x8000_0000n;
const NEW = 0x9000_0000n;
const FREED = 0xa000_0000n;

/** Uses both pages, puts another table in the place of the last one, and reuses the old one for something else. */
function replaced({ s, table, format, dev, complete }: Subject): void {
  complete();
  table.map(A, OLD).map(NEIGHBOUR, OLD + 0x1000n);
  s.dma({ dev, addr: A });
  s.dma({ dev, addr: NEIGHBOUR });
  const old = table.entry(A);
  const fresh = s.allocate();
  const index = (addr: bigint) => ((addr >> 12n) & 511n) * 8n;
  s.put(fresh + index(A), format.leaf(NEW, 1)).put(fresh + index(NEIGHBOUR), format.leaf(NEW + 0x1000n, 1));
  table.replaceTable(A, 2, fresh);
  s.put(old, format.leaf(FREED, 1));
}

describe.each(SUBJECTS)("%s: a table that is replaced", (_name, subject) => {
  it("by leaf invalidations alone, the old table may still be walked", async () => {
    const t = subject();
    replaced(t);
    t.leaf();
    t.complete();
    const seqs = [t.s.dma({ dev: t.dev, addr: A }), t.s.dma({ dev: t.dev, addr: A }, FREED)];
    const old = t.s.dma({ dev: t.dev, addr: A }, OLD);
    const run = await t.s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual(["hazard", "stale"]);
    expect(run.verdict(old)).toBe("stale-after-invalidation");
    const [missing] = run.of("finding");
    expect(missing).toMatchObject({ rule: "missing-invalidation", cache: "paging-structures" });
  });

  it("with the entries above, it is forgotten", async () => {
    const t = subject();
    replaced(t);
    t.leaf();
    t.all();
    t.complete();
    const seqs = [t.s.dma({ dev: t.dev, addr: A }), t.s.dma({ dev: t.dev, addr: A }, FREED)];
    const run = await t.s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual(["", "stale-after-invalidation"]);
    expect(run.rules()).toEqual([]);
  });

  it("an entry that is gone is a fault now, and the old table before", async () => {
    const t = subject();
    replaced(t);
    t.s.put(t.table.entry(A, 2), 0n);
    t.leaf();
    t.complete();
    const seqs = [t.s.dma({ dev: t.dev, addr: A }, FREED), t.s.dma({ dev: t.dev, addr: A })];
    t.all();
    t.complete();
    seqs.push(t.s.dma({ dev: t.dev, addr: A }, FREED));
    const run = await t.s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual(["stale", "hazard", "stale-after-invalidation"]);
  });

  it("a page of another table is no witness, and has no part in it", async () => {
    const t = subject();
    const elsewhere = A + (64n << 30n);
    t.complete();
    t.table.map(A, OLD).map(elsewhere, OLD);
    t.s.dma({ dev: t.dev, addr: elsewhere });
    const old = t.table.entry(A);
    const fresh = t.s.allocate();
    t.s.put(fresh + ((A >> 12n) & 511n) * 8n, t.format.leaf(NEW, 1));
    t.table.replaceTable(A, 2, fresh);
    t.s.put(old, t.format.leaf(FREED, 1));
    const seqs = [t.s.dma({ dev: t.dev, addr: A }), t.s.dma({ dev: t.dev, addr: A }, FREED)];
    const run = await t.s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual(["", "mismatch"]);
  });
});

describe("SMMUv3: the level hint", () => {
  it.each([
    ["TTL 3 covers the tables above the last level", 3n, "stale-after-invalidation"],
    ["TTL 2 covers those above level 2 only", 2n, "stale"],
  ])("%s", async (_name, ttl, expected) => {
    const t = smmu();
    replaced(t);
    t.leaf();
    // TG 4 KiB at 11:10, TTL at 9:8; at level 2 the address is that of a block.
    const address = ttl === 2n ? A & ~0x1f_ffffn : A;
    t.s.cmd(0x12n | (1n << 32n) | (5n << 48n), address | (1n << 10n) | (ttl << 8n));
    t.complete();
    const seq = t.s.dma({ dev: t.dev, addr: A }, FREED);
    expect((await t.s.run()).verdict(seq)).toBe(expected);
  });
});

/** 6.5.2.3 and 6.5.2.4, Tables 23 and 24. */
describe("VT-d: the invalidation hint for a first stage", () => {
  function scalable(): Subject {
    const format = X86_64;
    const s = new Scenario("intel", { rtaddr: 0x10_0400n });
    const table = new Radix(s, format);
    const [directory, pasids] = [s.allocate(), s.allocate()];
    s.put(0x10_0000n, 0x10_1001n).put(0x10_1300n, directory | 1n, 0n);
    // RID_PASID 0: present, first stage of 4 levels, domain 9.
    s.put(directory, pasids | 1n).put(pasids, 0x41n, 9n, table.root, 0n);
    const cmd = (low: bigint, high = 0n) => s.cmd(low, high, 0n, 0n);
    return {
      s,
      table,
      format,
      dev: "00:03.0",
      leaf: () => cmd(0x9_0036n, A | 0x40n).cmd(0x9_0036n, NEIGHBOUR | 0x40n, 0n, 0n),
      all: () => cmd(0x9_0032n, 0x40n),
      complete: () => cmd(0x25n),
    };
  }

  it("spares its tables where it comes with a PASID, and not with an IOTLB invalidation of any page", async () => {
    const t = scalable();
    replaced(t);
    t.leaf();
    t.complete();
    const seqs = [t.s.dma({ dev: t.dev, addr: A }, FREED), t.s.dma({ dev: t.dev, addr: A }, OLD)];
    t.all();
    t.complete();
    seqs.push(t.s.dma({ dev: t.dev, addr: A }, FREED), t.s.dma({ dev: t.dev, addr: A }, NEW));
    const run = await t.s.run();
    expect(seqs.map((seq) => run.verdict(seq))).toEqual([
      "stale",
      "stale-after-invalidation",
      "stale-after-invalidation",
      "match",
    ]);
  });
});
