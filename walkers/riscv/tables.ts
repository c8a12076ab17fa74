import { frameHi, frameLo, type GuestMemory } from "../memory.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import type { IommuState } from "../registers.ts";
import { type Binding, READ } from "../request.ts";
import { WalkResult } from "../result.ts";
import { TableReader } from "../table-reader.ts";
import { address, type Entry } from "../tables/entry.ts";
import type { EntryKind, RootTable, TableFormat, TableSpec } from "../tables/table.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import { fillBoundDevice, type RiscvBinding } from "./binding.ts";
import { RiscvConfig } from "./config.ts";
import { RiscvDevice } from "./context.ts";
import { Directories, ddi0Bits, deviceIdBits, processIdBits } from "./directory.ts";
import {
  BaseDeviceContext,
  DdtEntry,
  DeviceContextLayout,
  MSIPTP_OFF,
  PDTP_BARE,
  PDTP_PD20,
  PdtEntry,
  ProcessContextLayout,
} from "./layouts.ts";
import { DDTP_1LVL, DDTP_3LVL } from "./registers.ts";
import { brokenProcessRule, firstStageLevels, PROCESS_RULES } from "./rules.ts";
import { RiscvSecondStage } from "./second-stage.ts";
import { judgeDevice } from "./tables-device.ts";

const FRAME_ENTRIES = 512;
/** Doublewords are read as a whole. */
const ATOMIC_BYTES = 8;
const DDI1_BITS = 9;
const PDI0_BITS = 8;
const PDI1_BITS = 9;
/** Process contexts in a page. */
const CONTEXTS = 1 << PDI0_BITS;

/** RISC-V: device directory and process directories. */
export class RiscvTables implements TableFormat {
  readonly registers = ["capabilities", "fctl", "ddtp"];
  readonly #config = new RiscvConfig();
  readonly #tables: TableReader;
  readonly #directories: Directories;
  readonly #second: RiscvSecondStage;
  readonly #out = new WalkResult();
  #rootKnown = false;

  constructor(memory: GuestMemory) {
    this.#tables = new TableReader(memory);
    this.#directories = new Directories(this.#tables, this.#config);
    this.#second = new RiscvSecondStage(this.#tables);
  }

  configure(state: IommuState): void {
    const config = this.#config;
    config.configure(state);
    this.#directories.configure();
    this.#second.table.configure(config.has, config.frameLimit);
    this.#second.table.littleEndian = config.be === 0;
    this.#rootKnown = state.has("ddtp");
  }

  roots(): RootTable[] {
    const { ddtMode, ddtFrame } = this.#config;
    if (!this.#rootKnown || ddtMode < DDTP_1LVL || ddtMode > DDTP_3LVL) return [];
    const table = this.#ddt(ddtMode - DDTP_1LVL, ddtFrame, 0);
    return [{ table, from: "ddtp", field: "PPN", source: "RISC-V IOMMU 1.0, 5.5" }];
  }

  bound(binding: Binding, device: number): RootTable[] {
    const context = new RiscvDevice();
    fillBoundDevice(binding as RiscvBinding, this.#config, context);
    const table = this.#pdt(
      context,
      device,
      context.fscMode - 1,
      context.fscFrame,
      0,
      `bound ${second(context)} `,
    );
    return [{ table, from: "bind", field: "base_ptr", source: "trace contract, `bind`" }];
  }

  // ── device directory ──

  /** A page of the device directory: level 0 holds device contexts. */
  #ddt(level: number, frame: number, first: number): TableSpec {
    const { msiFlat, ddtMode, be } = this.#config;
    const low = ddi0Bits(msiFlat);
    const span = level === 0 ? 1 : 2 ** (low + DDI1_BITS * (level - 1));
    return {
      kind: level === 0 ? this.#deviceKind() : this.#ddtKind(level),
      context: `${level} ${be}`,
      frame,
      offset: 0,
      entries: level === 0 ? 2 ** low : FRAME_ENTRIES,
      ids: "device",
      first,
      span,
      limit: 2 ** deviceIdBits(ddtMode, msiFlat),
      device: -1,
    };
  }

