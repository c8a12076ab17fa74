import { TTM_ABORT, TTM_SCALABLE } from "../../walkers/vtd/registers.ts";
import { hex } from "../../walkers/word64.ts";
import { amdDebugfsLine } from "./debugfs-amd.ts";
import { AmdDebugfs } from "./debugfs-amd-records.ts";
import { type IntelDebugfsLine, intelDebugfsLine } from "./debugfs-intel.ts";
import { IntelTables } from "./debugfs-intel-tables.ts";
import { type DmaApiMapping, dmaApiMapping } from "./dma-api-dump.ts";
import type { LogFormat, LogLine, LogOutput, LogReader, Loss } from "./format.ts";
import { pciDevice } from "./kernel-text.ts";
import type { LogIommu } from "./log-iommu.ts";
import type { LogUnits } from "./log-units.ts";
import { machineOf } from "./machine.ts";
import { cmdText, recordText } from "./record-text.ts";
import { translationMode } from "./vtd-dump-tables.ts";

export const LINUX_DEBUGFS: LogFormat = {
  name: "debugfs",
  title: "Linux's debugfs: iommu/intel (regset, translation structures, queue), iommu/amd, dma-api/dump",
  needles: [
    "Register Base Address",
    "Root Table Address:",
    "Invalidation queue on",
    "IOVA_PFN",
    " @0x",
    "Remapped Interrupt",
    "dma map error",
    "CMD Buffer Head Offset:",
    "Offset:0x",
    "QWORD[3]",
    "DeviceId 0",
  ],
  detect: (text) =>
    intelDebugfsLine(text) !== undefined ||
    dmaApiMapping(text) !== undefined ||
    amdDebugfsLine(text) !== undefined,
  open: (output) => new DebugfsReader(output),
};

/** Registers that decide how a request is walked, by the names of the contract. */
const REGISTERS: Readonly<Record<string, string>> = {
  CAP: "cap",
  ECAP: "ecap",
  RTADDR: "rtaddr",
  GSTS: "gsts",
};
/** RTADDR.TTM. */
const TTM_MASK = translationMode(TTM_ABORT);

/** All rows of a file. */
const ALL = 2 ** 30;
/** Mappings that are kept until all tables are there. */
const MAX_MAPPINGS = 1 << 20;
/** The largest request: mappings may be larger. */
const MAX_LENGTH = 2n ** 32n - 1n;

const TOO_MANY: Loss = {
  what: "mappings-left-out",
  severity: "warning",
  message: "dma-api/dump has more mappings than are kept: those after the first are not checked",
};

class DebugfsReader implements LogReader {
  readonly #output: LogOutput;
  readonly #units: LogUnits;
  readonly #intel: IntelTables;
  readonly #amd: AmdDebugfs;
  readonly #mappings: { readonly mapping: DmaApiMapping; readonly line: number }[] = [];
  /** Units whose root table is known. */
  readonly #rooted = new Set<LogIommu>();
  #unit: LogIommu | null = null;
  /** Rows of the queue that is being read. */
  #queue: { readonly iommu: LogIommu; head: number; readonly rows: Map<number, readonly bigint[]> } | null =
    null;

  constructor(output: LogOutput) {
    this.#output = output;
    const { units, tables } = machineOf(output);
    this.#units = units;
    this.#intel = new IntelTables(tables);
    this.#amd = new AmdDebugfs(output, this.#units, tables);
  }

