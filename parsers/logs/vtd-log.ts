import { pciName } from "../../walkers/pci.ts";
import { hex } from "../../walkers/word64.ts";
import type { EventTaker, LoggedLine, Taken } from "./iommu-events.ts";
import { pciDevice } from "./kernel-text.ts";
import { type VtdUnitLine, vtdUnitLines } from "./linux-vtd-unit.ts";
import { VtdFaultLog } from "./vtd-fault-log.ts";

/** What the kernel log says of VT-d units: faults, capabilities, reserved regions, errors of their queues. */
export class VtdLog {
  readonly #take: EventTaker;
  readonly #faults: VtdFaultLog;
  /** Of all units (the DMAR table gives one), once it was printed. */
  #addressBits: number | undefined;

  constructor(take: EventTaker) {
    this.#take = take;
    this.#faults = new VtdFaultLog(take);
  }

  /**
   * Takes a line if it is VT-d's.
   * @param whole the line is all that there is of its message
   */
  line(line: LoggedLine, whole: boolean): Taken {
    const taken = this.#faults.line(line, whole);
    if (taken !== "unknown") return taken;
    const messages = vtdUnitLines(line.text);
    for (const message of messages) this.#unit(message, line);
    if (messages.length > 0) this.#faults.pass(line.origin);
    return messages.length > 0 ? "understood" : ignoredKind(line.text);
  }

  finish(): void {
    this.#faults.finish();
  }

  #unit(message: VtdUnitLine, line: LoggedLine): void {
    const at = { line: line.number, ts: line.ts };
    const common = { at, model: "intel", iommu: undefined } as const;
    switch (message.kind) {
      case "vtd-unit": {
        const { iommu, cap, ecap } = message;
        const props: Record<string, number> =
          this.#addressBits === undefined ? {} : { output_bits: this.#addressBits };
        this.#take({ kind: "unit", ...common, iommu, regs: { cap, ecap }, props });
        return;
      }
      case "vtd-address-width":
        this.#addressBits = message.bits;
        return;
      case "vtd-reserved-region":
        this.#take({ kind: "reserved", at, base: message.base, end: message.end });
        return;
      case "vtd-copied-tables":
        this.#take({
          kind: "note",
          at,
          what: `${message.iommu} uses tables of the kernel that ran before (kdump)`,
        });
        return;
      case "vtd-queue-error":
        this.#take({ kind: "queue-error", ...common, ...queueError(message.error, message.detail) });
        return;
      case "vtd-descriptor": {
        const { where, name, words } = message;
        const note = NOTES[where] + (name === "" ? "" : ` (${name})`);
        this.#take({ kind: "command", ...common, words, note, executed: false });
        return;
      }
      case "vtd-queue-cleared":
        return;
    }
  }
}

const NOTES = {
  head: "the descriptor at the queue's head",
  prior: "the descriptor before the queue's head",
  invalid: "the descriptor that the unit refused",
};

/** Requester ids that stand for an unknown device: what the register says, and what older ones read as. */
const NO_DEVICE = [0xffff, 0];

function queueError(error: "queue" | "time-out" | "completion", detail: number | undefined) {
  // VT-d 5.10, 11.4.9.9, IQERCD_REG: ITESID, ICESID and IQEI.
  if (error === "queue")
    return {
      text: `the invalidation queue stopped at a descriptor${detail === undefined ? "" : ` (IQEI ${hex(detail)})`}`,
      device: undefined,
    };
  const device = detail === undefined || NO_DEVICE.includes(detail) ? undefined : pciDevice(pciName(detail));
  const who = device === undefined ? "a device" : device.name;
  return {
    text:
      error === "time-out"
        ? `${who} did not answer a device-TLB invalidation in time`
        : `${who} answered a device-TLB invalidation with an error`,
    device,
  };
}

const KINDS: readonly [kind: string, of: RegExp][] = [
  ["interrupt remapping", /DMAR-IR|IRQ remapping|IRTE/],
  [
    "VT-d at boot",
    /\bACPI: (?:DMAR |Reserving DMAR)|(?:DMAR|dmar): (?:IOMMU (?:enabled|disabled|feature)|DRHD base|(?:No )?(?:RMRR|ATSR|SATC|RHSA|ANDD|SIDP)\b|Intel\(R\) Virt|PCI-DMA|Enable scalable|Disable|Disabling|Forcing|Using Queued|\S+: Using (?:Queued|Register)|Device scope|Hardware identity|Setting (?:identity|RMRR)|IOMMU batching|Intel-IOMMU|dmar\d+: (?:Translation|IOMMU))/,
  ],
];

function ignoredKind(text: string): Taken {
  for (const [kind, of] of KINDS) if (of.test(text)) return { ignored: kind };
  return "unknown";
}
