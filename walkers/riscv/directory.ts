/**
 * Locates device and process contexts in their directories (RISC-V IOMMU 1.0, "Process to locate the Device-context"
 * and "Process to locate the Process-context").
 */
import type { Fault } from "../fault.ts";
import type { Layout } from "../layout.ts";
import { FRAME_MASK, frameHi, frameLo, pow2 } from "../memory.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import { READ } from "../request.ts";
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import { faultOf } from "../tables/entry-rule.ts";
import type { RiscvConfig } from "./config.ts";
import type { RiscvDevice, RiscvPasidContext } from "./context.ts";
import { DDT_LOAD_ACCESS_FAULT, DDT_NOT_VALID, PDT_LOAD_ACCESS_FAULT, PDT_NOT_VALID } from "./faults.ts";
import {
  BaseDeviceContext,
  DdtEntry,
  DeviceContextLayout,
  MSIPTP_OFF,
  PDTP_PD8,
  PDTP_PD17,
  PdtEntry,
  PROCESS_ID_BITS,
  PROCESS_RESERVED,
  ProcessContextLayout,
  type Readers,
  readersOf,
  reservedBitsSet,
} from "./layouts.ts";
import { DDTP_1LVL } from "./registers.ts";
import {
  brokenDeviceRule,
  brokenNonLeafRule,
  brokenProcessRule,
  DDT_ENTRY_RULES,
  DEVICE_RULES,
  firstStageLevels,
  PDT_ENTRY_RULES,
  PROCESS_RULES,
  secondStageLevels,
} from "./rules.ts";
import type { RiscvSecondStage } from "./second-stage.ts";

type BaseFields = Readers<keyof typeof BaseDeviceContext.fields>;

const LITTLE = {
  nonLeaf: readersOf(DdtEntry, true),
  base: readersOf(BaseDeviceContext, true),
  extended: readersOf(DeviceContextLayout, true),
  process: readersOf(ProcessContextLayout, true),
};
const BIG: typeof LITTLE = {
  nonLeaf: readersOf(DdtEntry, false),
  base: readersOf(BaseDeviceContext, false),
  extended: readersOf(DeviceContextLayout, false),
  process: readersOf(ProcessContextLayout, false),
};
const TWO_32 = 2 ** 32;

/** Widths of DDI[0] and of DDI[0] and DDI[1] together; DDI[2] has the rest of 24 bits. */
const DEVICE_ID_BITS = 24;
const DDI1_BITS = 9;
export function ddi0Bits(msiFlat: number): number {
  return msiFlat ? 6 : 7;
}

/** Number of device_id bits that a ddtp.iommu_mode of 1LVL to 3LVL can look up. */
export function deviceIdBits(ddtMode: number, msiFlat: number): number {
  const levels = ddtMode - DDTP_1LVL + 1;
  return levels === 1 ? ddi0Bits(msiFlat) : levels === 2 ? ddi0Bits(msiFlat) + DDI1_BITS : DEVICE_ID_BITS;
}

/** Number of process_id bits by pdtp.MODE; Bare looks none up and so bounds none. */
export function processIdBits(pdtpMode: number): number {
  if (pdtpMode === PDTP_PD8) return 8;
  return pdtpMode === PDTP_PD17 ? 17 : PROCESS_ID_BITS;
}

export class Directories {
  readonly #tables: TableReader;
  readonly #config: RiscvConfig;

  constructor(tables: TableReader, config: RiscvConfig) {
    this.#tables = tables;
    this.#config = config;
  }

