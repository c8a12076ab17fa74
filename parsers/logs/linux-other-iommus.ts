/**
 * What Linux's other IOMMU drivers and its IOMMU core log: RISC-V (drivers/iommu/riscv/iommu.c, since about 6.13),
 * virtio-iommu (drivers/iommu/virtio-iommu.c), SMMUv1 and v2 (drivers/iommu/arm/arm-smmu/arm-smmu.c: a register model
 * that no walker here knows), iommu.c, and printk's own notes of messages that it dropped.
 */
import { hexWord, pciDevice, smallHex } from "./kernel-text.ts";

export type OtherIommuLine =
  /** RISC-V: the cause is decimal; no process_id and no transaction type are logged. */
  | {
      readonly kind: "riscv-fault";
      readonly unit: string;
      readonly cause: number;
      readonly devid: number;
      readonly iotval: bigint;
      readonly iotval2: bigint;
    }
  | {
      readonly kind: "riscv-queue-error";
      readonly unit: string;
      readonly queue: number;
      readonly memoryFault: number;
      readonly overflow: number;
    }
  | { readonly kind: "riscv-hardware-error"; readonly unit: string; readonly text: string }
  | {
      readonly kind: "virtio-fault";
      readonly unit: string;
      readonly reason: string;
      readonly endpoint: number;
      readonly address: bigint | undefined;
      /** Some of R, W and X. */
      readonly access: string;
    }
  /** Anything of an SMMUv1 or v2. */
  | { readonly kind: "smmuv2"; readonly unit: string; readonly fault: boolean }
  | { readonly kind: "group"; readonly device: string; readonly group: number }
  | { readonly kind: "suppressed"; readonly by: string; readonly count: number }
  /** The log's own buffer ran over. */
  | { readonly kind: "printk-loss"; readonly count: number };

const RISCV = /riscv,iommu ([^\s:]+): (.*)$/;
const RISCV_FAULT =
  /^Fault (\d{1,4}) devid: 0x([0-9a-f]{1,6}) iotval: ([0-9a-f]{1,16}) iotval2: ([0-9a-f]{1,16})\s*$/i;
const RISCV_QUEUE = /^Queue #(\d+) error; memory fault:(\d+) overflow:(\d+)/;
const RISCV_HARDWARE = /^Hardware error: (.*?)\s*$/;
const VIRTIO =
  /virtio_iommu ([^\s:]+): (\w+) fault from EP (\d{1,10})(?: at 0x([0-9a-f]{1,16}) \[([RWX]*)\])?\s*$/i;
const SMMUV2 = /\barm-smmu ([^\s:]+): (.*)$/;
const SMMUV2_FAULT = /context fault|global fault|Blocked unknown Stream ID|^\s*(?:FSR|FSYNR\d?|GFSR)\s/i;
const GROUP = /(\S+): Adding to iommu group (\d+)/;
const SUPPRESSED = /(\w+): (\d+) callbacks suppressed/;
const PRINTK = /\*\* (\d+) printk messages dropped \*\*|printk: (\d+) messages suppressed/;

/** A line of one of them; undefined where it says nothing of IOMMUs. */
export function otherIommuLine(text: string): OtherIommuLine | undefined {
  const riscv = RISCV.exec(text);
  if (riscv !== null) return riscvLine(riscv[1]!, riscv[2]!);
  const virtio = VIRTIO.exec(text);
  if (virtio !== null)
    return {
      kind: "virtio-fault",
      unit: virtio[1]!,
      reason: virtio[2]!.toLowerCase(),
      endpoint: Number(virtio[3]),
      address: hexWord(virtio[4]),
      access: (virtio[5] ?? "").toUpperCase(),
    };
  const smmu = SMMUV2.exec(text);
  if (smmu !== null) return { kind: "smmuv2", unit: smmu[1]!, fault: SMMUV2_FAULT.test(smmu[2]!) };
  const group = GROUP.exec(text);
  if (group !== null)
    return { kind: "group", device: pciDevice(group[1]!)?.name ?? group[1]!, group: Number(group[2]) };
  const suppressed = SUPPRESSED.exec(text);
  if (suppressed !== null) return { kind: "suppressed", by: suppressed[1]!, count: Number(suppressed[2]) };
  const lost = PRINTK.exec(text);
  return lost === null ? undefined : { kind: "printk-loss", count: Number(lost[1] ?? lost[2]) };
}

function riscvLine(unit: string, text: string): OtherIommuLine | undefined {
  const fault = RISCV_FAULT.exec(text);
  if (fault !== null)
    return {
      kind: "riscv-fault",
      unit,
      cause: Number(fault[1]),
      devid: smallHex(fault[2])!,
      iotval: hexWord(fault[3])!,
      iotval2: hexWord(fault[4])!,
    };
  const queue = RISCV_QUEUE.exec(text);
  if (queue !== null)
    return {
      kind: "riscv-queue-error",
      unit,
      queue: Number(queue[1]),
      memoryFault: Number(queue[2]),
      overflow: Number(queue[3]),
    };
  const hardware = RISCV_HARDWARE.exec(text);
  return hardware === null ? undefined : { kind: "riscv-hardware-error", unit, text: hardware[1]! };
}

/** Rate limits of printk that are about IOMMU faults: what they suppressed is lost to us. */
export function isIommuRateLimit(by: string): boolean {
  return /^(dmar_|amd_iommu_|iommu_|arm_smmu_|riscv_iommu_|viommu_)/.test(by);
}
