import { describe, expect, it } from "vitest";
import { type Format, Radix, Scenario, VTD_SECOND, X86_64, x86 } from "./support/cache-scenario.ts";
import { ALL_CAPABILITIES } from "./support/riscv-iommu.ts";
import { cdWords, steWords } from "./support/smmuv3-machine.ts";

/**
 * A table is replaced by another: the driver must drop the entry that pointed to the old one, not only the translations
 * that were made through it. An IOMMU that goes on from the old entry finds what the old table says now.
 */
const A = 0x1000_0000n;
const NEIGHBOUR = 0x1000_7000n;
const OLD = 0x8000_0000n;
const NEW = 0x9000_0000n;
const FREED = 0xa000_0000n;

interface Subject {
  readonly s: Scenario;
  readonly table: Radix;
  readonly format: Format;
  readonly dev: string;
  /** Drops the page's translation alone, and with everything above it. */
  leaf(): void;
  all(): void;
  complete(): void;
}

function vtd(): Subject {
  const format = VTD_SECOND;
  const s = new Scenario("intel", { rtaddr: 0x10_0000n });
  const table = new Radix(s, format);
  s.put(0x10_0000n, 0x10_1001n).put(0x10_1180n, table.root | 1n, (9n << 8n) | 2n);
  return {
    s,
    table,
    format,
    dev: "00:03.0",
    leaf: () => s.cmd(0x9_0032n, A | 0x40n).cmd(0x9_0032n, NEIGHBOUR | 0x40n),
    all: () => s.cmd(0x9_0032n, A),
    complete: () => s.cmd(0x25n, 0n),
  };
}

function smmu(): Subject {
  const format: Format = {
    ...x86(3n, 0xc43n),
    leaf: (pa, level) => pa | (level === 1 ? 0xc43n : 0xc41n),
  };
  const s = new Scenario("arm-smmuv3", { strtab_base: 0x1_0000n, strtab_base_cfg: 8n });
  const table = new Radix(s, format);
  const cd = s.allocate(64n);
  s.put(0x1_0040n, ...steWords({ V: 1, Config: 5, S1ContextPtr: cd, S2VMID: 1 }));
  const fields = { V: 1, AA64: 1, A: 1, R: 1, IPS: 5, EPD1: 1, T0SZ: 16, ASID: 5, TTB0: table.root };
  s.put(cd, ...cdWords(fields));
  const va = 0x12n | (1n << 32n) | (5n << 48n);
  return {
    s,
    table,
    format,
    dev: "sid:1",
    leaf: () => s.cmd(va, A | 1n).cmd(va, NEIGHBOUR | 1n),
    all: () => s.cmd(va, A),
    complete: () => s.cmd(0x46n, 0n),
  };
}

function amd(): Subject {
  const rights = 3n << 61n;
  const format: Format = {
    levels: 4,
    bits: 9,
    pageBits: 12,
    table: (next, level) => next | (BigInt(level - 1) << 9n) | 1n | rights,
    leaf: (pa) => pa | 1n | rights,
  };
  const s = new Scenario("amd", { dev_tab_base: 0x10_0001n });
  const table = new Radix(s, format);
  s.put(0x10_0020n, 3n | (4n << 9n) | table.root | rights, 7n, 0n, 0n);
  const pages = (3n << 60n) | (7n << 32n);
  return {
    s,
    table,
    format,
    dev: "devid:1",
    leaf: () => s.cmd(pages, A).cmd(pages, NEIGHBOUR),
    all: () => s.cmd(pages, A | 2n),
    complete: () => s.cmd(1n << 60n, 0n),
  };
}

function riscv(): Subject {
  const format: Format = {
    levels: 3,
    bits: 9,
    pageBits: 12,
    table: (next) => ((next >> 12n) << 10n) | 1n,
    leaf: (pa) => ((pa >> 12n) << 10n) | 0xdfn,
  };
  const capabilities = ALL_CAPABILITIES | (1n << 42n);
  const s = new Scenario("riscv", { capabilities, fctl: 0n, ddtp: ((0x10_0000n >> 12n) << 10n) | 2n });
  const table = new Radix(s, format);
  s.put(0x10_0040n, 1n, 0n, 5n << 12n, (8n << 60n) | (table.root >> 12n));
  const at = (addr: bigint) => (addr >> 12n) << 10n;
  const vma = 1n | (1n << 10n) | (1n << 32n) | (5n << 12n);
  return {
    s,
    table,
    format,
    dev: "did:1",
    leaf: () => s.cmd(vma, at(A)).cmd(vma, at(NEIGHBOUR)),
    all: () => s.cmd(vma | (1n << 34n), at(A)),
    complete: () => s.cmd(2n, 0n),
  };
}

const SUBJECTS: [string, () => Subject][] = [
  ["VT-d", vtd],
  ["SMMUv3", smmu],
  ["AMD-Vi", amd],
  ["RISC-V", riscv],
];

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