  /** The device context of a device_id that the directory is deep enough for. */
  device(deviceId: number, device: RiscvDevice, out: WalkResult): boolean {
    const config = this.#config;
    const tables = this.#tables;
    const low = ddi0Bits(config.msiFlat);
    const field = (config.be ? BIG : LITTLE).nonLeaf;
    // Steps 1 and 2.
    let table = config.ddtFrame;
    for (let i = config.ddtMode - DDTP_1LVL; i > 0; i--) {
      // Step 3. DDI[i] of eight bytes each.
      const ddi = i === 2 ? deviceId >>> (low + DDI1_BITS) : (deviceId >>> low) & (2 ** DDI1_BITS - 1);
      if (!this.#read(DdtEntry, table, ddi * DdtEntry.bytes, config.be, DDT_LOAD_ACCESS_FAULT, out))
        return false;
      // Step 5.
      if (field.V(tables.view, tables.at) === 0) return this.#fail(DDT_NOT_VALID, out);
      // Step 6.
      const broken = brokenNonLeafRule(tables.view, tables.at, !config.be);
      if (broken !== 0) return this.#fail(faultOf(DDT_ENTRY_RULES, broken), out);
      // Step 7.
      table = field.PPN(tables.view, tables.at);
    }
    // Step 8. The context, of 32 or 64 bytes.
    const context = config.msiFlat ? DeviceContextLayout : BaseDeviceContext;
    const offset = (deviceId & (pow2(low) - 1)) * context.bytes;
    if (!this.#read(context, table, offset, config.be, DDT_LOAD_ACCESS_FAULT, out)) return false;
    // Step 9.
    const view = tables.view;
    const at = tables.at;
    if ((config.be ? BIG : LITTLE).base.V(view, at) === 0) return this.#fail(DDT_NOT_VALID, out);
    // Step 10.
    decodeDevice(view, at, config, device);
    const broken = brokenDeviceRule(device, config);
    return broken === 0 || this.#fail(faultOf(DEVICE_RULES, broken), out);
  }

  /**
   * The process context of a process_id.
   * @param second the second stage, begun; null where it is Bare
   */
  process(
    processId: number,
    device: RiscvDevice,
    second: RiscvSecondStage | null,
    process: RiscvPasidContext,
    out: WalkResult,
  ): boolean {
    const tables = this.#tables;
    const field = (device.sbe ? BIG : LITTLE).nonLeaf;
    // Step 1. Levels are numbered as pdtp.MODE: PD8 has one, PD17 two, PD20 three.
    let table = device.fscFrame;
    for (let i = device.fscMode - 1; i > 0; i--) {
      // Step 2. PDI[2] is process_id[19:17], PDI[1] is process_id[16:8].
      const pdi = i === 2 ? processId >>> 17 : (processId >>> 8) & 511;
      // Steps 3 to 6.
      if (!this.#readGuest(PdtEntry, table, pdi * PdtEntry.bytes, device, second, out)) return false;
      // Step 7.
      if (field.V(tables.view, tables.at) === 0) return this.#fail(PDT_NOT_VALID, out);
      // Step 8.
      const broken = brokenNonLeafRule(tables.view, tables.at, !device.sbe);
      if (broken !== 0) return this.#fail(faultOf(PDT_ENTRY_RULES, broken), out);
      // Step 9.
      table = field.PPN(tables.view, tables.at);
    }
    // Step 10. PDI[0] is process_id[7:0].
    const offset = (processId & 255) * ProcessContextLayout.bytes;
    if (!this.#readGuest(ProcessContextLayout, table, offset, device, second, out)) return false;
    // Step 11.
    const context = (device.sbe ? BIG : LITTLE).process;
    const view = tables.view;
    const at = tables.at;
    if (context.V(view, at) === 0) return this.#fail(PDT_NOT_VALID, out);
    // Step 12.
    const mode = context.fsc_MODE(view, at);
    process.reserved = reservedBitsSet(PROCESS_RESERVED, view, at, !device.sbe) ? 1 : 0;
    const broken = brokenProcessRule(mode, process.reserved, device.sxl, this.#config);
    if (broken !== 0) return this.#fail(faultOf(PROCESS_RULES, broken), out);
    process.located = 1;
    process.ens = context.ENS(view, at);
    process.sum = context.SUM(view, at);
    const levels = firstStageLevels(mode, device.sxl, this.#config);
    process.first(context.fsc_PPN(view, at), levels, context.PSCID(view, at));
    return true;
  }

  /** Reads a process-directory structure at a guest frame (at a physical one where there is no second stage). */
  #readGuest(
    structure: Layout,
    table: number,
    offset: number,
    device: RiscvDevice,
    second: RiscvSecondStage | null,
    out: WalkResult,
  ): boolean {
    let frame = table;
    if (second !== null) {
      if (!second.translate(frameHi(table), frameLo(table) | offset, READ, FOR_CONTEXT, out)) return false;
      frame = second.frame;
    }
    return this.#read(structure, frame, offset, device.sbe, PDT_LOAD_ACCESS_FAULT, out);
  }

  #read(
    structure: Layout,
    frame: number,
    offset: number,
    bigEndian: number,
    fault: Fault,
    out: WalkResult,
  ): boolean {
    if (frame >= this.#config.frameLimit) {
      out.entryFrame = frame;
      out.entryOffset = offset & FRAME_MASK;
      return out.fail(fault);
    }
    this.#tables.littleEndian = bigEndian === 0;
    return this.#tables.read(structure, frame, offset) || this.#fail(fault, out);
  }

  #fail(fault: Fault, out: WalkResult): false {
    this.#tables.blame(out);
    return out.fail(fault);
  }
}

/** Decodes a device context, whatever rules it breaks. */
export function decodeDevice(view: DataView, at: number, config: RiscvConfig, d: RiscvDevice): void {
  const littleEndian = config.be === 0;
  const set = littleEndian ? LITTLE : BIG;
  d.reserved = reservedBitsSet(config.deviceReserved, view, at, littleEndian) ? 1 : 0;
  decodeControl(set.base, view, at, d);
  d.secondMode = set.base.iohgatp_MODE(view, at);
  d.secondFrame = set.base.iohgatp_PPN(view, at);
  d.secondLevels = Math.max(secondStageLevels(d.secondMode, config), 0);
  d.gscid = d.secondLevels === 0 ? -1 : set.base.GSCID(view, at);
  d.pscid = set.base.PSCID(view, at);
  d.fscMode = set.base.fsc_MODE(view, at);
  d.fscFrame = set.base.fsc_PPN(view, at);
  d.processIdLimit = config.processIdLimit;
  d.msiMode = MSIPTP_OFF;
  if (!config.msiFlat) return;
  d.msiMode = set.extended.msiptp_MODE(view, at);
  d.msiFrame = set.extended.msiptp_PPN(view, at);
  const mask = set.extended.msi_addr_mask(view, at);
  const pattern = set.extended.msi_addr_pattern(view, at);
  d.maskHi = Math.floor(mask / TWO_32);
  d.maskLo = mask | 0;
  d.patternHi = Math.floor(pattern / TWO_32);
  d.patternLo = pattern | 0;
}

function decodeControl(field: BaseFields, view: DataView, at: number, d: RiscvDevice): void {
  d.enAts = field.EN_ATS(view, at);
  d.enPri = field.EN_PRI(view, at);
  d.t2gpa = field.T2GPA(view, at);
  d.dtf = field.DTF(view, at);
  d.pdtv = field.PDTV(view, at);
  d.prpr = field.PRPR(view, at);
  d.gade = field.GADE(view, at);
  d.sade = field.SADE(view, at);
  d.dpe = field.DPE(view, at);
  d.sbe = field.SBE(view, at);
  d.sxl = field.SXL(view, at);
}
