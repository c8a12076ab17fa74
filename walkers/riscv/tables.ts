import { FRAME_BYTES, frameHi, frameLo } from "../memory.ts";
import type { PageTableFormat } from "../page-tables/formats.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import type { IommuState } from "../registers.ts";
import { type Binding, READ } from "../request.ts";
import { WalkResult } from "../result.ts";
import { ruleBook } from "../tables/entry-rule.ts";
import type { JudgedEntry } from "../tables/tree.ts";
import {
  type EntryKind,
  type Pointer,
  type Reach,
  type ReservedBits,
  type Resolver,
  type RootTable,
  type TableSpec,
  type TableTree,
  type Tag,
  tableBelow,
} from "../tables/tree.ts";
import { addressText } from "../word64.ts";
import { fillBoundDevice, type RiscvBinding } from "./binding.ts";
import { RiscvDevice } from "./context.ts";
import { ddi0Bits, decodeDevice, deviceIdBits, processIdBits } from "./directory.ts";
import {
  BaseDeviceContext,
  DdtEntry,
  DeviceContextLayout,
  MSIPTP_OFF,
  NON_LEAF_RESERVED,
  PDTP_BARE,
  PDTP_PD20,
  PdtEntry,
  PROCESS_RESERVED,
  ProcessContextLayout,
  reservedBitsSet,
} from "./layouts.ts";
import { DDTP_1LVL, DDTP_3LVL } from "./registers.ts";
import {
  brokenDeviceRule,
  brokenNonLeafRule,
  brokenProcessRule,
  DDT_ENTRY_RULES,
  DEVICE_RULES,
  PDT_ENTRY_RULES,
  PROCESS_RULES,
  schemeLevels,
} from "./rules.ts";
import { deviceUpdates, RISCV_UPDATES } from "./updates.ts";
import type { RiscvWalker } from "./walker.ts";

const FRAME_ENTRIES = FRAME_BYTES / DdtEntry.bytes;
const CONTEXTS = FRAME_BYTES / ProcessContextLayout.bytes;

/** First-stage schemes by their levels. */
const FORMATS: Readonly<Record<number, PageTableFormat>> = { 2: "sv32", 3: "sv39", 4: "sv48", 5: "sv57" };

/** What a process directory's entries depend on, besides themselves. */
interface Processes {
  readonly context: RiscvDevice;
  readonly littleEndian: boolean;
  readonly resolve: Resolver | undefined;
  /** Whose PSCIDs these are. */
  readonly scope: string;
}

/** RISC-V: device directory and process directories. */
export class RiscvTables implements TableTree<RiscvDevice> {
  readonly registers = ["capabilities", "fctl", "ddtp"];
  readonly #walker: RiscvWalker;
  readonly #out = new WalkResult();
  #reach: Reach = { frames: 0, width: "" };
  #rootKnown = false;

  constructor(walker: RiscvWalker) {
    this.#walker = walker;
  }

  configure(state: IommuState): void {
    this.#walker.configure(state);
    const { frameLimit } = this.#walker.config;
    const width = `${Math.log2(frameLimit) + 12} bits, as capabilities.PAS has it`;
    this.#reach = { frames: frameLimit, width };
    this.#rootKnown = state.has("ddtp");
  }

