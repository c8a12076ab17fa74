/**
 * AMD-Vi of QEMU 7.2 to 11.1 by its trace events amdvi_* (hw/i386/trace-events). They show requests and answers, the
 * registers that are written, and which command was executed with some of its operands; no table, no direction.
 */
import { IO_PAGE_FAULT } from "../../walkers/amd-vi/faults.ts";
import { emitCommand } from "./commands.ts";
import { Determined } from "./determined.ts";
import type { LogFormat, LogLine, LogOutput, LogReader, Loss } from "./format.ts";
import { LogIommu } from "./log-iommu.ts";
import { UNKNOWN_TABLES } from "./losses.ts";
import { Pending } from "./pending.ts";
import { EventReader, hexField, numberField, partsOf, writtenRegister } from "./qemu-events.ts";
import { answerOf, cmdText, dmaText, observedFault, observedOk, recordText, timed } from "./record-text.ts";
import { TableBuilder } from "./table-builder.ts";

export const QEMU_AMD_VI: LogFormat = {
  name: "qemu-amd-vi",
  title: "QEMU 7.2 to 11.1: trace events amdvi_* of the log backend (AMD-Vi)",
  model: "amd",
  needles: ["amdvi_", "iotab_register amdvi"],
  detect: (text) => /^(?:amdvi_[a-z]|iotab_register amdvi)/.test(text),
  open: (output) => new AmdEvents(output),
};

const AMD_ID = "amdvi";
/** Registers by their offset (AMD 48882, 3.4), 64 bits each. */
const REGISTERS: ReadonlyMap<number, string> = new Map([
  [0x0, "dev_tab_base"],
  [0x18, "control"],
  [0x30, "efr"],
]);

const NAMES: ReadonlySet<string> = new Set(REGISTERS.values());
/** A command (AMD 48882, 2.4). */
const COMMAND_BYTES = 16;

const ASSUMED = '["access","len"]';
/** The answer's page is in the log, and not the offset in it. */
const ASSUMED_PA = '["access","len","pa"]';

const UNKNOWN_RANGE: Loss = {
  what: "command-range",
  severity: "info",
  message:
    "QEMU's event of INVALIDATE_IOMMU_PAGES names the domain alone: the range of the command is not known, and all of the domain is taken to be invalidated, as QEMU does",
};

class AmdEvents implements LogReader {
  readonly #reader: EventReader;
  readonly #output: LogOutput;
  readonly #iommu: LogIommu;
  readonly #determined: Determined | null;
  /** Addresses of faults whose result has not come. */
  readonly #faults = new Pending<string>();

