/** The registers that say what each IOMMU can do, by the names that they have in traces. */

import { ExtendedFeature2Register, ExtendedFeatureRegister } from "../../walkers/amd-vi/registers.ts";
import { bit, bits, type Layout, layout } from "../../walkers/layout.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { Capabilities } from "../../walkers/riscv/registers.ts";
import { Aidr, Idr0, Idr1, Idr3, Idr5 } from "../../walkers/smmuv3/registers.ts";
import {
  CapabilityRegister,
  ExtendedCapabilityRegister,
  VersionRegister,
} from "../../walkers/vtd/registers.ts";

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

/** The first word of the capability block in PCI configuration space: what sysfs calls `cap`. */
const AmdCapabilityHeader = layout("IOMMU Capability Header", "AMD 48882, capability offset 00h", 4, {
  CAPID: bits(7, 0, "Capability id", { 15: "secure device" }),
  CAPPTR: bits(15, 8, "Next capability"),
  CAPTYPE: bits(18, 16, "Capability block type", { 3: "IOMMU" }),
  CAPREV: bits(23, 19, "Revision"),
  IOTLBSUP: bit(24, "IOTLB support"),
  HTTUNNEL: bit(25, "HyperTransport tunnel translation"),
  NPCACHE: bit(26, "Caches entries that are not present"),
  EFRSUP: bit(27, "Extended Feature Register"),
  CAPEXT: bit(28, "Miscellaneous Information Register 1"),
});

export const CAPABILITY_REGISTERS: Readonly<Record<IommuModel, Readonly<Record<string, Layout>>>> = {
  intel: { ver: VersionRegister, cap: CapabilityRegister, ecap: ExtendedCapabilityRegister },
  "arm-smmuv3": {
    idr0: Idr0,
    idr1: Idr1,
    idr2: Idr2,
    idr3: Idr3,
    idr4: Idr4,
    idr5: Idr5,
    iidr: Iidr,
    aidr: Aidr,
  },
  amd: { pci_cap: AmdCapabilityHeader, efr: ExtendedFeatureRegister, efr2: ExtendedFeature2Register },
  riscv: { capabilities: Capabilities },
};

/** The register of each model that tells the model from its name alone. */
export const TELLING_REGISTER: Readonly<Record<IommuModel, readonly string[]>> = {
  intel: ["cap", "ecap"],
  "arm-smmuv3": ["idr0", "idr1", "idr5"],
  amd: ["efr"],
  riscv: ["capabilities"],
};
