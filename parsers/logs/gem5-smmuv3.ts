/**
 * gem5's SMMUv3 with `--debug-flags=SMMUv3` (src/dev/arm/smmu_v3_transl.cc, smmu_v3.cc): "TICK: OBJECT: MESSAGE". It
 * prints every structure and descriptor as it is read, word by word, with StreamID and SubstreamID: a log from boot
 * rebuilds all tables by itself. A fault ends the simulation, so that there is none.
 *
 * What it does not say: the direction of a request, and its length but for another flag; whether SubstreamID 0 was given;
 * of an invalidation by address, whether it is of the last level alone; CMD_SYNC.
 */

import { emitCommand } from "./commands.ts";
import type { LogFormat, LogLine, LogOutput, LogReader } from "./format.ts";
import { LogIommu } from "./log-iommu.ts";
import { hexOf, isTorn, numberField } from "./qemu-events.ts";
import { dmaText, observedOk } from "./record-text.ts";
import { SMMUV3_REGISTERS, showStreamTable } from "./smmuv3-registers.ts";
import { hexOfBig, TableBuilder } from "./table-builder.ts";

export const GEM5_SMMUV3: LogFormat = {
  name: "gem5-smmuv3",
  title: "gem5 --debug-flags=SMMUv3 (Arm SMMUv3)",
  model: "arm-smmuv3",
  needles: [
    "STE at 0x",
    "CD at 0x",
    "L1STE L1 at 0x",
    "PTE=",
    "TLB hit vaddr=",
    "TLB miss vaddr=",
    "Translated vaddr ",
    ": CMD_",
    "writeControl: ",
  ],
  detect: (text) => GEM5_LINE.test(text),
  open: (output) => new Gem5Events(output),
};

const GEM5_LINE =
  /^ *(\d+): ([\w.[\]-]+): ((?:Got|Read)? *(?:STE|CD|L1STE|L1CD|S[12] L\d PTE)\b.*|[\w ]*TLB (?:hit|miss|upd) .*|SLAVE Interface upd .*|Config (?:hit|miss|upd) .*|WalkCache .*|IPACache .*|Fetching S[12] .*|Translated .*|CMD_\w+.*|(?:write|read)Control: .*|processCommands.*|Sending event .*)$/;
const SMMU_ID = "smmuv3";
/** The registers' two pages of 64 KiB stand at an address that is aligned to their size. */
const REGISTER_OFFSET = 0x1_ffff;
/** Requests under way that are remembered. */
const MAX_PENDING = 1 << 16;

const ASSUMED = '["access","len"]';
const ASSUMED_PASID = '["access","len","pasid"]';

/** Operands of a command by their name in the log. */
const OPERANDS: Readonly<Record<string, string>> = {
  sid: "SID",
  ssid: "SSID",
  asid: "ASID",
  vmid: "VMID",
  va: "ADDR",
  ipa: "ADDR",
};
/** Commands whose leaf bit the log does not say. */
const WITH_LEAF = /_VA$|_VAA$|_IPA$|^CMD_CFGI_STE$|^CMD_CFGI_CD$/;
/** Commands of no effect on what is cached, or without their operands in the log. */
const LEFT_OUT: ReadonlySet<string> = new Set(["CMD_PREFETCH_CONFIG", "CMD_PREFETCH_ADDR", "CMD_RESUME"]);

interface Stream {
  readonly sid: number;
  readonly ssid: number;
}

class Gem5Events implements LogReader {
  readonly #output: LogOutput;
  readonly #iommu: LogIommu;
  readonly #tables: TableBuilder;
  /** Requests that missed a TLB, by their address: what they are translated to comes later. */
  readonly #pending = new Map<string, Stream>();

