import type { LoggedFault, LoggedModel } from "./iommu-events.ts";
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

/** What a log and those beside it have. */
export interface Collected {
  /** A fault of each kind, and whether its tables were printed. */
  readonly faults: readonly { readonly fault: LoggedFault; readonly tables: boolean }[];
  /** What software mapped is there. */
  readonly mappings: boolean;
  /** The units' capabilities are. */
  readonly units: boolean;
  readonly queueErrors: boolean;
}

/** What is worth having next, for the faults of a log: commands and options as they are typed. */
export function collectNext({ faults, mappings, units, queueErrors }: Collected): string[] {
  const out: string[] = [];
  const models = new Set(faults.map(({ fault }) => fault.model));
  const dma = faults.filter(({ fault }) => !fault.interrupt);
  for (const model of models) {
    const how = TABLES[model];
    if (how !== undefined && dma.some(({ fault, tables }) => fault.model === model && !tables)) out.push(how);
  }
  if (dma.length > 0 && !mappings) out.push(TRACE_EVENTS);
  if (dma.some(({ fault }) => isPageFault(fault))) out.push(STRICT, DMA_DEBUG);
  if (!units && models.has("intel"))
    out.push(
      "the beginning of the log (dmesg from boot): it has the units' capabilities, and the reserved regions",
    );
  if (queueErrors && models.size === 0)
    out.push(
      "the lines before the queue error, and lspci -vv of the device that is named: its ATS capability",
    );
  return out;
}
