import type { LoggedFault } from "./iommu-events.ts";

/** VT-d: an entry without permission, and one that is not present, of either stage (VT-d 5.10, Table 30). */
const VTD = [0x5, 0x6, 0x71, 0x79];
/** Page faults on reads for execute, reads and writes (RISC-V IOMMU 1.0, causes). */
const RISCV = [12, 13, 15];

/** Whether the tables of a device that is set up do not map the address, or not for this kind of access. */
export function isPageFault({ model, code, amd, smmu, text }: LoggedFault): boolean {
  switch (model) {
    case "intel":
      return code !== undefined && VTD.includes(code);
    case "amd":
      return amd?.event === "IO_PAGE_FAULT";
    case "arm-smmuv3":
      return smmu?.name === "F_TRANSLATION";
    case "riscv":
      return code !== undefined && RISCV.includes(code);
    case "virtio-iommu":
      return text.startsWith("page");
    default:
      return false;
  }
}