  constructor(output: LogOutput) {
    this.#output = output;
    this.#iommu = new LogIommu(output, SMMU_ID, "arm-smmuv3");
    this.#tables = new TableBuilder(output).ofReads();
    showStreamTable(this.#iommu, this.#tables);
  }

  memoryReplaced(): void {
    this.#tables.forget();
  }

  line(line: LogLine): boolean {
    const parts = GEM5_LINE.exec(line.text);
    if (parts === null) return false;
    const message = parts[3]!.trim();
    let told = false;
    const torn = isTorn(() => {
      told = this.#message(message, parts[1]!.replace(/^0+(?=\d)/, ""));
    });
    if (torn || !told) this.#output.ignored(kindOf(message));
    return true;
  }

  /** @returns whether the message says something for a trace */
  #message(message: string, tick: string): boolean {
    const word = /^(?:Got )?(?:STE|CD) at (0x[0-9a-f]{1,16}) \[([0-7])\]: (0x[0-9a-f]{1,16})$/.exec(message);
    if (word !== null) return this.#entry(BigInt(word[1]!) + 8n * BigInt(word[2]!), word[3]!);
    const level1 = /^Got (?:L1STE L1|L1CD) at (0x[0-9a-f]{1,16}): (0x[0-9a-f]{1,16})$/.exec(message);
    if (level1 !== null) return this.#entry(BigInt(level1[1]!), level1[2]!);
    const pte = /^Got S[12] L\d PTE=(0x[0-9a-f]{1,16}|0) from pa=(0x[0-9a-f]{1,16}|0+)$/.exec(message);
    if (pte !== null) return this.#entry(BigInt(pte[2]!), pte[1]!);
    const miss =
      /^[\w ]*TLB miss vaddr=(0x[0-9a-f]{1,16}|0) sid=(0x[0-9a-f]{1,16}|0) ssid=(0x[0-9a-f]{1,16}|0)$/.exec(
        message,
      );
    if (miss !== null) return this.#miss(miss[1]!, { sid: Number(miss[2]), ssid: Number(miss[3]) });
    const hit =
      /^[\w ]*TLB hit vaddr=(0x[0-9a-f]{1,16}|0) amask=(0x[0-9a-f]{1,16}|0) .*paddr=(0x[0-9a-f]{1,16}|0)$/.exec(
        message,
      );
    if (hit !== null) return this.#hit(message, hit[1]!, hit[2]!, hit[3]!, tick);
    const result = /^Translated vaddr (0x[0-9a-f]{1,16}|0) to paddr (0x[0-9a-f]{1,16}|0)$/.exec(message);
    if (result !== null) return this.#translated(result[1]!, BigInt(result[2]!), tick);
    const command = /^(CMD_\w+)((?: \w+=(?:0x[0-9a-f]{1,16}|\d{1,15}))*)$/.exec(message);
    if (command !== null) return this.#command(command[1]!, command[2]!);
    if (message.startsWith("writeControl: ")) return this.#register(message);
    return false;
  }

  #entry(addr: bigint, value: string): boolean {
    this.#iommu.declare();
    this.#tables.word(hexOfBig(addr), value);
    return true;
  }

  #miss(addr: string, stream: Stream): boolean {
    if (this.#pending.size >= MAX_PENDING) this.#pending.delete(this.#pending.keys().next().value!);
    this.#pending.set(addr, stream);
    return true;
  }

  /** A TLB of the device's interface names the stream; the SMMU's own names ASID and VMID. */
  #hit(message: string, addr: string, mask: string, page: string, tick: string): boolean {
    const pa = BigInt(page) + (BigInt(addr) & ~BigInt(mask) & 0xffff_ffff_ffff_ffffn);
    if (!message.includes(" sid=")) return this.#translated(addr, pa, tick);
    this.#pending.delete(addr);
    const stream = { sid: numberField(message, " sid="), ssid: numberField(message, " ssid=") };
    return this.#dma(stream, addr, pa, tick);
  }

  #translated(addr: string, pa: bigint, tick: string): boolean {
    const stream = this.#pending.get(addr);
    this.#pending.delete(addr);
    return stream !== undefined && this.#dma(stream, addr, pa, tick);
  }

  #dma({ sid, ssid }: Stream, addr: string, pa: bigint, tick: string): boolean {
    this.#iommu.declare();
    const substream = ssid === 0 ? { assumed: ASSUMED_PASID } : { pasid: ssid, assumed: ASSUMED };
    this.#output.record(
      "dma",
      dmaText({
        iommu: this.#iommu.id,
        dev: `sid:0x${sid.toString(16)}`,
        addr: hexOfBig(BigInt(addr)),
        access: "r",
        ts: tick,
        observed: observedOk(hexOfBig(pa)),
        ...substream,
      }),
    );
    return true;
  }

  #command(name: string, operands: string): boolean {
    if (LEFT_OUT.has(name) || (name === "CMD_CFGI_STE_RANGE" && operands === "")) return false;
    const fields: Record<string, bigint> = {};
    for (const operand of operands.trim().split(" ")) {
      const [key, value] = operand.split("=");
      const field = OPERANDS[key!];
      if (field !== undefined) fields[field] = BigInt(value!);
    }
    emitCommand(this.#output, this.#iommu, name, fields, WITH_LEAF.test(name) ? ["LEAF"] : []);
    return true;
  }

  /** "writeControl: addr=2b400020 size=4 data=               d": in hex, without 0x. */
  #register(message: string): boolean {
    const parts = /addr=([0-9a-f]+) size=([48]) data= *([0-9a-f]+)$/.exec(message);
    if (parts === null) return false;
    const register = SMMUV3_REGISTERS.get(Number.parseInt(parts[1]!, 16) & REGISTER_OFFSET);
    if (register === undefined) return false;
    this.#iommu.set(register.name, hexOf(`0x${parts[3]}`));
    return true;
  }
}

/** A message without its numbers. */
function kindOf(message: string): string {
  return message.replace(/(?:0x)?[0-9a-f]*\d[0-9a-f]*/gi, "#").slice(0, 40);
}
