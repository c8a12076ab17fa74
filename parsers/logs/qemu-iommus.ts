/** The IOMMUs that QEMU emulates, as its monitor and its trace events show them: what a recorder has to know of each. */
import type { IommuModel } from "../../walkers/models.ts";
import { SMMUV3_REGISTERS } from "./smmuv3-registers.ts";

/** A register by its offset in bytes. */
export interface RegisterPlace {
  readonly name: string;
  readonly offset: number;
  readonly bytes: 4 | 8;
}

export interface QemuIommu {
  readonly model: IommuModel;
  /** What the readers of its events call the first of them. */
  readonly id: string;
  /** Its registers' region in `info mtree`. */
  readonly region: string;
  /** Events to switch on, with `*`, and those among them that say nothing for a trace and are many. */
  readonly events: readonly string[];
  readonly quiet: readonly string[];
  readonly registers: readonly RegisterPlace[];
  /** Registers that say where tables and queues are: whoever follows tables looks again when one is written. */
  readonly leading: readonly RegisterPlace[];
  /** Its events name it: by the id of the device that its registers belong to, where that has one. */
  readonly named?: boolean;
  /** Vendor and device as `info pci` prints them, of one that is a PCI function: its registers are where the guest says. */
  readonly pci?: string;
  /** Its events do not name it, but tell several from each other: by the store that they are in, and by the address spaces of devices. */
  readonly several?: SeveralUnits;
  /** Not every version has an event of registers that are written. */
  readonly silent?: boolean;
  /** Switches translation on: tables are written before, and looked at as if it were. */
  readonly enable: { readonly register: string; readonly bits: bigint };
  /** Where its commands lie: the register with base and size. */
  readonly queue: QueuePlace;
}

export interface SeveralUnits {
  /** The event of a store to registers, whose address tells which. */
  readonly event: string;
  /** What the names of devices' address spaces begin with. */
  readonly space: string;
}

/** A register that holds a queue's address in its bits 51:12 (or what `mask` says), and the log2 of its size. */
export interface QueuePlace {
  readonly register: string;
  readonly mask: bigint;
  /** Bits of the field that holds the log2 of the number of units, their place, and what one unit has in bytes. */
  readonly size: { readonly shift: number; readonly bits: number; readonly unit: number };
}

const place = (name: string, offset: number, bytes: 4 | 8 = 8): RegisterPlace => ({ name, offset, bytes });
const PAGE_ADDRESS = 0x000f_ffff_ffff_f000n;

/** VT-d 5.10, 11.4; IHI 0070, 6.2; AMD 48882, 3.4; RISC-V IOMMU 1.0, 5. */
export const QEMU_IOMMUS: readonly QemuIommu[] = [
  {
    model: "intel",
    id: "dmar0",
    region: "intel_iommu",
    events: ["vtd_*"],
    quiet: ["vtd_ir_*", "vtd_warn_ir_vector", "vtd_iotlb_cc_hit", "vtd_reg_read", "vtd_inv_desc_*"],
    registers: [
      place("cap", 0x8),
      place("ecap", 0x10),
      place("gsts", 0x1c, 4),
      place("rtaddr", 0x20),
      place("iqh", 0x80),
      place("iqt", 0x88),
      place("iqa", 0x90),
    ],
    leading: [place("rtaddr", 0x20), place("iqa", 0x90)],
    enable: { register: "gsts", bits: 0xc000_0000n },
    queue: { register: "iqa", mask: PAGE_ADDRESS, size: { shift: 0, bits: 3, unit: 4096 } },
  },
  {
    model: "arm-smmuv3",
    id: "smmuv3",
    region: "arm-smmuv3",
    events: ["smmuv3_*", "smmu_*"],
    quiet: ["smmuv3_read_mmio"],
    registers: [
      ...[...SMMUV3_REGISTERS].map(([offset, { name, bytes }]) => place(name, offset, bytes === 8 ? 8 : 4)),
      place("cmdq_base", 0x90),
      place("cmdq_prod", 0x98, 4),
      place("cmdq_cons", 0x9c, 4),
    ],
    several: { event: "memory_region_ops_write", space: "smmuv3-iommu-memory-region-" },
    leading: [place("strtab_base", 0x80), place("strtab_base_cfg", 0x88, 4), place("cmdq_base", 0x90)],
    enable: { register: "cr0", bits: 1n },
    queue: { register: "cmdq_base", mask: 0x000f_ffff_ffff_ffe0n, size: { shift: 0, bits: 5, unit: 16 } },
  },
  {
    model: "amd",
    id: "amdvi",
    region: "amdvi-mmio",
    events: ["amdvi_*"],
    quiet: ["amdvi_ir_*", "amdvi_mem_ir_*", "amdvi_mmio_read*"],
    registers: [
      place("dev_tab_base", 0x0),
      place("cmd_buf_base", 0x8),
      place("event_log_base", 0x10),
      place("control", 0x18),
      place("efr", 0x30),
      place("cmd_buf_head", 0x2000),
      place("cmd_buf_tail", 0x2008),
    ],
    leading: [place("dev_tab_base", 0x0), place("cmd_buf_base", 0x8), place("control", 0x18)],
    silent: true,
    enable: { register: "control", bits: 1n },
    queue: { register: "cmd_buf_base", mask: PAGE_ADDRESS, size: { shift: 56, bits: 4, unit: 16 } },
  },
  {
    model: "riscv",
    id: "riscv-iommu",
    region: "riscv-iommu-regs",
    events: ["riscv_iommu_*"],
    quiet: [],
    registers: [
      place("capabilities", 0x0),
      place("fctl", 0x8, 4),
      place("ddtp", 0x10),
      place("cqb", 0x18),
      place("cqh", 0x20, 4),
      place("cqt", 0x24, 4),
    ],
    leading: [place("fctl", 0x8, 4), place("ddtp", 0x10)],
    pci: "1b36:0014",
    named: true,
    silent: true,
    enable: { register: "ddtp", bits: 0n },
    // cqb: PPN in 53:10, LOG2SZ-1 in 4:0; QEMU's events show both words of each command.
    queue: { register: "cqb", mask: 0n, size: { shift: 0, bits: 5, unit: 32 } },
  },
];

/** Whether a name of an event is one of those that patterns with `*` at the end, or without any, stand for. */
export function eventMatches(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
  );
}
