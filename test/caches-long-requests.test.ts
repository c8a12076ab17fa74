/** A request of nearly 4 GiB: what it takes to judge it does not grow with its length where the caches have nothing to say. */
import { afterEach, expect, it, vi } from "vitest";
import { PastWalks } from "../pipeline/caches/history/past-walks.ts";
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
