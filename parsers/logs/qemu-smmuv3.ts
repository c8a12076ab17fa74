/**
 * The SMMUv3 of QEMU 7.2 to 11.1 by its trace events smmuv3_* and smmu_* (hw/arm/trace-events). They show every structure
 * and descriptor that is read, so that a log from boot rebuilds all tables by itself.
 *
 * What they do not say: the direction of a request (is_write of translate_bypass and its like is the rights as a truth
 * value) and its length; SubstreamIDs, which QEMU does not have. QEMU walks for all requests as privileged ones.
 */

import { SMMUV3_FAULTS } from "../../walkers/smmuv3/faults.ts";
import type { UnitPlace } from "../caps/host.ts";
import type { LogFormat, LogLine, LogOutput, LogReader } from "./format.ts";
import { LogIommu } from "./log-iommu.ts";
import { EventReader, hexField, numberField, optionalField, optionalNumber, partsOf } from "./qemu-events.ts";
import { SmmuCommands } from "./qemu-smmuv3-commands.ts";
import { SmmuStructures } from "./qemu-smmuv3-structures.ts";
import { SmmuUnits } from "./qemu-smmuv3-units.ts";
import { dmaText, observedFault, observedOk, timed } from "./record-text.ts";
import { SMMUV3_REGISTERS } from "./smmuv3-registers.ts";
import { hexOfBig, TableBuilder } from "./table-builder.ts";

export const QEMU_SMMUV3: LogFormat = {
  name: "qemu-smmuv3",
  title: "QEMU 7.2 to 11.1: trace events smmuv3_* and smmu_* of the log backend (Arm SMMUv3)",
  model: "arm-smmuv3",
  needles: ["smmu_", "smmuv3_", "'arm-smmuv3'"],
  detect: (text) => /^(?:smmu(?:v3)?_[a-z]|memory_region_ops_write .*'arm-smmuv3'$)/.test(text),
  open: (output) => {
    const places = new Map<string, UnitPlace>();
    for (const { id, model, place } of output.hosts)
      if (model === "arm-smmuv3" && place !== undefined) places.set(id, place);
    const reader = (id: string) => new SmmuEvents(output, id);
    return places.size > 1 ? new SmmuUnits(output, places, reader) : reader(SMMUV3_ID);
  },
};

const SMMUV3_ID = "smmuv3";
/** What QEMU's names of events have before the specification's. */
const EVENT_PREFIX = "SMMU_EVT_";
const CODES = new Map(SMMUV3_FAULTS.map(({ name, code }) => [name, code]));
/** Page 1 of the registers is an alias of page 0. */
const PAGE_1 = 0x1_0000;
/** Where all stores to the queue are known, commands are read from it. */
const QUEUE_REGISTERS: typeof SMMUV3_REGISTERS = new Map([
  ...SMMUV3_REGISTERS,
  [0x90, { name: "cmdq_base", bytes: 8 }],
]);
/** GBPA.Update: reads as zero when the update is done. */
const GBPA_UPDATE = 0x8000_0000n;

const REQUEST_ASSUMED = '["access","len","priv"]';
/** QEMU before 8 looks an address up by its page. */
const PAGE_ASSUMED = '["access","addr","len","priv"]';

/** The last translation of a stream. QEMU holds the SMMU's lock until the walk is done, not until it says what came of it. */
interface Walk {
  sid: number;
  /** The address, "" before it is known. */
  addr: string;
  /** The address is exact, not its page. */
  exact: boolean;
  /** Stage of the entry that is not valid; 0 where none is. */
  stage: number;
  /** The translation was in the IOTLB, so that no walk shows its entries. */
  hit: boolean;
  asid: number;
}

class SmmuEvents implements LogReader {
  readonly #reader: EventReader;
  readonly #output: LogOutput;
  readonly #iommu: LogIommu;
  readonly #tables: TableBuilder;
  readonly #structures: SmmuStructures;
  readonly #commands: SmmuCommands;
  readonly #walks = new Map<number, Walk>();
  /** The translation under way. */
  #walk: Walk = newWalk(-1);

