import type { FaultRecordFormat } from "../parsers/fault-records/format.ts";
import type { Fault } from "../walkers/fault.ts";
import type { Layout } from "../walkers/layout.ts";
import type { IommuModel } from "../walkers/walker.ts";
import { CliError } from "./errors.ts";
import { nearest } from "./nearest.ts";

/** Everything that `explain` knows of one vendor. */
export interface Vendor {
  readonly faults: readonly Fault[];
  readonly layouts: readonly Layout[];
  readonly record: FaultRecordFormat;
}

interface VendorEntry {
  readonly title: string;
  /** What people call it. */
  readonly aliases: readonly string[];
  /** Loads its declarations; nothing of the others. */
  readonly load: () => Promise<Vendor>;
}

export const VENDORS: Readonly<Record<IommuModel, VendorEntry>> = {
  intel: {
    title: "Intel VT-d",
    aliases: ["vtd", "vt-d", "dmar", "intel-iommu"],
    async load() {
      const { VTD_FAULTS, VTD_LAYOUTS } = await import("../walkers/vtd/index.ts");
      const { VTD_FAULT_RECORD } = await import("../parsers/fault-records/vtd.ts");
      return { faults: VTD_FAULTS, layouts: VTD_LAYOUTS, record: VTD_FAULT_RECORD };
    },
  },
  "arm-smmuv3": {
    title: "Arm SMMUv3",
    aliases: ["arm", "smmu", "smmuv3"],
    async load() {
      const { SMMUV3_FAULTS, SMMUV3_LAYOUTS } = await import("../walkers/smmuv3/index.ts");
      const { SMMUV3_FAULT_RECORD } = await import("../parsers/fault-records/smmuv3.ts");
      return { faults: SMMUV3_FAULTS, layouts: SMMUV3_LAYOUTS, record: SMMUV3_FAULT_RECORD };
    },
  },
  amd: {
    title: "AMD-Vi",
    aliases: ["amd-vi", "amdvi", "amd-iommu"],
    async load() {
      const { AMD_VI_FAULTS, AMD_VI_LAYOUTS } = await import("../walkers/amd-vi/index.ts");
      const { AMD_VI_FAULT_RECORD } = await import("../parsers/fault-records/amd-vi.ts");
      return { faults: AMD_VI_FAULTS, layouts: AMD_VI_LAYOUTS, record: AMD_VI_FAULT_RECORD };
    },
  },
  riscv: {
    title: "RISC-V IOMMU",
    aliases: ["risc-v", "riscv-iommu"],
    async load() {
      const { RISCV_FAULTS, RISCV_LAYOUTS } = await import("../walkers/riscv/index.ts");
      const { RISCV_FAULT_RECORD } = await import("../parsers/fault-records/riscv.ts");
      return { faults: RISCV_FAULTS, layouts: RISCV_LAYOUTS, record: RISCV_FAULT_RECORD };
    },
  },
};

const MODELS = Object.keys(VENDORS) as IommuModel[];

/** All names that `vendorNamed` takes. */
export const VENDOR_NAMES: readonly string[] = MODELS.flatMap((model) => [model, ...VENDORS[model].aliases]);

/** Whether it is one of them, in any case. */
export function isVendor(name: string): boolean {
  return VENDOR_NAMES.includes(name.toLowerCase());
}

/** The model that a name stands for, in any case. */
export function vendorNamed(name: string): IommuModel {
  const lower = name.toLowerCase();
  const model = MODELS.find((m) => m === lower || VENDORS[m].aliases.includes(lower));
  if (model !== undefined) return model;
  const near = nearest(lower, VENDOR_NAMES);
  const hint = near === undefined ? "" : `; did you mean ${near}?`;
  throw new CliError(
    `expected a vendor (${VENDOR_NAMES.join(", ")}), found ${JSON.stringify(name)}${hint}`,
    true,
  );
}