  constructor(output: LogOutput) {
    this.#output = output;
    this.#iommu = new LogIommu(output, AMD_ID, "amd");
    this.#determined = output.memory ? new Determined(output, this.#iommu, new TableBuilder(output)) : null;
    this.#reader = new EventReader(output, {
      amdvi_mmio_write: (args) => this.#register(args),
      iotab_register: (args) => this.#written(args),
      amdvi_command_exec: (args) => this.#queued(args),
      amdvi_all_inval: () => {
        this.#determined?.everything();
        this.#command("INVALIDATE_IOMMU_ALL", {});
      },
      amdvi_completion_wait: (args) => this.#wait(args),
      amdvi_devtab_inval: (args) => this.#device(args),
      amdvi_pages_inval: (args) => this.#pages(args),
      amdvi_page_fault: (args) => this.#pageFault(args),
      amdvi_translation_result: (args, line) => this.#result(args, line),
    });
  }

  line(line: LogLine): boolean {
    return this.#reader.line(line);
  }

  /** QEMU before 11.1 has no event of registers. */
  #written(args: string): void {
    const { name, value } = writtenRegister(args);
    if (NAMES.has(name)) this.#iommu.set(name, value);
    else this.#output.ignored("iotab_register of another register");
  }

  /** "AMDVI_MMIO_CONTROL write addr 0x18, size 8, val 0x0, offset 0x0": what it calls offset is not. */
  #register(args: string): void {
    const offset = numberField(args, "addr ");
    const bytes = numberField(args, "size ");
    const value = BigInt(hexField(args, "val "));
    const name = REGISTERS.get(offset & ~7);
    if (name === undefined) {
      this.#output.ignored("amdvi_mmio_write of another register");
      return;
    }
    if (bytes === 8) this.#iommu.set(name, `0x${value.toString(16)}`);
    else {
      const shift = BigInt(offset & 4) * 8n;
      const old = BigInt(this.#iommu.register(name) ?? "0x0") & ~(0xffff_ffffn << shift);
      this.#iommu.set(name, `0x${(old | ((value & 0xffff_ffffn) << shift)).toString(16)}`);
    }
  }

  /** "command buffer head at X command buffer tail at X command buffer base at X": a command is about to be executed. */
  #queued(args: string): void {
    const { known } = this.#output;
    const address = BigInt(hexField(args, "base at ")) + BigInt(hexField(args, "head at "));
    const words = known?.complete === true ? known.words(address, COMMAND_BYTES / 8) : null;
    if (words === null) {
      this.#output.ignored("amdvi_command_exec");
      return;
    }
    this.#iommu.declare();
    this.#output.record("cmd", cmdText(this.#iommu.id, words));
  }

  /** Commands come from the queue itself. */
  get #known(): boolean {
    if (this.#output.known?.complete !== true) return false;
    this.#output.ignored("event of a command that is known");
    return true;
  }

  #command(name: string, fields: Readonly<Record<string, number | bigint>>, assumed?: string[]): void {
    if (this.#known) return;
    emitCommand(this.#output, this.#iommu, name, fields, assumed);
  }

  #wait(args: string): void {
    const address = BigInt(hexField(args, "store address "));
    const data = BigInt(hexField(args, "store data "));
    // The store happens where S is set; that it is, the event does not say, nor I and F.
    this.#command("COMPLETION_WAIT", { S: 1, STADDR: address, STDATA: data }, ["S", "I", "F"]);
  }

  #device(args: string): void {
    this.#command("INVALIDATE_DEVTAB_ENTRY", { DEVID: requesterOf(args, "devid: ").id });
  }

  #pages(args: string): void {
    const domain = numberField(args, "domain ");
    if (this.#known) return;
    this.#iommu.declare();
    this.#determined?.domain(domain);
    this.#output.lost(UNKNOWN_RANGE);
    const fields = { iommu: this.#iommu.id, cache: "iotlb", granularity: "domain", domain };
    this.#output.record("inv", recordText("inv", { ...fields, assumed: ["granularity"] }));
  }

  #pageFault(args: string): void {
    this.#faults.add(hexField(args, "physical address "));
  }

  #result(args: string, line: LogLine): void {
    const { name: dev, id: device } = requesterOf(args, "devid: ");
    const addr = hexField(args, "gpa ");
    const result = hexField(args, "hpa ");
    const faulted = result === "0x0" && this.#faults.take((each) => each === addr) !== undefined;
    if (this.#determined !== null) {
      this.#inMemory(dev, device, addr, faulted ? null : result, line);
      return;
    }
    if (!faulted) {
      this.#output.lost(UNKNOWN_TABLES);
      return;
    }
    this.#iommu.declare();
    const fields = { iommu: this.#iommu.id, dev, addr, code: `0x${IO_PAGE_FAULT.code.toString(16)}` };
    this.#output.record("fault", timed("fault", fields, line.ts));
  }

  /** A request of which memory has the tables. @param result the answer, null for a fault */
  #inMemory(dev: string, device: number, addr: string, result: string | null, line: LogLine): void {
    const determined = this.#determined!;
    const logged = result === null ? null : answerOf(addr, result);
    const request = { device, addr: BigInt(addr), access: "r" } as const;
    if (!determined.has(request, logged === null ? null : BigInt(logged.pa))) return;
    this.#iommu.declare();
    // QEMU prints the base of the page, however large: the tables say how large it is.
    const whole = determined.answer !== null && (BigInt(result!) & 0xfffn) === 0n;
    const pa = whole ? `0x${determined.answer!.toString(16)}` : logged?.pa;
    this.#output.record(
      "dma",
      dmaText({
        iommu: this.#iommu.id,
        dev,
        addr,
        // Nearly all requests to what may be written only are writes; of the others either is granted as well.
        access: determined.access === "w" ? "w" : "r",
        ts: line.ts,
        observed: pa === undefined ? observedFault(IO_PAGE_FAULT.code) : observedOk(pa),
        assumed: pa === undefined || pa === result ? ASSUMED : ASSUMED_PA,
      }),
    );
  }
}

/** A device by its PCI name behind `key`. */
function requesterOf(args: string, key: string): { id: number; name: string } {
  const at = args.indexOf(key);
  const [name, bus, slot, fn] = partsOf(
    /^([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])/,
    at < 0 ? "" : args.slice(at + key.length),
  );
  const id = (Number.parseInt(bus!, 16) << 8) | ((Number.parseInt(slot!, 16) & 0x1f) << 3) | Number(fn);
  return { id, name: name! };
}