  roots(): RootTable[] {
    const { ddtMode, ddtFrame, msiFlat, be } = this.#walker.config;
    if (!this.#rootKnown || ddtMode < DDTP_1LVL || ddtMode > DDTP_3LVL) return [];
    const kind = this.#directory(ddtMode - DDTP_1LVL);
    const table: TableSpec = {
      kind,
      context: `${be}`,
      frame: ddtFrame,
      offset: 0,
      entries: kind.entries,
      first: 0,
      limit: 2 ** deviceIdBits(ddtMode, msiFlat),
      device: -1,
    };
    const title = `${ddtMode - DDTP_1LVL + 1}-level device directory`;
    return [{ table, title, from: "ddtp", field: "PPN", source: "RISC-V IOMMU 1.0, 5.5" }];
  }

  bound(binding: Binding, device: number): RootTable[] {
    const context = new RiscvDevice();
    fillBoundDevice(binding as RiscvBinding, this.#walker.config, context);
    const table = this.#processDirectory(context, device, `bound ${second(context)} `);
    const title = directoryTitle(context);
    return [{ table, title, from: "bind", field: "base_ptr", source: "trace contract, `bind`" }];
  }

  pasids(context: RiscvDevice, device: number): RootTable | null {
    if (!context.pdtv || context.fscMode === PDTP_BARE) return null;
    const table = this.#processDirectory(context, device, `gscid ${context.gscid} `);
    return {
      table,
      title: directoryTitle(context),
      from: "device context",
      field: "fsc_PPN",
      source: DeviceContextLayout.source,
    };
  }

  // ── device directory ──

  /** Entries of a directory of `level` + 1 levels, from its root on. */
  #directory(level: number): EntryKind {
    if (level === 0) return this.#device();
    const littleEndian = this.#walker.config.be === 0;
    const below = this.#directory(level - 1);
    return {
      ...nonLeaf(DdtEntry, littleEndian, below),
      ids: "device",
      rules: ruleBook(DDT_ENTRY_RULES, null, (view, at, after) =>
        brokenNonLeafRule(view, at, littleEndian, after),
      ),
      points: (entry) => this.#toTable(entry, undefined),
    };
  }

  #device(): EntryKind {
    const { config } = this.#walker;
    const littleEndian = config.be === 0;
    const valid = BaseDeviceContext.reader("V", littleEndian);
    const context = new RiscvDevice();
    return {
      layout: config.msiFlat ? DeviceContextLayout : BaseDeviceContext,
      littleEndian,
      ids: "device",
      span: 1,
      entries: 2 ** ddi0Bits(config.msiFlat),
      updates: deviceUpdates(config.msiFlat !== 0, littleEndian),
      valid: (view, at) => valid(view, at) !== 0,
      reserved: reservedWords(config.deviceReserved),
      rules: ruleBook(DEVICE_RULES, null, (view, at, after) => {
        decodeDevice(view, at, config, context);
        return brokenDeviceRule(context, config, after);
      }),
      points: (entry) => this.#fromDevice(entry),
    };
  }

  #fromDevice(entry: JudgedEntry): Pointer[] {
    const reach = this.#reach;
    const context = new RiscvDevice();
    decodeDevice(entry.view, entry.at, this.#walker.config, context);
    const pointers: Pointer[] = [];
    if (context.secondLevels !== 0)
      pointers.push({
        field: "iohgatp_PPN",
        frame: context.secondFrame,
        reach,
        tag: () => secondStageTag(context),
      });
    if (context.msiMode !== MSIPTP_OFF)
      pointers.push({ field: "msiptp_PPN", frame: context.msiFrame, reach });
    const directory = this.pasids(context, entry.device);
    if (directory !== null) {
      const { table } = directory;
      pointers.push({ field: "fsc_PPN", frame: table.frame, reach, resolve: table.resolve, table });
    } else if (!context.pdtv) {
      const scope = `gscid ${context.gscid} `;
      const processes = { context, littleEndian: true, resolve: this.#resolver(context), scope };
      pointers.push(...this.#toFirstStage(context.fscFrame, context.fscMode, context.pscid, processes));
    }
    return pointers;
  }

  // ── process directory ──

  #processDirectory(context: RiscvDevice, device: number, scope: string): TableSpec {
    const resolve = this.#resolver(context);
    const processes = { context, littleEndian: context.sbe === 0, resolve, scope };
    const kind = this.#process(processes, context.fscMode - 1);
    return {
      kind,
      context: `${context.sbe} ${context.sxl} ${second(context)} ${scope}`,
      frame: context.fscFrame,
      offset: 0,
      entries: kind.entries,
      first: 0,
      limit: Math.min(2 ** processIdBits(Math.min(context.fscMode, PDTP_PD20)), context.processIdLimit),
      device,
      resolve,
    };
  }

  /** Entries of a process directory of `level` + 1 levels, from its root on. */
  #process(processes: Processes, level: number): EntryKind {
    if (level === 0) return this.#processContext(processes);
    const { littleEndian, resolve } = processes;
    const below = this.#process(processes, level - 1);
    return {
      ...nonLeaf(PdtEntry, littleEndian, below),
      ids: "pasid",
      rules: ruleBook(PDT_ENTRY_RULES, null, (view, at, after) =>
        brokenNonLeafRule(view, at, littleEndian, after),
      ),
      points: (entry) => this.#toTable(entry, resolve),
    };
  }

