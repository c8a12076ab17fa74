import type { LoggedModel } from "../../parsers/logs/iommu-events.ts";
import type { FaultGroups } from "./fault-groups.ts";
import { isPageFault } from "./page-faults.ts";

const TRACE_EVENTS =
  "what the driver had mapped: trace-cmd record -e dma:* -e iommu:* -e intel_iommu:* (dma:* since Linux 6.12), or from boot trace_event=dma,iommu trace_buf_size=64M; then give both: pasid-replay explain dmesg.txt trace.txt";
const STRICT =
  "a boot with iommu.strict=1: unmapped addresses fault at once, not when the deferred invalidation comes";
const DMA_DEBUG =
  "the driver's use of the DMA API: CONFIG_DMA_API_DEBUG=y, then dma_debug_driver=NAME, and /sys/kernel/debug/dma-api/dump at the time of the fault";

/** How each driver shows its tables. */
const TABLES: Partial<Record<LoggedModel, string>> = {
  intel:
    "the tables at the fault: a kernel with CONFIG_INTEL_IOMMU_DEBUGFS=y (which selects DMAR_DEBUG, 5.15 and later) prints them behind each fault; or at any time /sys/kernel/debug/iommu/intel/{iommu_regset,dmar_translation_struct,*/domain_translation_struct}",
  amd: "the device table entry: /sys/kernel/debug/iommu/amd/devtbl (CONFIG_AMD_IOMMU_DEBUGFS, 6.17 and later); the page tables are in guest or crash memory alone (makedumpfile, virsh dump --memory-only)",
  "arm-smmuv3":
    "the tables: Linux prints none; a memory image (virsh dump --memory-only, makedumpfile) with STRTAB_BASE and STRTAB_BASE_CFG of the SMMU",
  riscv:
    "the tables, process_id and kind of request: Linux prints none of them; a memory image with the register ddtp",
};

/** What is worth having next, for the faults of a log: commands and options as they are typed. */
export function collectNext(groups: FaultGroups): string[] {
  const out: string[] = [];
  const models = new Set(groups.groups.map(({ first }) => first.model));
  for (const model of models) {
    const tables = TABLES[model];
    const own = groups.groups.filter(({ first }) => first.model === model && !first.interrupt);
    if (tables !== undefined && own.some((group) => group.dumped?.vtd === undefined)) out.push(tables);
  }
  const dma = groups.groups.filter(({ first }) => !first.interrupt);
  if (dma.length > 0 && groups.mappings === 0) out.push(TRACE_EVENTS);
  if (dma.some(({ first }) => isPageFault(first))) out.push(STRICT, DMA_DEBUG);
  if (groups.units.length === 0 && models.has("intel"))
    out.push(
      "the beginning of the log (dmesg from boot): it has the units' capabilities, and the reserved regions",
    );
  if (groups.queueErrors.size > 0 && models.size === 0)
    out.push(
      "the lines before the queue error, and lspci -vv of the device that is named: its ATS capability",
    );
  return out;
}
