import { describe, expect, it } from "vitest";
import { Scenario } from "./support/cache-scenario.ts";

/** Requests of one device, all that is observed of which is a fault. */
async function verdicts(
  s: Scenario,
  dev: string,
  asked: readonly [addr: bigint, code: bigint, flags?: string][],
): Promise<string[]> {
  asked.forEach(([addr, code, flags], seq) => {
    const observed = { result: "fault", code: `0x${code.toString(16)}`, ...(flags ? { flags } : {}) };
    s.add({ type: "dma", seq, iommu: "unit", dev, addr: `0x${addr.toString(16)}`, access: "w", observed });
  });
  const run = await s.run();
  return asked.map((_, seq) => run.verdict(seq));
}

const INTERRUPT = 0xfee0_0000n;

describe("faults of interrupt remapping are not judged", () => {
  it("VT-d: reasons 20h to 2Bh, whatever the address; no others", async () => {
    const s = new Scenario("intel", { rtaddr: 0x1000n, gsts: 0xc200_0000n });
    const codes = [0x20n, 0x22n, 0x25n, 0x26n, 0x2bn];
    const asked = codes.map((code) => [INTERRUPT, code] as [bigint, bigint]);
    expect(
      await verdicts(s, "00:03.0", [...asked, [0x5000n, 0x22n], [INTERRUPT, 0x5n], [INTERRUPT, 0x2cn]]),
    ).toEqual([...codes.map(() => "not-modelled"), "not-modelled", "mismatch", "mismatch"]);
  });

  it("AMD: IntCtl by the type of the request, interrupt tables by I at an interrupt's address", async () => {
    const s = new Scenario("amd", {
      dev_tab_base: 0x10_000fn,
      control: 0x1_1005n,
      efr: 0x8_0029_0ad2n,
      efr2: 0n,
    });
    // V, TV and a host table; IV.
    s.put(0x10_0020n, 0x6000_0000_0001_8803n, 1n, 1n, 0n);
    expect(
      await verdicts(s, "00:00.1", [
        [0xfd_f800_0020n, 0x8n, "0xa00"],
        [INTERRUPT, 0x8n],
        [INTERRUPT, 0x2n, "0x8"],
        [INTERRUPT, 0x2n, "0x70"],
        [INTERRUPT, 0x8n, "0x600"],
        [0x5000n, 0x4n, "0x8"],
      ]),
    ).toEqual(["not-modelled", "not-modelled", "not-modelled", "mismatch", "mismatch", "mismatch"]);
  });

  it("is no fault that a request is missing for", async () => {
    const s = new Scenario("intel", { rtaddr: 0x1000n, gsts: 0xc200_0000n });
    s.dma({ dev: "00:04.0", addr: 0x5000n });
    s.add({ type: "fault", iommu: "unit", dev: "00:03.0", code: "0x22", addr: "0xfee00000", access: "w" });
    expect((await s.run()).rules()).not.toContain("unexplained-fault");
    s.add({ type: "fault", iommu: "unit", dev: "00:03.0", code: "0x5", addr: "0xfee00000", access: "w" });
    expect((await s.run()).rules()).toContain("unexplained-fault");
  });
});