  #ddtKind(level: number): EntryKind {
    const littleEndian = this.#config.be === 0;
    const valid = DdtEntry.reader("V", littleEndian);
    return {
      layout: DdtEntry,
      littleEndian,
      unit: ATOMIC_BYTES,
      valid: (view, at) => valid(view, at) !== 0,
      judge: (entry) => {
        if (!this.#judgeNonLeaf(entry)) return;
        entry.leadsTo(this.#ddt(level - 1, Number(entry.value("PPN")), entry.first));
      },
    };
  }

  /** Steps 6 and 7 of locating a context: a directory entry that is misconfigured leads nowhere. */
  #judgeNonLeaf(entry: Entry, resolve?: (frame: number) => number): boolean {
    entry.reservedBits(TABLE_RULES["reserved-entry-bits"], entry.layout.reserved(), [], "");
    const sound = entry.complaints.length === 0;
    return this.#leads(entry, "PPN", resolve) && sound;
  }

  #deviceKind(): EntryKind {
    const config = this.#config;
    const layout = config.msiFlat ? DeviceContextLayout : BaseDeviceContext;
    const littleEndian = config.be === 0;
    const valid = BaseDeviceContext.reader("V", littleEndian);
    return {
      layout,
      littleEndian,
      unit: ATOMIC_BYTES,
      valid: (view, at) => valid(view, at) !== 0,
      judge: (entry) => this.#judgeDevice(entry),
    };
  }

  #judgeDevice(entry: Entry): void {
    const context = new RiscvDevice();
    this.#out.reset("riscv");
    // Fills the context, whatever the outcome is.
    this.#directories.device(entry.first, context, this.#out);
    const sound = judgeDevice(entry, context, this.#config);
    if (context.secondLevels !== 0) this.#judgeSecondStage(entry, context);
    if (!sound) return;
    if (context.msiMode !== MSIPTP_OFF) this.#leads(entry, "msiptp_PPN");
    const scope = `gscid ${context.gscid} `;
    if (context.pdtv) {
      if (context.fscMode === PDTP_BARE) return;
      const table = this.#pdt(context, entry.device, context.fscMode - 1, context.fscFrame, 0, scope);
      if (this.#leads(entry, "fsc_PPN", table.resolve)) entry.leadsTo(table);
      return;
    }
    this.#judgeFirstStage(entry, context, context.fscMode, scope, context.pscid);
  }

  #judgeSecondStage(entry: Entry, context: RiscvDevice): void {
    this.#leads(entry, "iohgatp_PPN");
    entry.tag({
      key: `gscid ${context.gscid}`,
      target: `${context.secondFrame}/${context.secondMode}`,
      name: `GSCID ${context.gscid}`,
      points: `the ${context.secondLevels}-level second stage at ${address(context.secondFrame)}`,
      field: "GSCID",
      source: "RISC-V IOMMU 1.0, 2.1.3",
    });
  }

  #judgeFirstStage(entry: Entry, context: RiscvDevice, mode: number, scope: string, pscid: number): void {
    const levels = firstStageLevels(mode, context.sxl, this.#config);
    if (levels <= 0) return;
    this.#leads(entry, "fsc_PPN", this.#resolver(context));
    const frame = Number(entry.value("fsc_PPN"));
    entry.tag({
      key: `${scope}pscid ${pscid}`,
      target: `${frame}/${levels}/${context.sxl}`,
      name: context.gscid < 0 ? `PSCID ${pscid}` : `PSCID ${pscid} of GSCID ${context.gscid}`,
      points: `the ${levels}-level first stage at ${address(frame)}`,
      field: "PSCID",
      source: "RISC-V IOMMU 1.0, 2.1.3 and 2.2.3",
    });
  }

  // ── process directory ──

  /** A page of a process directory: level 0 holds process contexts. */
  #pdt(
    context: RiscvDevice,
    device: number,
    level: number,
    frame: number,
    first: number,
    scope: string,
  ): TableSpec {
    const span = level === 0 ? 1 : 2 ** (PDI0_BITS + PDI1_BITS * (level - 1));
    return {
      kind: level === 0 ? this.#processKind(context, scope) : this.#pdtKind(context, device, level, scope),
      context: `${level} ${context.sbe} ${context.sxl} ${second(context)} ${scope}`,
      frame,
      offset: 0,
      entries: level === 0 ? CONTEXTS : FRAME_ENTRIES,
      ids: "pasid",
      first,
      span,
      limit: Math.min(2 ** processIdBits(Math.min(context.fscMode, PDTP_PD20)), context.processIdLimit),
      device,
      resolve: this.#resolver(context),
    };
  }

  #pdtKind(context: RiscvDevice, device: number, level: number, scope: string): EntryKind {
    const littleEndian = context.sbe === 0;
    const valid = PdtEntry.reader("V", littleEndian);
    return {
      layout: PdtEntry,
      littleEndian,
      unit: ATOMIC_BYTES,
      valid: (view, at) => valid(view, at) !== 0,
      judge: (entry) => {
        if (!this.#judgeNonLeaf(entry, this.#resolver(context))) return;
        const frame = Number(entry.value("PPN"));
        entry.leadsTo(this.#pdt(context, device, level - 1, frame, entry.first, scope));
      },
    };
  }

  #processKind(context: RiscvDevice, scope: string): EntryKind {
    const littleEndian = context.sbe === 0;
    const valid = ProcessContextLayout.reader("V", littleEndian);
    return {
      layout: ProcessContextLayout,
      littleEndian,
      unit: ATOMIC_BYTES,
      valid: (view, at) => valid(view, at) !== 0,
      judge: (entry) => this.#judgeProcess(entry, context, scope),
    };
  }

  /** 2.2.4: process-context configuration checks. */
  #judgeProcess(entry: Entry, context: RiscvDevice, scope: string): void {
    entry.reservedBits(TABLE_RULES["reserved-entry-bits"], entry.layout.reserved(), [], "");
    const mode = Number(entry.value("fsc_MODE"));
    const broken = brokenProcessRule(mode, 0, context.sxl, this.#config);
    if (broken !== 0) {
      // Rule 2 is about the encoding, the others about what the IOMMU has.
      const rule = broken === 2 ? "illegal-encoding" : "unsupported-encoding";
      entry.complain(TABLE_RULES[rule], "fsc_MODE", PROCESS_RULES[broken]!, "RISC-V IOMMU 1.0, 2.2.4");
      return;
    }
    this.#judgeFirstStage(entry, context, mode, scope, Number(entry.value("PSCID")));
  }

  #leads(entry: Entry, field: string, resolve?: (frame: number) => number): boolean {
    const { frameLimit } = this.#config;
    const frames = resolve === undefined ? frameLimit : Number.POSITIVE_INFINITY;
    const width = `${Math.log2(frameLimit) + 12} bits, as capabilities.PAS has it`;
    return entry.pointer(field, Number(entry.value(field)), frames, width, resolve);
  }

  #resolver(context: RiscvDevice): ((frame: number) => number) | undefined {
    if (context.secondLevels === 0) return undefined;
    return (frame) => {
      this.#out.reset("riscv");
      this.#second.begin(context, READ, true);
      const found = this.#second.translate(frameHi(frame), frameLo(frame), READ, FOR_CONTEXT, this.#out);
      return found ? this.#second.frame : -1;
    };
  }
}

/** The second stage of a device, as part of a table's identity. */
function second(context: RiscvDevice): string {
  return context.secondLevels === 0 ? "bare" : `${context.secondFrame}/${context.secondMode}`;
}
