import { formatSet, type HostInterface, type HostLimits, lackingOf } from "../host.ts";
import { bits, layout } from "../layout.ts";
import type { IommuState } from "../registers.ts";
import { SmmuFeatures } from "./features.ts";
import { Aidr, Idr0, Idr1, Idr3, Idr5 } from "./registers.ts";

const Idr2 = layout("SMMU_IDR2", "IHI 0070 6.3.3", 4, {
  BA_VATOS: bits(9, 0, "Page of the VATOS registers"),
});

const Idr4 = layout("SMMU_IDR4", "IHI 0070 6.3.5", 4, {
  IMPDEF: bits(31, 0, "IMPLEMENTATION DEFINED"),
});

const Iidr = layout("SMMU_IIDR", "IHI 0070 6.3.7", 4, {
  Implementer: bits(11, 0, "JEP106 code of the implementer"),
  Revision: bits(15, 12, "Minor revision of the product"),
  Variant: bits(19, 16, "Variant, or major revision, of the product"),
  ProductID: bits(31, 20, "Product"),
});

const HwInfo = layout("struct iommu_hw_info_arm_smmuv3", "include/uapi/linux/iommufd.h", 40, {
  flags: bits(31, 0, "Flags"),
  idr0: bits(95, 64, "SMMU_IDR0"),
  idr1: bits(127, 96, "SMMU_IDR1"),
  idr2: bits(159, 128, "SMMU_IDR2"),
  idr3: bits(191, 160, "SMMU_IDR3"),
  idr4: bits(223, 192, "SMMU_IDR4"),
  idr5: bits(255, 224, "SMMU_IDR5"),
  iidr: bits(287, 256, "SMMU_IIDR"),
  aidr: bits(319, 288, "SMMU_AIDR"),
});

const REGISTERS = {
  idr0: Idr0,
  idr1: Idr1,
  idr2: Idr2,
  idr3: Idr3,
  idr4: Idr4,
  idr5: Idr5,
  iidr: Iidr,
  aidr: Aidr,
};

export const SMMUV3_HOST: HostInterface = {
  registers: REGISTERS,
  telling: ["idr0", "idr1", "idr5"],
  folders: { "arm-smmu-v3": 2 },
  files: {},
  pasidBits: "ssid_bits",
  hwInfo: {
    layout: HwInfo,
    registers: Object.fromEntries(Object.keys(REGISTERS).map((name) => [name, name])),
  },
  limits,
};

/** IHI 0070, 6.3.1, 6.3.2 and 6.3.6. */
function limits(state: IommuState): HostLimits {
  const features = new SmmuFeatures();
  features.configure(state);
  const noStage1 = features.stage1 ? "" : "stage 1 (IDR0.S1P) is not supported";
  const noTwoLevel = features.cd2l ? "" : "2-level tables (IDR0.CD2L) are not supported";
  return {
    pasidBits: features.ssidSize,
    outputBits: features.oas,
    secondInputBits: features.ias,
    lacking: lackingOf([
      ["arm-1lvl", noStage1],
      ["arm-2lvl", noStage1 || noTwoLevel],
    ]),
    noNesting: features.stage2 ? "" : "IDR0.S2P is 0",
    formats: formatSet([
      ["vmsav8-64", features.vmsav864],
      ["vmsav8-32", (state.capability("idr0", Idr0, "TTF", 3) & 1) !== 0],
    ]),
  };
}
