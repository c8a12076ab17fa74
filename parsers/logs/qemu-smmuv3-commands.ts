/** The command queue of QEMU's SMMUv3: an event names each command, others its operands. */

import { emitCommand, rangeOf } from "./commands.ts";
import type { LogOutput, Loss } from "./format.ts";
import type { LogIommu } from "./log-iommu.ts";
import { type EventHandler, hexField, isTorn, numberField, optionalNumber, partsOf } from "./qemu-events.ts";
import { cmdText } from "./record-text.ts";

/** QEMU's names of commands are the specification's behind this. */
const PREFIX = "SMMU_";
/** Commands that change no cache of an IOMMU; their operands are in no event. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set(["CMD_PREFETCH_CONFIG", "CMD_PREFETCH_ADDR"]);
/** Commands that have no operands, and of a completion those that do not matter here. */
const WITHOUT_OPERANDS: ReadonlySet<string> = new Set([
  "CMD_SYNC",
  "CMD_TLBI_NSNH_ALL",
  "CMD_TLBI_EL2_ALL",
  "CMD_TLBI_EL3_ALL",
]);
/** SMMU_CMDQ_BASE.ADDR, and what a command has (IHI 0070, 6.3.26, 4.1). */
const QUEUE_ADDRESS = 0x00ff_ffff_ffff_ffe0n;
const COMMAND_BYTES = 16;
/** All streams (IHI 0070, 4.3.2: Range of CMD_CFGI_STE_RANGE). */
const ALL_STREAMS = 0xffff_ffff;

const LOST_OPERANDS: Loss = {
  what: "command-operands",
  severity: "warning",
  message:
    "commands whose operands no event of the log shows are left out: QEMU ignores them, or the events smmuv3_cmdq_* and smmuv3_*range_inval are not all enabled",
};

interface Command {
  name: string;
  fields: Record<string, number | bigint>;
  /** Fields that no event shows. */
  assumed: readonly string[];
  /** Pages of a range, which QEMU splits into powers of two; 0 where it has none. */
  pages: number;
  /** Its operands have been seen. */
  complete: boolean;
}

export class SmmuCommands {
  readonly handlers: Readonly<Record<string, EventHandler>>;
  readonly #output: LogOutput;
  readonly #iommu: LogIommu;
  #command: Command | null = null;
  /** The command under way has come from the queue itself. */
  #known = false;

  constructor(output: LogOutput, iommu: LogIommu) {
    this.#output = output;
    this.#iommu = iommu;
    const range = (args: string) => this.#range(args);
    const flush = () => this.#flush();
    const vmid = (args: string) => this.#vmid(args);
    this.handlers = {
      smmuv3_cmdq_opcode: (args) => this.#opcode(args),
      smmuv3_cmdq_consume: (args) => this.#consume(args),
      smmuv3_cmdq_consume_out: flush,
      smmuv3_cmdq_consume_error: () => {
        this.#command = null;
      },
      // "streamid= 0x0"; before 7 "streamid =0" and "streamid = 0".
      smmuv3_cmdq_cfgi_ste: (args) => this.#operands({ SID: streamOf(args) }, ["LEAF"]),
      smmuv3_cmdq_cfgi_cd: (args) => this.#operands({ SID: streamOf(args) }, ["LEAF", "SSID"]),
      smmuv3_cmdq_cfgi_ste_range: (args) => this.#streams(args),
      smmuv3_cmdq_tlbi_nh: vmid,
      smmuv3_cmdq_tlbi_nsnh: () => this.#operands({}, []),
      smmuv3_cmdq_tlbi_nh_asid: (args) => this.#operands({ ASID: numberField(args, "asid=") }, []),
      smmuv3_cmdq_tlbi_s12_vmid: vmid,
      smmu_iotlb_inv_asid_vmid: vmid,
      smmuv3_s1_range_inval: range,
      smmuv3_range_inval: range,
      smmuv3_unhandled_cmd: flush,
    };
  }

