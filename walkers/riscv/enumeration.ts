import { FRAME_SHIFT, frameHi, frameLo } from "../memory.ts";
import {
  type AddressSpace,
  lowRegion,
  oneLess,
  type Region,
  type StageTables,
  signedRegions,
  translationOf,
} from "../page-tables/address-space.ts";
import { entryShift, inputBits, SV32_LEVELS, Sv32Entry, SvEntry } from "../page-tables/riscv-sv.ts";
import type { WalkResult } from "../result.ts";
import { byteAddress, type VendorTables } from "../tables/enumeration.ts";
import type { RiscvDevice, RiscvProcess } from "./context.ts";
import { deviceIdBits, processIdBits } from "./directory.ts";
import { DDT_NOT_VALID, PDT_NOT_VALID } from "./faults.ts";
import { MSIPTP_OFF, PDTP_BARE } from "./layouts.ts";
import { inInterruptFile } from "./msi.ts";
import { DDTP_1LVL } from "./registers.ts";
import { guestAddressBits } from "./second-stage.ts";
import type { RiscvWalker } from "./walker.ts";

/** The RISC-V IOMMU: device directory and process directories. */
export class RiscvTables implements VendorTables<RiscvDevice, RiscvProcess> {
  readonly walker: RiscvWalker;
  readonly baseRegister = "ddtp";

  constructor(walker: RiscvWalker) {
    this.walker = walker;
  }

  root(): { kind: string; address: bigint } {
    const { ddtMode, ddtFrame } = this.walker.config;
    return { kind: `${ddtMode - DDTP_1LVL + 1}-level device directory`, address: byteAddress(ddtFrame) };
  }

  deviceLimit(): number {
    const { ddtMode, msiFlat } = this.walker.config;
    return 2 ** deviceIdBits(ddtMode, msiFlat);
  }

  /** Each level but the last stands for as many ids as a directory of one level less. */
  deviceSteps(): readonly number[] {
    const { ddtMode, msiFlat } = this.walker.config;
    const steps = [0];
    for (let mode = DDTP_1LVL; mode < ddtMode; mode++) steps.unshift(deviceIdBits(mode, msiFlat));
    return steps;
  }

  unused(): boolean {
    return false;
  }

  /** Without a process directory (pdtp Bare) every process_id is accepted, and none has a first stage. */
  pasidLimit(device: RiscvDevice): number {
    if (!hasDirectory(device)) return 0;
    return Math.min(2 ** processIdBits(device.fscMode), device.processIdLimit);
  }

  pasidSteps(device: RiscvDevice): readonly number[] {
    const steps = [0];
    for (let mode = PDTP_BARE + 1; mode < device.fscMode; mode++) steps.unshift(processIdBits(mode));
    return steps;
  }

  pasidTable(device: RiscvDevice): { kind: string; address: bigint } | undefined {
    if (!hasDirectory(device)) return undefined;
    return {
      kind: `process directory of ${processIdBits(device.fscMode)} bits`,
      address: byteAddress(device.fscFrame),
    };
  }

  defaultPasid(device: RiscvDevice): number | undefined {
    return hasDirectory(device) && device.dpe !== 0 ? 0 : undefined;
  }

  absent(out: WalkResult): boolean {
    return out.fault === DDT_NOT_VALID || out.fault === PDT_NOT_VALID;
  }

  blocks(): boolean {
    return false;
  }

  space(device: RiscvDevice, process: RiscvProcess): AddressSpace {
    const { firstLevels, firstFrame } = process;
    const { secondLevels, secondFrame } = device;
    const first = firstLevels === 0 ? null : svTables(1, firstFrame, firstLevels);
    const second = secondLevels === 0 ? null : svTables(2, secondFrame, secondLevels);
    const interrupts = second !== null && device.msiMode !== MSIPTP_OFF;
    return {
      translation: translationOf(first, second),
      regions: regionsOf(device, process, first, second),
      boundaries: [],
      withheld: null,
      narrow: interrupts ? (frame, shift) => clearOfInterruptFiles(device, frame, shift) : null,
      domain: device.gscid,
      asid: process.pscid,
    };
  }
}

function hasDirectory(device: RiscvDevice): boolean {
  return device.pdtv !== 0 && device.fscMode !== PDTP_BARE;
}

/** Sv32 addresses have no sign; nor have guest physical ones. */
function regionsOf(
  device: RiscvDevice,
  process: RiscvProcess,
  first: StageTables | null,
  second: StageTables | null,
): Region[] {
  const { firstLevels } = process;
  if (first === null) return lowRegion(second === null ? 64 : guestAddressBits(device), null, second);
  const bits = inputBits(firstLevels);
  return firstLevels === SV32_LEVELS ? lowRegion(bits, first, second) : signedRegions(bits, first, second);
}

function svTables(stage: 1 | 2, frame: number, levels: number): StageTables {
  const entry = levels === SV32_LEVELS ? Sv32Entry : SvEntry;
  return {
    stage,
    format: `riscv-sv${inputBits(levels)}${stage === 2 ? "x4" : ""}`,
    frame,
    offset: 0,
    levels,
    top: levels,
    granule: FRAME_SHIFT,
    entryBytesShift: Math.log2(entry.bytes),
    shift: (level) => entryShift(levels, level),
    below: oneLess,
  };
}

/** Pages of interrupt files have a table of their own: a block around one tells nothing about them. */
function clearOfInterruptFiles(device: RiscvDevice, frame: number, shift: number): number {
  let clear = shift;
  while (clear > FRAME_SHIFT && inInterruptFile(device, frameHi(frame), frameLo(frame), clear)) clear--;
  return clear;
}
