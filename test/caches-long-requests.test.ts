/** A request of nearly 4 GiB: what it takes to judge it does not grow with its length where the caches have nothing to say. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { PastWalks } from "../pipeline/caches/history/past-walks.ts";
import { replay } from "../pipeline/library/index.ts";
import { RequestEffort } from "../pipeline/replay/request-effort.ts";
import { WalkEngine } from "../walkers/engine.ts";
import { Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";

const LONG = 2 ** 32 - 1;
const A = 0x10_0000_0000n;
const CONTEXT = 0x10_1180n;
const MIB = 2 ** 20;

/** VT-d in legacy mode (5.10, 9.1 to 9.3): 4 levels, DID 9. */
function legacy() {
  const s = new Scenario("intel", { rtaddr: 0x10_0000n });
  const table = new Radix(s, VTD_SECOND);
  s.put(0x10_0000n, 0x10_1001n).put(CONTEXT, table.root | 1n, (9n << 8n) | 2n);
  return { s, table };
}

/** Maps 4 GiB: every region of 2 MiB has the same 512 pages. */
function samePages(s: Scenario, table: Radix): void {
  const [middle, last] = [table.entry(A, 2), table.entry(A, 1)].map((at) => at & ~0xfffn);
  s.put(last!, ...Array.from({ length: 512 }, (_, i) => (BigInt(i) * 4096n) | 3n));
  s.put(middle!, ...Array.from({ length: 512 }, () => last! | 3n));
  for (let at = 0n; at < 4n; at++) s.put(table.entry(A, 3) + at * 8n, middle! | 3n);
}

const dma = (s: Scenario, addr: bigint, len: number, observed?: { code?: bigint }) =>
  s.dma({ dev: "00:03.0", addr, len }, observed);

afterEach(() => {
  vi.restoreAllMocks();
});

it("a fault on the first page is the answer: no page after it is looked at", async () => {
  const { s, table } = legacy();
  dma(s, A, 64);
  // Another domain, not invalidated: the old context may still be in use, and faults as well.
  s.put(CONTEXT, table.root | 1n, (10n << 8n) | 2n);
  const long = dma(s, A, LONG);
  const walk = vi.spyOn(WalkEngine.prototype, "walk");
  const result = await s.run();
  expect(result.verdict(long)).toBe("");
  expect(walk.mock.calls.length).toBeLessThan(16);
});

it("pages of which the caches have what memory has are not asked for", async () => {
  const { s, table } = legacy();
  samePages(s, table);
  dma(s, A, 64);
  const long = dma(s, A, 64 * MIB, { code: 5n });
  // What a search through the caches asks first.
  const search = vi.spyOn(PastWalks.prototype, "decidedByAddress");
  const result = await s.run();
  expect(result.verdict(long)).toBe("mismatch");
  expect(search).not.toHaveBeenCalled();
});

it("an old context that explains every page is asked for some of them", async () => {
  const { s, table } = legacy();
  samePages(s, table);
  dma(s, A, 64);
  const other = s.allocate();
  s.put(CONTEXT, other | 1n, (9n << 8n) | 2n);
  s.add({
    type: "dma",
    seq: 100,
    iommu: "unit",
    dev: "00:03.0",
    addr: `0x${A.toString(16)}`,
    len: LONG,
    observed: { result: "ok", pa: "0x0" },
  });
  const translate = vi.spyOn(PastWalks.prototype, "translate");
  const result = await s.run();
  expect(result.verdict(100)).toBe("stale");
  expect(translate.mock.calls.length).toBeLessThan(4 * 65_536);
});

/** With errors, which `run` takes for mistakes of the test. */
async function recordsOf(s: Scenario): Promise<Record<string, unknown>[]> {
  const records: Record<string, unknown>[] = [];
  for await (const record of replay(Buffer.from(s.lines.join("\n")))) records.push({ ...record });
  return records;
}

describe("requests of very many pages", () => {
  it("take from what all have in common what they need beyond their share, and get no more", () => {
    const effort = new RequestEffort("pages", 10, 100);
    const take = (pages: number) => {
      effort.begin();
      for (let page = 0; page < pages && effort.left > 0; page++) effort.left--;
      effort.end();
      return effort.isUsedUp;
    };
    expect([take(9), take(60), take(9), take(59), take(11), take(9)]).toEqual([
      false,
      false,
      false,
      false,
      true,
      false,
    ]);
    expect(effort.sentence).toContain("dma.len: expected requests of fewer pages");
  });

  /** As many pages as a request may take, from now on. */
  const allow = (pages: number) =>
    vi.spyOn(RequestEffort.prototype, "begin").mockImplementation(function (this: RequestEffort) {
      this.left = pages;
    });

  it("are an error, not an answer to a part of them; those of few pages are answered", async () => {
    const { s, table } = legacy();
    samePages(s, table);
    dma(s, A, 64 * MIB);
    const short = dma(s, A, 90 * 4096);
    allow(100);
    const walk = vi.spyOn(WalkEngine.prototype, "walk");
    const records = await recordsOf(s);
    expect(walk.mock.calls.length).toBeLessThan(200);
    expect(records.flatMap(({ type, seq }) => (type === "outcome" ? [seq] : []))).toEqual([short]);
    expect(records.filter(({ type }) => type === "error")).toMatchObject([
      { code: "range", message: expect.stringContaining("dma.len") },
    ]);
  });

  it("have no verdict where looking for one takes too long", async () => {
    const { s, table } = legacy();
    samePages(s, table);
    dma(s, A, 64);
    const other = s.allocate();
    s.put(CONTEXT, other | 1n, (9n << 8n) | 2n);
    const long = s.dma({ dev: "00:03.0", addr: A, len: MIB }, 0n);
    allow(300);
    const records = await recordsOf(s);
    expect(records.find(({ seq }) => seq === long)).toMatchObject({ type: "outcome", verdict: "unknown" });
    expect(records.filter(({ type }) => type === "error")).toMatchObject([{ code: "range" }]);
  });
});
