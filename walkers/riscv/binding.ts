/**
 * Process directories bound without a device directory: what the device context would have said.
 */
import { FRAME_SHIFT, frameOf } from "../memory.ts";
import type { Binding } from "../request.ts";
import type { PasidTableConfig, Stage2Config } from "../walker.ts";
import type { RiscvConfig } from "./config.ts";
import type { RiscvDevice } from "./context.ts";
import {
  MODE_BARE,
  MODE_SV32,
  MODE_SV39,
  MSIPTP_OFF,
  PDTP_PD8,
  PDTP_PD17,
  PDTP_PD20,
  PPN_ADDRESS_BITS,
  PROCESS_ID_BITS,
} from "./layouts.ts";

export interface RiscvBinding extends Binding {
  readonly model: "riscv";
  /** pdtp. */
  readonly mode: number;
  readonly frame: number;
  readonly processIdLimit: number;
  /** iohgatp; 0 levels where the second stage is the identity. */
  readonly secondLevels: number;
  readonly secondFrame: number;
  readonly gscid: number;
}

/** pdtp.MODE by the name that a configuration gives it. */
export const MODES: ReadonlyMap<string, number> = new Map([
  ["PD8", PDTP_PD8],
  ["PD17", PDTP_PD17],
  ["PD20", PDTP_PD20],
]);

export function bindRiscv(config: PasidTableConfig, iommu: RiscvConfig): RiscvBinding | string {
  if (config.model !== "riscv") return `a RISC-V IOMMU has no ${config.model} PASID tables`;
  const mode = MODES.get(config.riscv?.mode ?? "");
  if (mode === undefined)
    return `riscv.mode must be PD8, PD17 or PD20, not ${config.riscv?.mode ?? "absent"}`;
  const base = tableAddress("base_ptr", config.baseHi, config.baseLo, FRAME_SHIFT);
  if (base !== "") return base;
  const bits = config.pasidBits ?? PROCESS_ID_BITS;
  const stage2 = config.stage2;
  if (stage2 !== undefined) {
    const wrong = wrongStage2(stage2, iommu);
    if (wrong !== "") return wrong;
  }
  return {
    model: "riscv",
    mode,
    frame: frameOf(config.baseHi, config.baseLo),
    processIdLimit: 2 ** Math.min(bits, PROCESS_ID_BITS),
    secondLevels: stage2?.levels ?? 0,
    secondFrame: stage2 === undefined ? 0 : frameOf(stage2.rootHi, stage2.rootLo),
    gscid: stage2?.domain ?? -1,
  };
}

/** The device context of a bound device: a process directory, process_id 0 by default, the IOMMU's own byte order. */
export function fillBoundDevice(binding: RiscvBinding, config: RiscvConfig, d: RiscvDevice): void {
  d.enAts = 0;
  d.enPri = 0;
  d.t2gpa = 0;
  d.dtf = 0;
  d.pdtv = 1;
  d.prpr = 0;
  d.gade = config.boundHardwareUpdates;
  d.sade = config.boundHardwareUpdates;
  d.dpe = 1;
  d.sbe = config.be;
  d.sxl = config.gxl;
  d.secondLevels = binding.secondLevels;
  d.secondMode = secondMode(binding.secondLevels);
  d.secondFrame = binding.secondFrame;
  d.gscid = binding.gscid;
  d.pscid = 0;
  d.fscMode = binding.mode;
  d.fscFrame = binding.frame;
  d.msiMode = MSIPTP_OFF;
  d.reserved = 0;
  d.processIdLimit = Math.min(binding.processIdLimit, config.processIdLimit);
}

/** iohgatp.MODE of a number of levels: Sv39x4, Sv48x4 and Sv57x4 count up from three. */
export function secondMode(levels: number): number {
  if (levels === 0) return MODE_BARE;
  return levels === 2 ? MODE_SV32 : MODE_SV39 + levels - 3;
}

function wrongStage2(stage2: Stage2Config, iommu: RiscvConfig): string {
  if (stage2.format !== "riscv-x4") return `stage2.format must be riscv-x4, not ${stage2.format}`;
  const levels = stage2.levels ?? 0;
  const allowed = iommu.gxl ? levels === 2 : levels >= 3 && levels <= 5;
  if (!allowed || !Number.isInteger(levels))
    return `stage2.levels must be ${iommu.gxl ? "2 (fctl.GXL is 1)" : "3, 4 or 5"}, not ${stage2.levels ?? "absent"}`;
  return tableAddress("stage2.root", stage2.rootHi, stage2.rootLo, FRAME_SHIFT + 2);
}

function tableAddress(name: string, hi: number, lo: number, alignment: number): string {
  if ((lo & (2 ** alignment - 1)) !== 0) return `${name} must be aligned to ${2 ** (alignment - 10)} KiB`;
  if (hi >>> (PPN_ADDRESS_BITS - 32) !== 0) return `${name} is beyond ${PPN_ADDRESS_BITS} address bits`;
  return "";
}
