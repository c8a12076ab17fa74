import { describe, expect, it } from "vitest";
import { hex, Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";

const ROOT = 0x10_0000n;
const CONTEXTS = 0x10_1000n;
const A = 0x1000_0000n;
const B = 0x1000_5000n;
const PA = 0x8000_0000n;
const OTHER_PA = 0x9000_0000n;
const DEV = "00:03.0";
const OTHER = "00:04.0";
const WAIT = [0x25n, 0n] as const;
const PAGE_A = [0x9_0032n, A] as const;

/** Two devices in domains of their own; the first has used A and B, the second B. */
function used() {
  const s = new Scenario("intel", { rtaddr: ROOT });
  const table = new Radix(s, VTD_SECOND).map(A, PA).map(B, OTHER_PA);
  const other = new Radix(s, VTD_SECOND).map(B, OTHER_PA + 0x1000n);
  s.put(ROOT, CONTEXTS | 1n);
  s.put(CONTEXTS + 0x180n, table.root | 1n, (9n << 8n) | 2n);
  s.put(CONTEXTS + 0x200n, other.root | 1n, (8n << 8n) | 2n);
  s.cmd(...WAIT);
  s.dma({ dev: DEV, addr: A }, PA);
  s.dma({ dev: DEV, addr: B }, OTHER_PA);
  s.dma({ dev: OTHER, addr: B }, OTHER_PA + 0x1000n);
  return { s, table, other };
}

describe("a page that is mapped elsewhere before it is invalidated", () => {
  it.each([
    ["at another address", false],
    ["for another device", true],
  ])("%s: the invalidation came after the reuse", async (_, elsewhere) => {
    const { s, table, other } = used();
    s.put(table.entry(A), 0n);
    const unmapped = s.lines.length;
    (elsewhere ? other : table).map(B, PA);
    const reused = s.lines.length;
    s.cmd(...PAGE_A).cmd(...WAIT);
    const run = await s.run();
    const [finding, ...others] = run.of("finding");
    expect(others).toEqual([]);
    expect(finding).toMatchObject({
      rule: "late-invalidation",
      latent: true,
      dev: DEV,
      changed_line: unmapped,
      reused_line: reused,
      entry_addr: hex(table.entry(A)),
    });
    const heir = elsewhere ? OTHER : DEV;
    expect(finding!.message).toContain(
      `came after the reuse, in line ${s.lines.length}. No request has met it, but the page that it mapped, ${hex(PA)}, was given to ${hex(B)} of ${heir} in line ${reused}. Expected IOTLB invalidate`,
    );
    expect(finding).not.toHaveProperty("requests");
  });

  it("where the invalidation never comes", async () => {
    const { s, table, other } = used();
    s.put(table.entry(A), 0n);
    other.map(B, PA);
    expect((await s.run()).of("finding")).toMatchObject([
      { rule: "missing-invalidation", latent: true, changed_line: s.lines.length - 1 },
    ]);
  });

  it("with the whole table that maps it, by the entry above", async () => {
    const { s, table, other } = used();
    s.put(table.entry(A, 2), 0n);
    const unlinked = s.lines.length;
    other.map(B, PA);
    const reused = s.lines.length;
    s.cmd(0x12n, 0n).cmd(...WAIT);
    expect((await s.run()).of("finding")).toMatchObject([
      {
        rule: "late-invalidation",
        latent: true,
        changed_line: unlinked,
        reused_line: reused,
        entry_addr: hex(table.entry(A, 2)),
      },
    ]);
    const { s: first, table: gone, other: heir } = used();
    first.put(gone.entry(A, 2), 0n);
    first.cmd(0x12n, 0n).cmd(...WAIT);
    heir.map(B, PA);
    expect((await first.run()).rules()).toEqual([]);
  });

  it("and that a request meets as well: one finding", async () => {
    const { s, table, other } = used();
    s.put(table.entry(A), 0n);
    other.map(B, PA);
    const reused = s.lines.length;
    s.dma({ dev: DEV, addr: A }, PA);
    s.cmd(...PAGE_A).cmd(...WAIT);
    const run = await s.run();
    expect(run.of("finding")).toMatchObject([
      { rule: "late-invalidation", reused_line: reused, first_line: reused + 1, requests: 1, answered: 1 },
    ]);
    expect(run.of("finding")[0]).not.toHaveProperty("latent");
  });

  it("a larger page, of which a part is mapped elsewhere", async () => {
    const s = new Scenario("intel", { rtaddr: ROOT });
    const table = new Radix(s, VTD_SECOND).map(A, PA, 2).map(0x4000_0000n, OTHER_PA);
    s.put(ROOT, CONTEXTS | 1n).put(CONTEXTS + 0x180n, table.root | 1n, (9n << 8n) | 2n);
    s.dma({ dev: DEV, addr: A }, PA);
    s.dma({ dev: DEV, addr: 0x4000_0000n }, OTHER_PA);
    s.put(table.entry(A, 2), 0n);
    table.map(0x4000_1000n, PA + 0x7000n);
    expect((await s.run()).of("finding")).toMatchObject([{ rule: "missing-invalidation", latent: true }]);
  });
});

describe("software says that it has mapped it elsewhere", () => {
  const software = (dev: string | undefined, addr: bigint, pa: bigint) => ({
    type: "map",
    dev,
    addr: hex(addr),
    size: "0x3000",
    pa: hex(pa),
  });

  it("which no table shows: the invalidation came after that", async () => {
    const { s, table } = used();
    s.put(table.entry(A), 0n);
    s.add(software(OTHER, 0x7000_0000n, PA - 0x2000n));
    const reused = s.lines.length;
    s.cmd(...PAGE_A).cmd(...WAIT);
    const [finding, ...others] = (await s.run()).of("finding");
    expect(others).toEqual([]);
    expect(finding).toMatchObject({ rule: "late-invalidation", latent: true, reused_line: reused });
    expect(finding!.message).toContain(
      `${hex(PA)}, was given to 0x70000000 of ${OTHER} in line ${reused}. Expected IOTLB invalidate`,
    );
  });

  it("but not where it was, other memory, or after the invalidation", async () => {
    const { s, table } = used();
    s.put(table.entry(A), 0n);
    s.add(software(DEV, A, PA)).add(software(undefined, A - 0x1000n, PA - 0x1000n));
    s.add(software(OTHER, B, PA + 0x1000n));
    s.cmd(...PAGE_A).cmd(...WAIT);
    s.add(software(OTHER, B, PA));
    expect((await s.run()).rules()).toEqual([]);
  });
});

describe("nothing is wrong where", () => {
  it("the page is invalidated first", async () => {
    const { s, table, other } = used();
    s.put(table.entry(A), 0n);
    s.cmd(...PAGE_A).cmd(...WAIT);
    other.map(B, PA);
    table.map(B, PA);
    expect((await s.run()).rules()).toEqual([]);
  });

  it("it was mapped twice before, or in the same write", async () => {
    const { s, table, other } = used();
    other.map(B, PA);
    s.put(table.entry(A), 0n);
    s.cmd(...PAGE_A).cmd(...WAIT);
    expect((await s.run()).rules()).toEqual([]);
  });

  it("nobody has used it before it was unmapped", async () => {
    const { s, table } = used();
    table.map(A + 0x1000n, PA + 0x1000n);
    s.put(table.entry(A + 0x1000n), 0n);
    table.map(B, PA + 0x1000n);
    s.cmd(0x12n, 0n).cmd(...WAIT);
    expect((await s.run()).rules()).toEqual([]);
  });

  it("it is mapped again where it was, or its rights are others", async () => {
    const { s, table } = used();
    s.put(table.entry(A), 0n);
    table.map(A, PA);
    s.put(table.entry(A), PA | 1n);
    s.cmd(...PAGE_A).cmd(...WAIT);
    expect((await s.run()).rules()).toEqual([]);
  });

  it("a table that devices share gets it back", async () => {
    const s = new Scenario("intel", { rtaddr: ROOT });
    const table = new Radix(s, VTD_SECOND).map(A, PA);
    const context = [table.root | 1n, (9n << 8n) | 2n] as const;
    s.put(ROOT, CONTEXTS | 1n)
      .put(CONTEXTS + 0x180n, ...context)
      .put(CONTEXTS + 0x200n, ...context);
    for (const dev of [DEV, OTHER]) s.dma({ dev, addr: A }, PA);
    s.put(table.entry(A), 0n);
    table.map(A, PA);
    s.cmd(...PAGE_A).cmd(...WAIT);
    expect((await s.run()).rules()).toEqual([]);
  });

  it("other memory is mapped elsewhere", async () => {
    const { s, table, other } = used();
    s.put(table.entry(A), 0n);
    other.map(B, PA + 0x1000n);
    s.cmd(...PAGE_A).cmd(...WAIT);
    expect((await s.run()).rules()).toEqual([]);
  });
});