  /** The log has ended: of a range, the rest may be missing. */
  finish(): void {
    if (this.#command?.pages === 0) this.#flush();
  }

  /** Whatever is under way is complete: the next command begins, or none does. */
  #flush(): void {
    const command = this.#command;
    this.#command = null;
    if (command === null) return;
    if (!command.complete) {
      this.#output.lost(LOST_OPERANDS);
      return;
    }
    const { name, fields, pages } = command;
    const range = pages > 1 ? rangeOf(pages) : null;
    const emitted = { ...fields, ...range };
    const emit = () => emitCommand(this.#output, this.#iommu, name, emitted, command.assumed);
    // What no command is called, and a number that its field cannot have, come from lines that were torn.
    if ((pages > 1 && range === null) || isTorn(emit)) this.#output.lost(LOST_OPERANDS);
  }

  /** "prod=1 cons=0 prod.wrap=0 cons.wrap=0": the next command is about to be executed. */
  #consume(args: string): void {
    this.#flush();
    const { known } = this.#output;
    const base = this.#iommu.register("cmdq_base");
    this.#known = false;
    if (known?.complete !== true || base === undefined) return;
    const address = (BigInt(base) & QUEUE_ADDRESS) + BigInt(numberField(args, "cons=") * COMMAND_BYTES);
    const words = known.words(address, COMMAND_BYTES / 8);
    if (words === null) return;
    this.#known = true;
    this.#iommu.declare();
    this.#output.record("cmd", cmdText(this.#iommu.id, words));
  }

  #opcode(args: string): void {
    this.#flush();
    if (this.#known) {
      this.#output.ignored("event of a command that is known");
      return;
    }
    const [, opcode] = partsOf(/^<--- (\w+)$/, args);
    const name = opcode!.startsWith(PREFIX) ? opcode!.slice(PREFIX.length) : opcode!;
    if (WITHOUT_EFFECT.has(name)) {
      this.#output.ignored(`smmuv3_cmdq_opcode ${opcode}`);
      return;
    }
    this.#command = { name, fields: {}, assumed: [], pages: 0, complete: WITHOUT_OPERANDS.has(name) };
    // A completion is complete at once: what it completes is so from here on.
    if (name === "CMD_SYNC") this.#flush();
  }

  #operands(fields: Record<string, number>, assumed: readonly string[]): void {
    const command = this.#command;
    if (command === null) return;
    // CMD_CFGI_CD_ALL has the event of CMD_CFGI_CD.
    const all = command.name === "CMD_CFGI_CD_ALL";
    Object.assign(command.fields, fields);
    command.assumed = all ? [] : assumed;
    command.complete = true;
  }

  /** An event that names the VMID of a command, in versions that have one. */
  #vmid(args: string): void {
    const vmid = optionalNumber(args, "vmid=");
    const named = this.#command !== null && this.#command.name !== "CMD_TLBI_NSNH_ALL";
    this.#operands(vmid === undefined || vmid < 0 || !named ? {} : { VMID: vmid }, []);
  }

  #streams(args: string): void {
    const start = numberField(args, "start=");
    const end = numberField(args, "end=");
    if (start === 0 && end === ALL_STREAMS) {
      if (this.#command !== null) this.#command.name = "CMD_CFGI_ALL";
      this.#operands({}, []);
    } else this.#operands({ SID: start, RANGE: Math.max(0, Math.round(Math.log2(end - start + 1)) - 1) }, []);
  }

  /** One of the powers of two that a range is split into, in order. */
  #range(args: string): void {
    const command = this.#command;
    if (command === null) return;
    const pages = numberField(args, "num_pages=");
    if (command.pages > 0) {
      command.pages += pages;
      return;
    }
    command.pages = pages;
    command.complete = true;
    const { fields } = command;
    const ipa = command.name === "CMD_TLBI_S2_IPA";
    fields.ADDR = BigInt(hexField(args, "addr="));
    fields.VMID = numberField(args, "vmid=");
    fields.LEAF = numberField(args, "leaf=");
    fields.TG = numberField(args, "tg=");
    fields.TTL = numberField(args, "ttl=");
    // -1 stands for all: a command without an ASID.
    if (!ipa && !command.name.endsWith("_VAA")) fields.ASID = numberField(args, "asid=");
    if (command.name.startsWith("CMD_TLBI_EL")) delete fields.VMID;
  }
}

/** The operand of CMD_CFGI_STE and _CD: "streamid= 0x0", "sid=0x0"; in early versions "streamid =0", "streamid = 0". */
function streamOf(args: string): number {
  return Number(partsOf(/^(?:streamid|sid) ?= ?(0x[0-9a-f]{1,8}|\d{1,10})$/i, args)[1]);
}
