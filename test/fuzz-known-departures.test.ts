/** A request that shows two mistakes of a device: one is known by its name, the other by its signature. */
import { expect, it } from "vitest";
import { askAgain } from "../pipeline/fuzz/ask-again.ts";
import { fuzz } from "../pipeline/fuzz/campaign.ts";
import { LocalDevice } from "../pipeline/fuzz/local-device.ts";
import { NO_ALIASES } from "../pipeline/verdicts/comparison.ts";
import type { WorldRecord } from "../walkers/fuzz/world.ts";
import { VENDORS } from "../walkers/registry.ts";

/** RID_PASID is 8, which ECAP.RPS does not let it be: 7.1.3, SCT.3. Of PASID 0 there is a table, and no entry: SPT.2. */
const WORLD: readonly WorldRecord[] = [
  { type: "ram", addr: "0x0", size: "0x100000" },
  { type: "mem", addr: "0x10000", data: "01000200000000000000000000000000" },
  { type: "mem", addr: "0x20300", data: `01000300000000000800000000000000${"00".repeat(16)}` },
  { type: "mem", addr: "0x30000", data: "0100040000000000" },
  { type: "mem", addr: "0x40000", data: "00".repeat(64) },
  {
    type: "iommu",
    id: "iommu0",
    model: "intel",
    regs: {
      cap: "0x81d2008c222f0606",
      ecap: "0x880000000f42",
      rtaddr: "0x10400",
      gsts: "0xc4000000",
    },
  },
  { type: "dma", seq: 1, iommu: "iommu0", dev: "00:03.0", addr: "0x1000", len: 1, access: "r" },
];
const OTHER = /^VT-d scalable-mode PASID directory entry\.P: mismatch: SPT\.2 \(0x59\) → 0x51$/;

const { bugs: all } = await VENDORS.intel.fuzzing();
const named = (...names: string[]) => all.filter(({ name }) => names.includes(name));
const device = new LocalDevice("intel", {
  bugs: named("rid-pasid", "one-pasid-code"),
  habits: new Set(),
});
const expected = { codeAliases: NO_ALIASES, bugs: named("rid-pasid") };
const isKnown = (signature: string) => OTHER.test(signature);

it("is known by what is left of it once the known mistake is made", async () => {
  expect((await askAgain(device, WORLD, expected, isKnown)).signatures).toEqual([
    expect.stringMatching(OTHER),
  ]);
});

it("is not, where either is not known", async () => {
  const signatures = [expect.stringMatching(/context entry.*: mismatch: SCT\.3 \(0x42\) → 0x51$/)];
  expect((await askAgain(device, WORLD, expected)).signatures).toEqual(signatures);
  expect((await askAgain(device, WORLD, undefined, isKnown)).signatures).toEqual(signatures);
});

it("is counted by a campaign as what is left of it", async () => {
  const options = { seed: 5, worlds: 3, goesOn: () => true, shrinks: false };
  const onFailure = () => expect.unreachable();
  const found = async (bugs: typeof all) => {
    const expected = { codeAliases: NO_ALIASES, bugs };
    const report = await fuzz(device, {
      ...{ ...options, expected },
      isKnown: (signature) => signature.includes("SPT.2 (0x59) → 0x51"),
      onFinding: () => {},
      onFailure,
    });
    return report.findings.map(({ signature, known }) => `${known} ${signature.expected}`);
  };
  expect(await found([])).toContain("false SCT.9 (0x48)");
  expect(new Set(await found(named("rid-pasid")))).toEqual(new Set(["true SPT.2 (0x59)"]));
});
