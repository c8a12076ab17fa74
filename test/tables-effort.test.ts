/** Tables are judged anew when registers change, but not as often as a trace likes to change them. */
import { expect, it } from "vitest";
import { Scenario } from "./support/cache-scenario.ts";

/** VT-d in legacy mode (5.10, 9.1 and 9.3): 256 buses, and 256 functions each, of which every entry asks for pass-through. */
function manyContexts(): Scenario {
  const s = new Scenario("intel", { rtaddr: 0x10_0000n });
  const words = (of: (i: number) => bigint[]) => Array.from({ length: 256 }, (_, i) => of(i)).flat();
  const roots = words((bus) => [0x100_0001n + BigInt(bus) * 4096n, 0n]);
  s.put(0x10_0000n, ...roots).put(0x10_1000n, ...roots);
  for (let bus = 0n; bus < 256n; bus++) s.put(0x100_0000n + bus * 4096n, ...words(() => [9n, 0x102n]));
  return s;
}

const roots = (s: Scenario, times: number) => {
  for (let i = 0; i < times; i++) {
    s.add({ type: "reg", iommu: "unit", name: "rtaddr", value: i % 2 === 0 ? "0x101000" : "0x100000" });
    s.dma({ dev: "00:03.0", addr: 0x1000n });
  }
  return s;
};

it("after so many changes it is said that they are not, once", async () => {
  const s = roots(manyContexts(), 40);
  // A context entry with a reserved bit, in tables that are not looked at any more.
  s.put(0x100_1000n, 9n | (1n << 5n), 0x102n);
  s.dma({ dev: "00:03.0", addr: 0x1000n });
  const run = await s.run();
  expect(run.rules()).toEqual(["tables-not-judged"]);
});

it("a few changes are looked at", async () => {
  const s = roots(manyContexts(), 3);
  s.put(0x100_1000n, 9n | (1n << 5n), 0x102n);
  s.dma({ dev: "00:03.0", addr: 0x1000n });
  const run = await s.run();
  expect(run.rules()).toEqual(["reserved-entry-bits"]);
});
