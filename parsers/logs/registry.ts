import type { LogFormat } from "./format.ts";
import { GEM5_SMMUV3 } from "./gem5-smmuv3.ts";
import { KERNEL } from "./kernel.ts";
import { LINUX_DEBUGFS } from "./linux-debugfs.ts";
import { QEMU_AMD_VI } from "./qemu-amd-vi.ts";
import { QEMU_RISCV } from "./qemu-riscv.ts";
import { QEMU_SMMUV3 } from "./qemu-smmuv3.ts";
import { QEMU_STORES } from "./qemu-stores.ts";
import { QEMU_VIRTIO_IOMMU } from "./qemu-virtio-iommu.ts";
import { QEMU_VTD } from "./qemu-vtd.ts";
import { SYSFS } from "./sysfs.ts";
import { TRACE_EVENTS } from "./trace-buffer.ts";

/** Every format of logs that is known; where two take a line, the first one has it. */
export const LOG_FORMATS: readonly LogFormat[] = [
  QEMU_SMMUV3,
  QEMU_VTD,
  QEMU_AMD_VI,
  QEMU_RISCV,
  QEMU_STORES,
  QEMU_VIRTIO_IOMMU,
  GEM5_SMMUV3,
  TRACE_EVENTS,
  LINUX_DEBUGFS,
  SYSFS,
  KERNEL,
];
