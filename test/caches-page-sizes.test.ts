import { describe, expect, it } from "vitest";
import { type Format, Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";
import { ALL_CAPABILITIES } from "./support/riscv-iommu.ts";

const A = 0x1000_0000n;
const OLD = 0x8000_0000n;
const NEW = 0x9000_0000n;

/** Sv39: V at 0, PPN at 10; leaves D, A, U, X, W, R, V. N at 63. */
const pointer = (next: bigint) => ((next >> 12n) << 10n) | 1n;
const LEAF = 0xdfn;
const SV39: Format = {
  levels: 3,
  bits: 9,
  pageBits: 12,
  table: pointer,
  leaf: (pa) => ((pa >> 12n) << 10n) | LEAF,
};
/** An entry of the 64 KiB at `pa`: PPN 3:0 is 8. */
const napot = (pa: bigint, flags = LEAF) => (1n << 63n) | (((pa >> 12n) | 8n) << 10n) | flags;

interface Unit {
  readonly s: Scenario;
  readonly table: Radix;
  ask(addr: bigint, observed?: bigint): number;
  /** Invalidates the 4 KiB at an address, leaves alone, and waits. */
  page(addr: bigint): void;
  /** Everything of the domain, and waits. */
  all(): void;
}

function unit(s: Scenario, table: Radix, dev: string, page: (a: bigint) => void, all: () => void): Unit {
  return { s, table, ask: (addr, observed) => s.dma({ dev, addr }, observed), page, all };
}

function riscv(): Unit {
  const capabilities = ALL_CAPABILITIES | (1n << 42n);
  const s = new Scenario("riscv", { capabilities, fctl: 0n, ddtp: ((0x10_0000n >> 12n) << 10n) | 2n });
  const table = new Radix(s, SV39);
  s.put(0x10_0040n, 1n, 0n, 5n << 12n, (8n << 60n) | (table.root >> 12n));
  const wait = () => s.cmd(2n, 0n);
  // IOTINVAL.VMA, AV at 10, PSCV at 32, PSCID 5.
  const vma = 1n | (1n << 32n) | (5n << 12n);
  wait();
  return unit(
    s,
    table,
    "did:1",
    (a) => {
      s.cmd(vma | (1n << 10n), (a >> 12n) << 10n);
      wait();
    },
    () => {
      s.cmd(vma, 0n);
      wait();
    },
  );
}

/** v1: PR, Next Level at 11:9, IR and IW at 62:61. */
const RIGHTS = 3n << 61n;
const AMD_V1: Format = {
  levels: 4,
  bits: 9,
  pageBits: 12,
  table: (next, level) => next | (BigInt(level - 1) << 9n) | 1n | RIGHTS,
  leaf: (pa) => pa | 1n | RIGHTS,
};
/** A page of 32 KiB: Next Level 7, address bits 13:12 ones and 14 zero. */
const sized = (pa: bigint) => pa | 0x3000n | (7n << 9n) | 1n | RIGHTS;

function amd(): Unit {
  const s = new Scenario("amd", { dev_tab_base: 0x10_0001n });
  const table = new Radix(s, AMD_V1);
  s.put(0x10_0020n, 3n | (4n << 9n) | table.root | RIGHTS, 7n, 0n, 0n);
  const pages = (3n << 60n) | (7n << 32n);
  const wait = () => s.cmd(1n << 60n, 0n);
  wait();
  return unit(
    s,
    table,
    "devid:1",
    (a) => {
      s.cmd(pages, a);
      wait();
    },
    () => {
      // S at 0, PDE at 1: everything.
      s.cmd(pages, 0x7fff_ffff_ffff_f003n);
      wait();
    },
  );
}

function vtd(): Unit {
  const s = new Scenario("intel", { rtaddr: 0x10_0000n });
  const table = new Radix(s, VTD_SECOND);
  s.put(0x10_0000n, 0x10_1001n).put(0x10_1180n, table.root | 1n, (9n << 8n) | 2n);
  const wait = () => s.cmd(0x25n, 0n);
  wait();
  return unit(
    s,
    table,
    "00:03.0",
    (a) => {
      // Page-selective, DID 9, IH at 6.
      s.cmd(0x9_0032n, a | 0x40n);
      wait();
    },
    () => {
      s.cmd(0x9_0022n, 0n);
      wait();
    },
  );
}

const UNITS: [string, () => Unit][] = [
  ["VT-d", vtd],
  ["AMD-Vi", amd],
  ["RISC-V", riscv],
];
const SIXTEEN = Array.from({ length: 16 }, (_, page) => BigInt(page) << 12n);

/** A page table of 2 MiB becomes one page, or the other way round. */
describe.each(UNITS)("%s: pages of two sizes", (name, make) => {
  /** Two small pages in use, then one large page in their place. */
  function promoted(u: Unit, target: bigint): void {
    u.table.map(A, OLD).map(A + 0x1000n, OLD + 0x1000n);
    u.ask(A);
    u.ask(A + 0x1000n);
    u.table.map(A, target, 2);
  }

  it("small ones that are not invalidated are owed, each that is used", async () => {
    const u = make();
    promoted(u, NEW);
    u.all();
    const gone = u.ask(A);
    const v = make();
    promoted(v, NEW);
    v.page(A);
    const [first, second] = [v.ask(A + 0x1000n), v.ask(A + 0x1000n, OLD + 0x1000n)];
    const runs = [await u.s.run(), await v.s.run()] as const;
    expect(runs[0].verdict(gone)).toBe("");
    expect(runs[1].verdict(first)).toBe("hazard");
    expect(runs[1].verdict(second)).toBe("stale");
    expect(runs[1].rules()).toContain("missing-invalidation");
  });

  it("the entry that led to the small ones is owed, with them gone", async () => {
    const u = make();
    promoted(u, NEW);
    u.page(A);
    u.page(A + 0x1000n);
    const seq = u.ask(A);
    const run = await u.s.run();
    expect(run.verdict(seq)).toBe("hazard");
    expect(run.of("finding").find(({ rule }) => rule === "missing-invalidation")).toMatchObject({
      cache: "paging-structures",
    });
  });

  it("a large one in whose place a table comes is owed", async () => {
    const u = make();
    u.table.map(A, OLD, 2);
    u.ask(A + 0x5000n);
    const fresh = u.s.allocate();
    for (const page of [0n, 5n]) {
      const format = { "VT-d": VTD_SECOND, "AMD-Vi": AMD_V1, "RISC-V": SV39 }[name]!;
      u.s.put(fresh + page * 8n, format.leaf(NEW + (page << 12n), 1));
    }
    u.table.replaceTable(A, 2, fresh);
    const before = u.ask(A + 0x5000n);
    u.all();
    const after = u.ask(A + 0x5000n, OLD + 0x5000n);
    const run = await u.s.run();
    expect([run.verdict(before), run.verdict(after)]).toEqual(["hazard", "stale-after-invalidation"]);
    expect(run.rules()).toContain("late-invalidation");
  });

  it("only RISC-V asks for an invalid entry in between, where what they lead to changes", async () => {
    const rules: string[][] = [];
    for (const [target, steps] of [
      [NEW, 1],
      [OLD, 1],
      [NEW, 2],
    ] as const) {
      const u = make();
      u.table.map(A, OLD);
      u.ask(A);
      if (steps === 2) {
        u.s.put(u.table.entry(A, 2), 0n);
        u.all();
      }
      u.table.map(A, target, 2);
      u.all();
      u.ask(A);
      rules.push((await u.s.run()).rules());
    }
    expect(rules).toEqual([name === "RISC-V" ? ["break-before-make"] : [], [], []]);
  });
});

describe("RISC-V: a NAPOT range", () => {
  function range(): Unit {
    const u = riscv();
    for (const page of SIXTEEN) u.s.put(u.table.entry(A + page), napot(OLD));
    return u;
  }

  it("is lawful with all entries alike, A, D and RSW aside, and with some not valid", async () => {
    const u = range();
    u.s.put(u.table.entry(A + 0x2000n), napot(OLD, LEAF & ~0xc0n) | 0x300n | 0x40n);
    u.s.put(u.table.entry(A + 0x3000n), 0n);
    // One that stands alone and says the same of its page.
    u.s.put(u.table.entry(A + 0x4000n), SV39.leaf(OLD + 0x4000n, 1));
    u.ask(A);
    expect((await u.s.run()).rules()).toEqual([]);
  });

  it.each([
    ["leads elsewhere", napot(NEW)],
    ["has other rights or another memory type", napot(OLD, LEAF & ~4n)],
    ["has other rights or another memory type", napot(OLD) | (1n << 61n)],
    ["is not one of them", SV39.leaf(NEW, 1)],
  ])("whose entry %s is inconsistent, whichever was used", async (why, entry) => {
    for (const used of [0n, 0x3000n]) {
      const u = range();
      u.s.put(u.table.entry(A + 0x3000n), entry);
      // Not the entry itself where it stands alone: it says nothing of the others.
      u.ask(A + (why === "is not one of them" ? 0n : used));
      const findings = (await u.s.run()).of("finding");
      expect(findings).toHaveLength(1);
      expect(findings[0]).toMatchObject({ rule: "inconsistent-group", severity: "error" });
      expect(findings[0]!.message).toContain(why);
    }
  });

  it("becomes inconsistent when one of its entries changes, though another page is used", async () => {
    const u = range();
    u.ask(A);
    u.s.put(u.table.entry(A + 0x3000n), napot(NEW));
    u.ask(A);
    expect((await u.s.run()).rules()).toContain("inconsistent-group");
  });

  it("is to be invalidated page by page: what is held of the others stays", async () => {
    const u = range();
    u.ask(A + 0x5000n, OLD + 0x5000n);
    for (const page of SIXTEEN) u.s.put(u.table.entry(A + page), napot(NEW));
    for (const page of SIXTEEN) if (page !== 0x9000n) u.page(A + page);
    const named = u.ask(A + 0x8000n, OLD + 0x8000n);
    const unnamed = u.ask(A + 0x9000n, OLD + 0x9000n);
    u.page(A + 0x9000n);
    const last = u.ask(A + 0x9000n, OLD + 0x9000n);
    const run = await u.s.run();
    expect([named, unnamed, last].map((seq) => run.verdict(seq))).toEqual([
      "stale-after-invalidation",
      "stale",
      "stale-after-invalidation",
    ]);
  });

  it("remembers what an entry said, though others were used since", async () => {
    const u = range();
    u.ask(A);
    for (const page of SIXTEEN.slice(3)) u.s.put(u.table.entry(A + page), 0n);
    u.ask(A);
    const seq = u.ask(A + 0x3000n, OLD + 0x3000n);
    expect((await u.s.run()).verdict(seq)).toBe("stale");
  });

  it("another superpage goes with any of its pages", async () => {
    const u = riscv();
    u.table.map(A, OLD, 2);
    u.ask(A, OLD);
    u.table.map(A, NEW + 0x20_0000n, 2);
    u.page(A + 0x7000n);
    const seq = u.ask(A, OLD);
    expect((await u.s.run()).verdict(seq)).toBe("stale-after-invalidation");
  });
});

describe("AMD-Vi: a page larger than its level's", () => {
  function page(): Unit {
    const u = amd();
    for (const page of SIXTEEN.slice(0, 8)) u.s.put(u.table.entry(A + page), sized(OLD));
    return u;
  }

  it("is lawful with all entries alike but for A and D, and with some not present", async () => {
    const u = page();
    u.s.put(u.table.entry(A + 0x2000n), sized(OLD) | 0x60n);
    u.s.put(u.table.entry(A + 0x3000n), 0n);
    u.s.put(u.table.entry(A + 0x8000n), AMD_V1.leaf(NEW, 1));
    u.ask(A);
    expect((await u.s.run()).rules()).toEqual([]);
  });

  it.each([
    ["leads elsewhere", sized(NEW)],
    ["has other rights or attributes", sized(OLD) ^ (1n << 62n)],
    ["is not one of them", AMD_V1.leaf(OLD + 0x3000n, 1)],
  ])("whose entry %s is inconsistent", async (why, entry) => {
    const u = page();
    u.s.put(u.table.entry(A + 0x3000n), entry);
    u.ask(A);
    const findings = (await u.s.run()).of("finding");
    expect(findings).toHaveLength(1);
    expect(findings[0]!.message).toContain(why);
    expect(findings[0]).toMatchObject({ rule: "inconsistent-group" });
  });
});

/** Svnapot: a cache may take one entry "for any or all" of the range; or each page is read from its own. */
describe.each([
  ["RISC-V: NAPOT", riscv, napot(OLD), "did:1", 0xdn],
  ["AMD-Vi: Next Level 7", amd, sized(OLD), "devid:1", 2n],
] as const)(
  "%s: a request that runs on behind an entry whose neighbour is not valid",
  (_name, make, entry, dev, code) => {
    const over = async (observed: bigint | { code: bigint }, neighbour = 0n) => {
      const u = make();
      u.s.put(u.table.entry(A), entry).put(u.table.entry(A + 0x1000n), neighbour);
      const seq = u.s.dma({ dev, addr: A + 0xff8n, len: 16 }, observed);
      return (await u.s.run()).outcome(seq);
    };
    const ok = { result: "ok", pa: "0x80000ff8" };

    it("may succeed by the one entry, or fault by the other", async () => {
      for (const observed of [OLD + 0xff8n, { code }])
        expect(await over(observed)).toMatchObject({ ...ok, other_result: "fault", verdict: "match" });
    });

    it("goes nowhere else, and has no other fault", async () => {
      expect(await over(NEW + 0xff8n)).toMatchObject({ ...ok, verdict: "mismatch", diff: "pa" });
      expect(await over({ code: 0x1234n })).toMatchObject({ ...ok, verdict: "mismatch", diff: "result" });
    });

    it("has one answer where all entries say the same", async () => {
      const outcome = await over({ code }, entry);
      expect(outcome).toMatchObject({ ...ok, verdict: "mismatch", diff: "result" });
      expect(outcome).not.toHaveProperty("other_result");
    });
  },
);
