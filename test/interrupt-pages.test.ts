/** Requests of which a part is for interrupts: each page is asked for by itself, so a page behind may fault. */
import { expect, it } from "vitest";
import { Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";

const ROOT = 0x10_0000n;
const RANGE_END = 0xfef0_0000n;
const BEFORE = 0xfee0_0000n;
const PAGE = 0x8000_0000n;

async function outcomeOf(addr: bigint, len: number, mapped: readonly bigint[]) {
  const s = new Scenario("intel", { rtaddr: ROOT, gsts: 0xc400_0000n });
  const table = new Radix(s, VTD_SECOND);
  for (const at of mapped) table.map(at, PAGE);
  s.put(ROOT, (ROOT + 0x1000n) | 1n, 0n).put(ROOT + 0x1100n, table.root | 1n, 0x502n);
  const seq = s.dma({ dev: "00:02.0", addr, len, access: "w" });
  return (await s.run()).outcome(seq);
}

it("ends in the interrupt range: not translated, where what comes before is", async () => {
  expect(await outcomeOf(BEFORE - 16n, 32, [BEFORE - 4096n])).toMatchObject({ result: "msi" });
  const fault = await outcomeOf(BEFORE - 16n, 32, []);
  expect(fault).toMatchObject({ result: "fault", code: "0x5" });
  expect(fault).not.toHaveProperty("fault_addr");
});

it("begins in it: not translated, but for a page behind that faults", async () => {
  expect(await outcomeOf(RANGE_END - 16n, 32, [RANGE_END])).toMatchObject({ result: "msi" });
  const fault = await outcomeOf(RANGE_END - 16n, 32, []);
  expect(fault).toMatchObject({ result: "fault", code: "0x5", fault_addr: "0xfef00000" });
});

it("spans it", async () => {
  const all = [BEFORE - 4096n, RANGE_END];
  const asked = (mapped: readonly bigint[]) => outcomeOf(BEFORE - 16n, 0x10_0020, mapped);
  expect(await asked(all)).toMatchObject({ result: "msi" });
  expect(await asked(all.slice(0, 1))).toMatchObject({ result: "fault", fault_addr: "0xfef00000" });
});
