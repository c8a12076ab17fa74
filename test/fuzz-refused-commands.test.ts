/** Commands that no world can reach on a device (IHI 0070, 4.1.6, 4.4.2, 4.4.3, 4.5.1). */
import { expect, it } from "vitest";
import { refusedCommands } from "../pipeline/fuzz/refused-commands.ts";
import { IOMMU_MODELS } from "../walkers/models.ts";

const NOTHING_KNOWN = { regs: {}, props: {} };
/** IDR0: S1P and TTF alone, and with S2P, HYP and ATS. */
const STAGE_1 = 0xan;
const ALL = 0xan | 1n | (1n << 9n) | (1n << 10n);

it("are those of other queues, where nothing is known of it", () => {
  for (const model of IOMMU_MODELS) {
    const refused = refusedCommands(model, NOTHING_KNOWN);
    if (model !== "arm-smmuv3") expect(refused).toEqual([]);
    else for (const name of refused) expect(name).toMatch(/^CMD_TLBI_(EL3|S_|SNH)/);
  }
  expect(refusedCommands("arm-smmuv3", NOTHING_KNOWN)).toHaveLength(9);
});

it("are those that need what its registers do not report", () => {
  const own = (idr0: bigint) =>
    refusedCommands("arm-smmuv3", { regs: { idr0 }, props: {} }).filter(
      (name) => !/^CMD_TLBI_(EL3|S_|SNH)/.test(name),
    );
  expect(own(ALL)).toEqual([]);
  expect(own(STAGE_1)).toEqual([
    ...["CMD_TLBI_EL2_ALL", "CMD_TLBI_EL2_ASID", "CMD_TLBI_EL2_VA", "CMD_TLBI_EL2_VAA"],
    ...["CMD_TLBI_S12_VMALL", "CMD_TLBI_S2_IPA", "CMD_ATC_INV"],
  ]);
});
