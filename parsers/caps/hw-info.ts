import type { Layout } from "../../walkers/layout.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { AmdHwInfoLayout, SmmuHwInfoLayout, VtdHwInfoLayout, viewOf } from "../bind/c-structures.ts";
import { type HostIommu, stateOf } from "./host.ts";

interface HwInfo {
  readonly model: IommuModel;
  readonly layout: Layout;
  /** Register by field. */
  readonly registers: Readonly<Record<string, string>>;
}

const SMMU_REGISTERS = ["idr0", "idr1", "idr2", "idr3", "idr4", "idr5", "iidr", "aidr"];

/** What IOMMU_GET_HW_INFO gives for each IOMMU; their sizes tell them apart. */
const HW_INFO: readonly HwInfo[] = [
  { model: "intel", layout: VtdHwInfoLayout, registers: { cap_reg: "cap", ecap_reg: "ecap" } },
  {
    model: "arm-smmuv3",
    layout: SmmuHwInfoLayout,
    registers: Object.fromEntries(SMMU_REGISTERS.map((name) => [name, name])),
  },
  { model: "amd", layout: AmdHwInfoLayout, registers: { efr: "efr", efr2: "efr2" } },
];

/**
 * Reads the bytes of one of iommufd's `struct iommu_hw_info_…`.
 * @returns the IOMMU, or a sentence that says what was expected and what was found
 */
export function hostOfHwInfo(bytes: Uint8Array): HostIommu | string {
  const info = HW_INFO.find((candidate) => candidate.layout.bytes === bytes.length);
  if (info === undefined) {
    const sizes = HW_INFO.map(({ layout }) => `${layout.name} (${layout.bytes})`);
    return `expected the bytes of ${sizes.slice(0, -1).join(", ")} or ${sizes.at(-1)}, found ${bytes.length} bytes`;
  }
  const view = viewOf(bytes, info.layout);
  const registers = Object.entries(info.registers).map(([field, name]) => [
    name,
    info.layout.extract(field, view, 0),
  ]);
  return {
    id: "",
    model: info.model,
    state: stateOf(Object.fromEntries(registers)),
    source: info.layout.name,
    notes: [],
  };
}