  #processContext(processes: Processes): EntryKind {
    const { config } = this.#walker;
    const { littleEndian, context } = processes;
    const valid = ProcessContextLayout.reader("V", littleEndian);
    const mode = ProcessContextLayout.reader("fsc_MODE", littleEndian);
    const frame = ProcessContextLayout.reader("fsc_PPN", littleEndian);
    const pscid = ProcessContextLayout.reader("PSCID", littleEndian);
    return {
      layout: ProcessContextLayout,
      littleEndian,
      ids: "pasid",
      span: 1,
      entries: CONTEXTS,
      title: "process directory table",
      updates: RISCV_UPDATES,
      valid: (view, at) => valid(view, at) !== 0,
      reserved: reservedWords(PROCESS_RESERVED),
      rules: ruleBook(PROCESS_RULES, { mode }, (view, at, after) => {
        const reserved = reservedBitsSet(PROCESS_RESERVED, view, at, littleEndian) ? 1 : 0;
        return brokenProcessRule(mode(view, at), reserved, context.sxl, config, after);
      }),
      points: ({ view, at }) =>
        this.#toFirstStage(frame(view, at), mode(view, at), pscid(view, at), processes),
    };
  }

  // ── where entries lead ──

  #toTable(entry: JudgedEntry, resolve: Resolver | undefined): Pointer[] {
    const frame = Number(entry.value("PPN"));
    return [{ field: "PPN", frame, reach: this.#reach, resolve, table: tableBelow(entry, frame) }];
  }

  #toFirstStage(
    frame: number,
    mode: number,
    pscid: number,
    { context, resolve, scope }: Processes,
  ): Pointer[] {
    const levels = schemeLevels(mode, context.sxl);
    if (levels <= 0) return [];
    const tables = { format: FORMATS[levels]!, because: `fsc.MODE is ${mode}`, rootBytes: FRAME_BYTES };
    const tag = (): Tag => ({
      key: `${scope}pscid ${pscid}`,
      target: `${frame}/${levels}/${context.sxl}`,
      name: context.gscid < 0 ? `PSCID ${pscid}` : `PSCID ${pscid} of GSCID ${context.gscid}`,
      points: `the ${levels}-level first stage at ${addressText(frame)}`,
      field: "PSCID",
      source: "RISC-V IOMMU 1.0, 2.1.3 and 2.2.3",
    });
    return [{ field: "fsc_PPN", frame, reach: this.#reach, resolve, tag, tables }];
  }

  #resolver(context: RiscvDevice): Resolver | undefined {
    if (context.secondLevels === 0) return undefined;
    const { second } = this.#walker;
    return (frame) => {
      this.#out.reset("riscv");
      second.begin(context, READ, true);
      const found = second.translate(frameHi(frame), frameLo(frame), READ, FOR_CONTEXT, this.#out);
      return found ? second.frame : -1;
    };
  }
}

function nonLeaf(layout: typeof DdtEntry, littleEndian: boolean, below: EntryKind): Omit<EntryKind, "ids"> {
  const valid = layout.reader("V", littleEndian);
  return {
    layout,
    littleEndian,
    span: below.entries * below.span,
    entries: FRAME_ENTRIES,
    below,
    title: "process directory table",
    updates: RISCV_UPDATES,
    valid: (view, at) => valid(view, at) !== 0,
    reserved: reservedWords(NON_LEAF_RESERVED),
  };
}

function reservedWords(words: Uint32Array): ReservedBits {
  return { words: () => words, addresses: [], width: "" };
}

function secondStageTag({ gscid, secondFrame, secondMode, secondLevels }: RiscvDevice): Tag {
  return {
    key: `gscid ${gscid}`,
    target: `${secondFrame}/${secondMode}`,
    name: `GSCID ${gscid}`,
    points: `the ${secondLevels}-level second stage at ${addressText(secondFrame)}`,
    field: "GSCID",
    source: "RISC-V IOMMU 1.0, 2.1.3",
  };
}

function directoryTitle({ fscMode }: RiscvDevice): string {
  return `process directory of ${processIdBits(fscMode)} bits`;
}

/** The second stage of a device, as part of a table's identity. */
function second(context: RiscvDevice): string {
  return context.secondLevels === 0 ? "bare" : `${context.secondFrame}/${context.secondMode}`;
}
