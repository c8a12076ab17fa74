/** Likely causes are those that a fault's record, or the walk that met it, leaves possible. */
import { describe, expect, it } from "vitest";
import { explainRecord } from "../pipeline/library/index.ts";
import { causesOfWalk } from "../pipeline/words/walk-causes.ts";
import type { IommuModel } from "../walkers/models.ts";
import { VENDORS } from "../walkers/registry.ts";
import { Scenario } from "./support/cache-scenario.ts";

function ofRecord(model: IommuModel, ...words: bigint[]): string {
  return explainRecord(model, words)
    .faults.flatMap(({ causes }) => causes)
    .join("\n");
}

/** What is said of the last request. */
async function ofWalk(s: Scenario, model: IommuModel): Promise<string> {
  const outcome = (await s.run()).of("outcome").at(-1)! as never as Parameters<
    typeof causesOfWalk
  >[0]["outcome"];
  const fault = VENDORS[model].faults.find(({ name }) => name === outcome.name)!;
  return causesOfWalk({ outcome, changes: [] }, fault).join("\n");
}

describe("VT-d", () => {
  /** Fault reason at bits 103:96, PP at 95. */
  const record = (reason: bigint, withPasid: boolean) =>
    ofRecord("intel", 0x1000_0000n, (1n << 63n) | (reason << 32n) | (withPasid ? 1n << 31n : 0n) | 0x18n);

  it("firmware has nothing to do with PASIDs", () => {
    expect(record(0x71n, false)).toContain("no RMRR for it");
    expect(record(0x71n, true)).not.toContain("RMRR");
    expect(record(0x71n, true)).toContain("unmapped the buffer");
  });
});

describe("AMD-Vi", () => {
  /** An IO_PAGE_FAULT with flags at bits 59:48. */
  const pageFault = (flags: bigint) => ofRecord("amd", (2n << 60n) | (flags << 48n) | 8n, 0x1000n);

  it("RZ says which kind of malformed entry it is", () => {
    expect(pageFault(0x90n)).toMatch(/^RZ=1: [^\n]*$/);
    expect(pageFault(0x10n)).toMatch(/^PR=1, PE=0, RZ=0: [^\n]*$/);
  });

  it("a request with a PASID that the device may not have is nothing else", async () => {
    const s = new Scenario("amd", { dev_tab_base: 0x10_0001n });
    s.put(0x10_0020n, 3n | (3n << 61n), 7n, 0n, 0n);
    s.dma({ dev: "devid:1", addr: 0x1000n, pasid: 5 });
    expect(await ofWalk(s, "amd")).toMatch(/^a request with a PASID from a device without[^\n]*$/);
  });

  it("TV=0 is no guest CR3 table", async () => {
    const s = new Scenario("amd", { dev_tab_base: 0x10_0001n });
    s.put(0x10_0020n, 1n, 7n, 0n, 0n).dma({ dev: "devid:1", addr: 0x1000n });
    expect(await ofWalk(s, "amd")).toMatch(/^PR=0: TV=0[^\n]*$/);
  });
});
