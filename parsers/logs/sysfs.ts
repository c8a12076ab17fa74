/** Capabilities from listings of /sys/class/iommu (`grep -r . /sys/class/iommu/`) among the lines of other logs. */
import type { LogFormat, LogLine, LogOutput, LogReader } from "./format.ts";
import { machineOf } from "./machine.ts";
import { sysfsLine } from "./sysfs-iommu.ts";

export const SYSFS: LogFormat = {
  name: "sysfs",
  title: "listings of /sys/class/iommu and /sys/kernel/iommu_groups: PATH: VALUE",
  needles: ["/sys/class/iommu/", "/sys/kernel/iommu_groups/", "-iommu/"],
  detect: (text) => sysfsLine(text) !== undefined,
  open: (output) => new SysfsReader(output),
};

class SysfsReader implements LogReader {
  readonly #output: LogOutput;
  /** Capabilities of Intel's units: declared when both are there. */
  readonly #intel = new Map<string, Record<string, bigint>>();

  constructor(output: LogOutput) {
    this.#output = output;
  }

  line({ text }: LogLine): boolean {
    const message = sysfsLine(text);
    if (message === undefined) return false;
    const { units } = machineOf(this.#output);
    if (message.kind === "intel") {
      const regs = this.#intel.get(message.iommu) ?? {};
      regs[message.name] = message.value;
      this.#intel.set(message.iommu, regs);
      units.know("intel", message.iommu, regs, {});
      if (regs.cap !== undefined && regs.ecap !== undefined)
        units.of("intel", message.iommu, undefined).unit.declare();
    } else if (message.kind === "amd-features") {
      units.know("amd", message.iommu, { efr: message.efr, efr2: message.efr2 }, {});
      units.of("amd", message.iommu, undefined).unit.declare();
    } else
      this.#output.ignored(message.kind === "group" ? "IOMMU group" : "file of sysfs that decides nothing");
    return true;
  }
}
