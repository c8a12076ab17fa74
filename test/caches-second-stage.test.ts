/**
 * A second stage under a first one: what it says of a page may be held by itself, and invalidations by the first stage's
 * tags leave it.
 */
import { describe, expect, it } from "vitest";
import { Radix, Scenario, VTD_SECOND, X86_64, x86 } from "./support/cache-scenario.ts";

const A = 0x1000_0000n;
const GPA = 0x7000_0000n;
const PA = 0x5000_0000n;
const RIGHTS = 3n << 61n;

interface Nested {
  readonly s: Scenario;
  readonly second: Radix;
  readonly dev: string;
  /** Everything of the PASID; what the intermediate address leads to. */
  byPasid(): void;
  bySecondStage(): void;
  wait(): void;
}

/** The first stage's tables lie where the second leads one to one. */
function nest(s: Scenario, first: Radix, second: Radix): void {
  first.map(A, GPA);
  for (let at = 0x100_0000n; at < 0x104_0000n; at += 0x1000n) second.map(at, at);
  second.map(GPA, PA);
  if (s.allocate() >= 0x104_0000n) throw new Error("more tables than are mapped");
}

const VTD = (): Nested => {
  const s = new Scenario("intel", { rtaddr: 0x10_0400n });
  const [first, second] = [new Radix(s, X86_64), new Radix(s, VTD_SECOND)];
  s.put(0x10_0000n, 0x10_1001n).put(0x10_1300n, 0x10_2009n, 0n).put(0x10_2000n, 0x10_3001n);
  // PGTT 3, AW 4 levels, DID 9; PASID 5.
  s.put(0x10_3140n, second.root | 0xc9n, 9n, first.root, 0n, 0n, 0n, 0n, 0n);
  nest(s, first, second);
  return {
    s,
    second,
    dev: "00:03.0",
    byPasid: () => s.cmd(0x5_0009_0026n, 0n, 0n, 0n),
    bySecondStage: () => s.cmd(0x9_0032n, GPA, 0n, 0n),
    wait: () => s.cmd(0x25n, 0n, 0n, 0n),
  };
};

const AMD = (): Nested => {
  const s = new Scenario("amd", { dev_tab_base: 0x10_0001n });
  const first = new Radix(s, X86_64);
  const second = new Radix(s, {
    ...x86(0n, 0n),
    table: (next, level) => next | (BigInt(level - 1) << 9n) | 1n | RIGHTS,
    leaf: (pa) => pa | 1n | RIGHTS,
  });
  const cr3 = s.allocate();
  const low = 3n | (4n << 9n) | second.root | RIGHTS | (1n << 55n) | (((cr3 >> 12n) & 7n) << 58n);
  s.put(0x10_0020n, low, 7n | (((cr3 >> 15n) & 0xffffn) << 16n), 0n, 0n).put(cr3 + 40n, first.root | 1n);
  nest(s, first, second);
  const pages = (3n << 60n) | (7n << 32n);
  return {
    s,
    second,
    dev: "devid:1",
    byPasid: () => s.cmd(pages | 5n, 0x7fff_ffff_ffff_f007n),
    bySecondStage: () => s.cmd(pages, GPA),
    wait: () => s.cmd(1n << 60n, 0n),
  };
};

describe.each([
  ["VT-d", VTD],
  ["AMD-Vi", AMD],
])("%s: an entry of the second stage is taken away", (_name, make) => {
  function changed() {
    const nested = make();
    const { s, second, dev, wait } = nested;
    const ask = () => s.dma({ dev, addr: A, pasid: 5 }, PA);
    wait();
    ask();
    s.put(second.entry(GPA), 0n);
    return { ...nested, ask, line: s.lines.length };
  }

  it("what is invalidated by PASID leaves it: the old answer is stale, and the second stage's invalidation is owed", async () => {
    const { s, byPasid, wait, ask, line } = changed();
    byPasid();
    wait();
    const old = ask();
    const run = await s.run();
    expect(run.verdict(old)).toBe("stale");
    const [owed, ...others] = run.of("finding");
    expect(others).toEqual([]);
    expect(owed).toMatchObject({ rule: "missing-invalidation", changed_line: line, answered: 1 });
    expect(owed!.message).toContain("no invalidation of the second stage covers it: it never came");
    const paid = changed();
    paid.byPasid();
    paid.s.cmd(...(owed!.data as string[]).map(BigInt));
    paid.wait();
    const after = paid.ask();
    const again = await paid.s.run();
    expect(again.verdict(after)).toBe("stale-after-invalidation");
    expect(again.rules()).toEqual([]);
  });

  it("by the intermediate address, and by PASID: in whichever order, and late where it comes after the use", async () => {
    for (const order of [0, 1]) {
      const { s, byPasid, bySecondStage, wait, ask } = changed();
      for (const drop of order === 0 ? [byPasid, bySecondStage] : [bySecondStage, byPasid]) drop();
      wait();
      const old = ask();
      expect((await s.run()).verdict(old)).toBe("stale-after-invalidation");
    }
    const { s, byPasid, bySecondStage, wait, ask } = changed();
    byPasid();
    wait();
    ask();
    bySecondStage();
    wait();
    expect((await s.run()).of("finding")).toMatchObject([
      { rule: "late-invalidation", invalidated_line: s.lines.length },
    ]);
  });
});
