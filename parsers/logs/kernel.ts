import { FaultRecords } from "./fault-records.ts";
import type { LogFormat, LogLine, LogOutput, LogReader } from "./format.ts";
import type { Taken } from "./iommu-events.ts";
import { KernelLog } from "./kernel-log.ts";

/** Lines behind one that begins something which nothing marks as ours. */
const FOLLOWING = 16;

export const KERNEL: LogFormat = {
  name: "kernel",
  title:
    "Linux's log (dmesg, journal, console): VT-d, AMD-Vi, SMMUv3, RISC-V and virtio-iommu drivers; Xen's VT-d messages",
  needles: [
    "DMAR:",
    "DMAR-IR",
    "dmar: ",
    "VT-D",
    "INTR-REMAP",
    "fault reason",
    "Request device [",
    "print_vtd_entries",
    "AMD-Vi",
    "Event logged [",
    "IO_PAGE_FAULT",
    "ILLEGAL_DEV_TABLE_ENTRY",
    "_HARDWARE_ERROR ",
    "ILLEGAL_COMMAND_ERROR",
    "IOTLB_INV_TIMEOUT",
    "INVALID_DEVICE_REQUEST",
    "INVALID_PPR_REQUEST",
    "arm-smmu",
    "riscv,iommu",
    "virtio_iommu",
    "iommu group",
    "iommu: ",
    "callbacks suppressed",
    "printk messages dropped",
  ],
  detect: (text) => KernelLog.concerns(text),
  open: (output) => new KernelReader(output),
};

class KernelReader implements LogReader {
  readonly #output: LogOutput;
  readonly #records: FaultRecords;
  readonly #log: KernelLog;

  constructor(output: LogOutput) {
    this.#output = output;
    this.#records = new FaultRecords(output);
    this.#log = new KernelLog((event) => {
      output.event(event);
      this.#records.take(event);
    });
  }

  line(line: LogLine): boolean {
    const { taken, held } = this.#log.line(line);
    if (held !== undefined) this.#notHeld(held);
    if (this.#log.wantsNext || line.text.includes("print_vtd_entries")) this.#output.follow(FOLLOWING);
    if (typeof taken === "object") this.#output.ignored(taken.ignored);
    return taken !== "unknown";
  }

  memoryReplaced(): void {
    this.#records.memoryReplaced();
  }

  finish(): void {
    const held = this.#log.finish();
    if (held !== undefined) this.#notHeld(held);
  }

  /** A line was kept for the next one, which did not complete it: it counts as what it is alone. */
  #notHeld(taken: Taken): void {
    if (taken === "unknown" || taken === "continues") this.#output.retract("torn line");
    else if (taken !== "understood") this.#output.retract(taken.ignored);
  }
}
