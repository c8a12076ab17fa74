/** A translation that denies a request is in the cache as any other: it is the same one as long as its entry says so. */
import { afterEach, expect, it, vi } from "vitest";
import { PastWalks } from "../pipeline/caches/history/past-walks.ts";
import { Radix, Scenario, VTD_SECOND, X86_64 } from "./support/cache-scenario.ts";

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

it("a page whose dirty flag cannot be set any more is another to a write", async () => {
  const s = new Scenario("intel", { rtaddr: 0x10_0400n });
  const [first, second] = [new Radix(s, X86_64), new Radix(s, VTD_SECOND)];
  // The first stage's tables lie where the second stage leads one to one, and lets nobody write (SFS.8).
  first.map(A, B);
  second.map(B, 0x8000_0000n);
  for (let at = 0x100_0000n; at < 0x102_0000n; at += 0x1000n) s.put(second.entry(at), at | READ_ONLY);
  s.put(0x10_0000n, 0x10_1001n).put(0x10_1300n, 0x10_2001n, 0n, 0n, 0n).put(0x10_2000n, 0x10_3001n);
  s.put(0x10_3000n, second.root | 0xc9n, 9n, first.root | 1n, 0n, 0n, 0n, 0n, 0n);
  const write = () => s.dma({ dev: "00:03.0", addr: A, access: "w" }, 0x8000_0000n);
  write();
  s.put(first.entry(A), B | 0x27n);
  const cached = write();
  const result = await s.run();
  expect(result.outcome(cached)).toMatchObject({ name: "SFS.8", verdict: "stale" });
});
