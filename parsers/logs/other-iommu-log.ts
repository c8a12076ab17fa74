import { pciName } from "../../walkers/pci.ts";
import { hex } from "../../walkers/word64.ts";
import type { EventTaker, LoggedFault, LoggedLine, LogPlace, Taken } from "./iommu-events.ts";
import { isIommuRateLimit, type OtherIommuLine, otherIommuLine } from "./linux-other-iommus.ts";

/** What the kernel log says of IOMMUs that have one line a message, and of what it left out. */
export class OtherIommuLog {
  readonly #take: EventTaker;

  constructor(take: EventTaker) {
    this.#take = take;
  }

  line(line: LoggedLine): Taken {
    const message = otherIommuLine(line.text);
    if (message === undefined) return ignoredKind(line.text);
    return this.#message(message, { line: line.number, ts: line.ts });
  }

  #message(message: OtherIommuLine, at: LogPlace): Taken {
    switch (message.kind) {
      case "riscv-fault":
        this.#take(riscvFault(message, at));
        return "understood";
      case "riscv-queue-error":
      case "riscv-hardware-error":
        this.#riscvError(message, at);
        return "understood";
      case "virtio-fault":
        this.#take(virtioFault(message, at));
        return "understood";
      case "smmuv2":
        if (!message.fault) return { ignored: "SMMUv2 (no tables that are walked here)" };
        this.#take({ kind: "note", at, what: SMMUV2 });
        return { ignored: "SMMUv2 fault (out of scope)" };
      case "group":
        this.#take({ kind: "group", at, device: message.device, group: message.group });
        return { ignored: "IOMMU group" };
      case "suppressed":
        if (!isIommuRateLimit(message.by)) return { ignored: "suppressed messages of others" };
        this.#take({
          kind: "loss",
          at,
          what: "suppressed-messages",
          count: message.count,
          message: `the kernel's rate limit suppressed messages of ${message.by}: so many faults, at least, are in no log`,
        });
        return "understood";
      case "printk-loss":
        this.#take({
          kind: "loss",
          at,
          what: "dropped-messages",
          count: message.count,
          message: "the log buffer ran over, and messages of any kind were dropped",
        });
        return "understood";
    }
  }

  #riscvError(
    message: Extract<OtherIommuLine, { kind: "riscv-queue-error" | "riscv-hardware-error" }>,
    at: LogPlace,
  ): void {
    const common = { at, model: "riscv", iommu: message.unit } as const;
    if (message.kind === "riscv-hardware-error") {
      this.#take({ kind: "queue-error", ...common, text: message.text, device: undefined });
      return;
    }
    const { queue, memoryFault, overflow } = message;
    if (memoryFault !== 0)
      this.#take({
        kind: "queue-error",
        ...common,
        text: `queue ${queue}: its memory could not be accessed`,
        device: undefined,
      });
    if (overflow !== 0)
      this.#take({
        kind: "loss",
        at,
        what: "fault-queue-overflow",
        count: 1,
        message: `${message.unit}: queue ${queue} ran over: records of it are lost`,
      });
  }
}

const SMMUV2 =
  "a fault of an SMMUv1 or v2 (MMU-400, MMU-500): its context banks are registers, which are out of scope here; FSR, FSYNR and the page tables of the context bank are in the message and in the driver";

/** What a cause says of the kind of access (RISC-V IOMMU 1.0, Fault/Event-Queue, table of causes). */
const CAUSE_ACCESS: Readonly<Record<number, "r" | "w" | "x">> = {
  1: "x",
  4: "r",
  5: "r",
  6: "w",
  7: "w",
  12: "x",
  13: "r",
  15: "w",
  20: "x",
  21: "r",
  23: "w",
};

type RiscvFault = Extract<OtherIommuLine, { kind: "riscv-fault" }>;
type VirtioFault = Extract<OtherIommuLine, { kind: "virtio-fault" }>;

const NOTHING = { pasid: undefined, pageOnly: false, interrupt: false } as const;

function riscvFault({ unit, cause, devid, iotval, iotval2 }: RiscvFault, at: LogPlace): LoggedFault {
  return {
    kind: "fault",
    at,
    model: "riscv",
    iommu: unit,
    dev: `did:${hex(devid)}`,
    ...NOTHING,
    addr: iotval,
    access: CAUSE_ACCESS[cause],
    code: cause,
    text: "",
    // The driver does not print whether the request had a process_id.
    assumed: ["pasid"],
    iotval2,
  };
}

/** Endpoint ids of PCI devices are segment and requester id (drivers/acpi/viot.c). */
function virtioFault({ unit, reason, endpoint, address, access }: VirtioFault, at: LogPlace): LoggedFault {
  const segment = (endpoint >>> 16).toString(16).padStart(4, "0");
  return {
    kind: "fault",
    at,
    model: "virtio-iommu",
    iommu: unit,
    dev: endpoint < 2 ** 32 ? `${segment}:${pciName(endpoint & 0xffff)}` : undefined,
    ...NOTHING,
    addr: address,
    access: access.startsWith("R") ? "r" : access.startsWith("W") ? "w" : access === "X" ? "x" : undefined,
    code: undefined,
    text: `${reason} fault`,
    assumed: ["dev"],
  };
}

const KINDS: readonly [kind: string, of: RegExp][] = [
  ["IOMMU core at boot", /^iommu: |Default domain type|DMA domain TLB/],
  ["RISC-V IOMMU at boot", /riscv,iommu/],
  ["virtio-iommu at boot", /virtio_iommu/],
];

function ignoredKind(text: string): Taken {
  for (const [kind, of] of KINDS) if (of.test(text)) return { ignored: kind };
  return "unknown";
}