  line(line: LogLine): boolean {
    const mapping = dmaApiMapping(line.text);
    if (mapping !== undefined) {
      if (this.#mappings.length < MAX_MAPPINGS) this.#mappings.push({ mapping, line: line.number });
      else this.#output.lost(TOO_MANY);
      return true;
    }
    const intel = intelDebugfsLine(line.text);
    const amd = intel === undefined ? amdDebugfsLine(line.text) : undefined;
    if (intel !== undefined) this.#intelLine(intel);
    else if (amd !== undefined) this.#amd.line(amd);
    else return false;
    // Rows have nothing that marks them: they are those behind their heading.
    this.#output.follow(ALL);
    return true;
  }

  finish(): void {
    this.#endQueue();
    this.#amd.finish();
    for (const unit of this.#rooted) unit.declare();
    for (const { mapping } of this.#mappings) this.#mapping(mapping);
  }

  #intelLine(message: IntelDebugfsLine): void {
    switch (message.kind) {
      case "regset":
        this.#unit = this.#units.of("intel", message.iommu, undefined).unit;
        return;
      case "register":
        this.#register(message.name, message.value);
        return;
      case "root-table":
        this.#rootTable(message.iommu, message.addr);
        return;
      case "device-entries": {
        const unit = this.#unit;
        if (unit === null) this.#output.ignored("device entries without their unit");
        else {
          this.#units.of("intel", unit.id, message.device.name);
          if (message.pasid !== undefined) this.#scalable(unit);
          this.#intel.device(message);
        }
        return;
      }
      case "page-table":
        this.#intel.pageTable(message.root);
        return;
      case "page-table-row":
        if (!this.#intel.row(message.frame, message.entries))
          this.#output.ignored("page-table row without its device");
        return;
      case "queue":
        this.#endQueue();
        this.#queue = {
          iommu: this.#units.of("intel", message.iommu, undefined).unit,
          head: 0,
          rows: new Map(),
        };
        return;
      case "queue-place":
        if (this.#queue !== null) this.#queue.head = message.head;
        return;
      case "queue-row":
        this.#queue?.rows.set(message.index, message.words);
        return;
      case "heading":
        this.#output.ignored("heading, or a table of interrupts");
    }
  }

  #register(name: string, value: bigint): void {
    const known = REGISTERS[name];
    if (known === undefined || this.#unit === null) this.#output.ignored("register that decides nothing");
    else this.#unit.set(known, hex(value));
  }

  #rootTable(name: string, addr: bigint): void {
    const { unit } = this.#units.of("intel", name, undefined);
    this.#unit = unit;
    this.#rooted.add(unit);
    this.#intel.root(addr);
    // `iommu_regset` has the register itself, with the mode of translation.
    if (unit.register("rtaddr") === undefined) unit.set("rtaddr", hex(addr), true);
  }

  /** Without `iommu_regset`, rows with PASIDs tell the mode. */
  #scalable(unit: LogIommu): void {
    const rtaddr = BigInt(unit.register("rtaddr") ?? "0x0");
    if ((rtaddr & TTM_MASK) === 0n) unit.set("rtaddr", hex(rtaddr | translationMode(TTM_SCALABLE)), true);
  }

  /** The ring's commands, oldest first: from the head on, those that were there a round before. */
  #endQueue(): void {
    const queue = this.#queue;
    this.#queue = null;
    if (queue === null) return;
    const { iommu, head, rows } = queue;
    const size = rows.size;
    for (let n = 0; n < size; n++) {
      const words = rows.get((head + n) % size);
      if (words === undefined || words.every((word) => word === 0n)) continue;
      iommu.declare();
      this.#output.record("cmd", cmdText(iommu.id, words.map(hex)));
    }
  }

  /** What a driver holds must translate to what the DMA API handed out. */
  #mapping({ device, addr, pa, size, access }: DmaApiMapping): void {
    const pci = pciDevice(device);
    if (pci === undefined) {
      this.#output.ignored("mapping of a device that is no PCI device");
      return;
    }
    const range = { addr: hex(addr), pa: hex(pa), access };
    if (!this.#intel.known) {
      // Without tables it is what software meant.
      const map = { dev: pci.name, ...range, size: hex(size === 0n ? 1n : size) };
      this.#output.record("map", recordText("map", map));
      return;
    }
    const { unit, assumed } = this.#units.of("intel", undefined, pci.name);
    unit.declare();
    this.#output.record(
      "dma",
      recordText("dma", {
        iommu: unit.id,
        dev: pci.name,
        addr: range.addr,
        len: Number(size > MAX_LENGTH ? MAX_LENGTH : size === 0n ? 1n : size),
        access,
        observed: { result: "ok", pa: range.pa },
        // No request was seen: these are what the driver may tell its device to do.
        assumed: [...assumed, "observed"],
      }),
    );
  }
}
