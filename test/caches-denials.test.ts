/** A translation that denies a request is in the cache as any other: it is the same one as long as its entry says so. */
import { afterEach, expect, it, vi } from "vitest";
import { PastWalks } from "../pipeline/caches/history/past-walks.ts";
import { Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";

const A = 0x1000_0000n;
const B = 0x1000_1000n;
const READ_ONLY = 1n;
const READ_WRITE = 3n;

/** VT-d in legacy mode (5.10, 9.1 to 9.3, 9.8). */
function legacy() {
  const s = new Scenario("intel", { rtaddr: 0x10_0000n });
  const table = new Radix(s, VTD_SECOND);
  s.put(0x10_0000n, 0x10_1001n).put(0x10_1180n, table.root | 1n, (9n << 8n) | 2n);
  s.put(table.entry(A), 0x8000_0000n | READ_ONLY);
  return { s, table, write: (addr: bigint) => s.dma({ dev: "00:03.0", addr, access: "w" }) };
}

afterEach(() => {
  vi.restoreAllMocks();
});

it("a page that stays read-only is no other after a change of the next one", async () => {
  const { s, table, write } = legacy();
  write(A);
  s.put(table.entry(B), 0x9000_0000n | READ_WRITE);
  write(A);
  // What a search through the caches asks first: there is nothing to search for.
  const search = vi.spyOn(PastWalks.prototype, "decidedByAddress");
  const result = await s.run();
  expect(result.of("outcome").map(({ reason, verdict }) => [reason, verdict])).toEqual([
    ["PERMISSION", undefined],
    ["PERMISSION", undefined],
  ]);
  expect(search).not.toHaveBeenCalled();
});

it("one that was writable is", async () => {
  const { s, table, write } = legacy();
  s.put(table.entry(A), 0x8000_0000n | READ_WRITE);
  write(A);
  s.put(table.entry(A), 0x8000_0000n | READ_ONLY);
  const denied = write(A);
  const result = await s.run();
  expect(result.outcome(denied)).toMatchObject({ reason: "PERMISSION", verdict: "hazard" });
});