  constructor(output: LogOutput, id: string) {
    this.#output = output;
    this.#iommu = new LogIommu(output, id, "arm-smmuv3");
    this.#tables = new TableBuilder(output).ofReads();
    this.#structures = new SmmuStructures(output, this.#iommu, this.#tables);
    this.#commands = new SmmuCommands(output, this.#iommu);
    const fault = (args: string, line: LogLine) => this.#fault(args, line);
    const lookup = (hit: boolean) => (args: string) => this.#lookup(args, hit);
    this.#reader = new EventReader(output, {
      ...this.#structures.handlers,
      ...this.#commands.handlers,
      smmu_reset_exit: () => this.#reset(),
      smmuv3_read_mmio: (args) => this.#register(args, false),
      smmuv3_write_mmio: (args) => this.#register(args, true),
      smmuv3_config_cache_hit: (args) => this.#begin(args),
      smmuv3_config_cache_miss: (args) => this.#begin(args),
      smmu_iotlb_lookup_hit: lookup(true),
      smmu_iotlb_lookup_miss: lookup(false),
      smmu_get_pte: (args) => this.#entry(args),
      smmu_ptw_level: (args) => this.#level(args),
      smmu_ptw_invalid_pte: (args) => this.#invalid(args),
      smmu_iotlb_insert: (args) => this.#structures.inserted(args),
      smmuv3_translate_success: (args, line) => this.#success(args, line),
      smmuv3_translate_bypass: (args, line) => this.#bypass(args, line, true),
      smmuv3_translate_disable: (args, line) => this.#bypass(args, line, false),
      smmuv3_translate_abort: (args, line) => this.#abort(args, line),
      smmuv3_record_event: fault,
      smmuv3_propagate_event: fault,
    });
  }

  line(line: LogLine): boolean {
    return this.#reader.line(line);
  }

  memoryReplaced(): void {
    this.#tables.forget();
  }

  finish(): void {
    this.#commands.finish();
  }

  /** All registers are as after power-on, and no table is known any more. */
  #reset(): void {
    this.#structures.fromBoot = true;
    if (this.#iommu.register("cr0") !== undefined) this.#iommu.set("cr0", "0x0");
  }

  #register(args: string, written: boolean): void {
    const offset = numberField(args, "addr: ") & ~PAGE_1;
    const value = hexField(args, "val:");
    const bytes = numberField(args, "size: ");
    const registers = this.#output.known?.complete === true ? QUEUE_REGISTERS : SMMUV3_REGISTERS;
    const high = registers.get(offset - 4);
    const register = registers.get(offset) ?? (high?.bytes === 8 ? high : undefined);
    if (register === undefined) {
      this.#output.ignored(`${written ? "smmuv3_write_mmio" : "smmuv3_read_mmio"} of another register`);
      return;
    }
    if (register.name === "cr0" && written) this.#structures.enabling(value);
    if (register.bytes === 4 || bytes === 8)
      this.#iommu.set(
        register.name,
        register.name === "gbpa" ? `0x${(BigInt(value) & ~GBPA_UPDATE).toString(16)}` : value,
      );
    else this.#half(register.name, BigInt(value), offset - 4 >= 0 && register === high);
  }

  /** One half of a 64-bit register. */
  #half(name: string, value: bigint, high: boolean): void {
    const old = BigInt(this.#iommu.register(name) ?? "0x0");
    const now = high
      ? (value << 32n) | (old & 0xffff_ffffn)
      : (old & 0xffff_ffff_0000_0000n) | (value & 0xffff_ffffn);
    this.#iommu.set(name, `0x${now.toString(16)}`);
  }

  #begin(args: string): void {
    // "for sid=0x18", in early versions "for sid 24".
    const sid = optionalNumber(args, "sid=") ?? numberField(args, "sid ");
    if (this.#walks.size > MAX_STREAMS) this.#walks.clear();
    this.#walk = newWalk(sid);
    this.#walks.set(sid, this.#walk);
  }

  #lookup(args: string, hit: boolean): void {
    const walk = this.#walk;
    walk.asid = numberField(args, "asid=");
    walk.addr = hexField(args, "addr=");
    walk.exact = optionalField(args, "vmid=") !== undefined;
    walk.hit = hit;
    walk.stage = 0;
    this.#structures.found(walk.asid);
  }

  #entry(args: string): void {
    this.#tables.word(hexField(args, "pteaddr="), hexField(args, "pte="));
  }

  /** The same entry, where the event before is not enabled; and which stage it is of. */
  #level(args: string): void {
    if (optionalNumber(args, "stage=") === 2) this.#structures.secondStage(this.#walk.sid);
    const address = BigInt(hexField(args, "baseaddr=")) + 8n * BigInt(numberField(args, "offset="));
    this.#tables.word(hexOfBig(address), hexField(args, "=> pte="));
  }

  #invalid(args: string): void {
    this.#walk.stage = numberField(args, "stage=");
  }

  #success(args: string, line: LogLine): void {
    const sid = numberField(args, "sid=");
    const addr = hexField(args, "iova=");
    const pa = hexField(args, "translated=");
    const perm = numberField(args, "perm=");
    const walk = this.#walks.get(sid);
    if (!this.#structures.knows(sid, walk?.hit ? walk.asid : -1, addr)) return;
    this.#iommu.declare();
    // Nearly all requests to what may be written only are writes; of the others either is granted as well.
    this.#dma(sid, addr, perm === 2 ? "w" : "r", observedOk(pa), REQUEST_ASSUMED, line);
  }

  /** @param byEntry it is the stream table entry that says so */
  #bypass(args: string, line: LogLine, byEntry: boolean): void {
    const sid = numberField(args, "sid=");
    const addr = hexField(args, "iova:");
    if (byEntry) this.#structures.bypassed(sid);
    if (byEntry && !this.#structures.knows(sid, -1, addr)) return;
    this.#iommu.declare();
    this.#dma(sid, addr, "r", observedOk(addr), REQUEST_ASSUMED, line);
  }

  #abort(args: string, line: LogLine): void {
    const sid = numberField(args, "sid=");
    const addr = hexField(args, "iova:");
    this.#structures.aborted(sid);
    if (!this.#structures.knows(sid, -1, addr)) return;
    this.#iommu.declare();
    this.#dma(sid, addr, "r", '{"result":"fault","recorded":false}', REQUEST_ASSUMED, line);
  }

  /** An event is recorded: its address is that of the lookup before it. */
  #fault(args: string, line: LogLine): void {
    const [, type, stream] = partsOf(/^(\w+) sid=(0x[0-9a-f]+|\d+)$/i, args);
    const sid = Number(stream);
    const name = type!.startsWith(EVENT_PREFIX) ? type!.slice(EVENT_PREFIX.length) : type!;
    const code = CODES.get(name);
    const walk = this.#walks.get(sid);
    this.#iommu.declare();
    if (code === undefined || walk === undefined || walk.addr === "") {
      // Before there is an address to look up, something is wrong with the stream's configuration.
      const known = code === undefined ? { reason: name } : { code: `0x${code.toString(16)}` };
      const fields = { iommu: this.#iommu.id, dev: streamName(sid), ...known };
      this.#output.record("fault", timed("fault", fields, line.ts));
      return;
    }
    if (!this.#structures.knows(sid, -1, walk.addr)) return;
    const stage = walk.stage > 0 ? `,"stage":${walk.stage}` : "";
    // A leaf that may be read denies a write.
    const access = name === "F_PERMISSION" ? "w" : "r";
    const assumed = walk.exact ? REQUEST_ASSUMED : PAGE_ASSUMED;
    this.#dma(sid, walk.addr, access, observedFault(code, stage), assumed, line);
    walk.addr = "";
  }

  #dma(
    sid: number,
    addr: string,
    access: "r" | "w",
    observed: string,
    assumed: string,
    { ts }: LogLine,
  ): void {
    const { id: iommu } = this.#iommu;
    const dev = streamName(sid);
    this.#output.record("dma", dmaText({ iommu, dev, addr, access, priv: true, ts, observed, assumed }));
  }
}

function newWalk(sid: number): Walk {
  return { sid, addr: "", exact: true, stage: 0, hit: false, asid: 0 };
}

/** Streams that are remembered: QEMU's are PCI functions. */
const MAX_STREAMS = 1 << 16;

function streamName(sid: number): string {
  return `sid:0x${sid.toString(16)}`;
}
