import { IOMMU_MODELS } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { viewOf } from "../bind/c-structures.ts";
import { type HostIommu, stateOf } from "./host.ts";

/** What IOMMU_GET_HW_INFO gives for each IOMMU; their sizes tell them apart. */
const HW_INFO = IOMMU_MODELS.flatMap((model) => {
  const { hwInfo } = VENDORS[model].host;
  return hwInfo === null ? [] : [{ model, ...hwInfo }];
});

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
