/** A request is split where its answer may change: by what caches may hold of a page, and not by memory's pages alone. */
import { describe, expect, it } from "vitest";
import { Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";
import { A, SUBJECTS } from "./support/cache-subjects.ts";

const OLD = 0x8000_0000n;
const ELSEWHERE = 0x9000_0000n;
const B = A + 0x1000n;
/** Over the end of A's frame. */
const BOTH = { addr: A + 0xff0n, len: 32 };

describe.each(SUBJECTS)("%s: small pages become a large one", (_, subject) => {
  /** @param b where the second page leads before; null: nowhere */
  function promoted(b: bigint | null) {
    const t = subject();
    const { s, table, format, dev } = t;
    t.complete();
    table.map(A, OLD);
    if (b !== null) table.map(B, b);
    s.dma({ dev, addr: B });
    s.dma({ dev, addr: A });
    s.put(table.entry(A, 2), format.leaf(OLD, 2));
    return t;
  }

  it("what is held of its second frame is asked for too", async () => {
    const { s, dev } = promoted(ELSEWHERE);
    const seq = s.dma({ dev, ...BOTH });
    const run = await s.run();
    expect(run.verdict(seq)).toBe("hazard");
    expect(run.rules()).toContain("missing-invalidation");
    expect(run.outcome(seq)).toMatchObject({ pa: "0x80000ff0", len: 32 });
    expect(run.outcome(seq).sg).toBeUndefined();
  });

  it("a fault of the second frame, by the old table, is the driver's", async () => {
    const { s, dev } = promoted(null);
    const fault = s.dma({ dev, ...BOTH }, {});
    const run = await s.run();
    expect(run.verdict(fault)).toBe("stale");
  });

  it("where both lead on as before, there is nothing to say", async () => {
    const { s, dev, all, complete } = promoted(OLD + 0x1000n);
    all();
    complete();
    const seq = s.dma({ dev, ...BOTH }, OLD + 0xff0n);
    const run = await s.run();
    expect(run.verdict(seq)).toBe("match");
  });
});

it("the reads of a request are those of a walk with nothing cached", async () => {
  const [, vtd] = SUBJECTS[0]!;
  const { s, table, format, dev } = vtd();
  table.map(A, OLD).map(B, ELSEWHERE);
  s.dma({ dev, addr: B });
  s.put(table.entry(A, 2), format.leaf(OLD, 2));
  const long = s.dma({ dev, addr: A, len: 0x10000 });
  const run = await s.run();
  // Root and context entry, and three levels.
  expect(run.outcome(long)).toMatchObject({ reads: 5, page: 0x20_0000 });
});

it("an old context that leads to small pages is asked of each", async () => {
  const s = new Scenario("intel", { rtaddr: 0x10_0000n });
  const [before, after] = [new Radix(s, VTD_SECOND), new Radix(s, VTD_SECOND)];
  before.map(A, OLD);
  after.map(A, OLD, 2);
  const context = (table: Radix, domain: bigint) => s.put(0x10_1180n, table.root | 1n, (domain << 8n) | 2n);
  s.put(0x10_0000n, 0x10_1001n);
  context(before, 9n);
  s.dma({ dev: "00:03.0", addr: A });
  context(after, 10n);
  // 7.1.3, LGN.2 and LSS: a read of a page that is not mapped.
  const old = s.dma({ dev: "00:03.0", ...BOTH }, { code: 6n });
  const never = s.dma({ dev: "00:03.0", addr: A + 0xff0n, len: 16 }, { code: 6n });
  const run = await s.run();
  expect([old, never].map((seq) => run.verdict(seq))).toEqual(["stale", "mismatch"]);
});
