import { FRAME_SHIFT, frameHi, frameLo } from "../memory.ts";
import {
  type AddressSpace,
  lowRegion,
  type Region,
  type StageTables,
  signedRegions,
  translationOf,
} from "../page-tables/address-space.ts";
import { SV32_LEVELS, svGeometry, svInputBits } from "../page-tables/riscv-sv.ts";
import type { WalkResult } from "../result.ts";
import type { Enumeration } from "../tables/enumeration.ts";
import type { RiscvDevice, RiscvPasidContext } from "./context.ts";
import { DDT_NOT_VALID, PDT_NOT_VALID } from "./faults.ts";
import { MSIPTP_OFF } from "./layouts.ts";
import { inInterruptFile } from "./msi.ts";
import { guestAddressBits } from "./second-stage.ts";
import type { RiscvWalker } from "./walker.ts";

/** The RISC-V IOMMU: device directory and process directories. */
export class RiscvEnumeration implements Enumeration<RiscvDevice, RiscvPasidContext> {
  readonly walker: RiscvWalker;

  constructor(walker: RiscvWalker) {
    this.walker = walker;
  }

  unused(): boolean {
    return false;
  }

  takesPasids(): boolean {
    return true;
  }

  defaultPasid(device: RiscvDevice): number | undefined {
    return device.dpe !== 0 ? 0 : undefined;
  }

  absent(out: WalkResult): boolean {
    return out.fault === DDT_NOT_VALID || out.fault === PDT_NOT_VALID;
  }

  blocks(): boolean {
    return false;
  }

  space(device: RiscvDevice, process: RiscvPasidContext): AddressSpace {
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

/** Sv32 addresses have no sign; nor have guest physical ones. */
function regionsOf(
  device: RiscvDevice,
  process: RiscvPasidContext,
  first: StageTables | null,
  second: StageTables | null,
): Region[] {
  const { firstLevels } = process;
  if (first === null) return lowRegion(second === null ? 64 : guestAddressBits(device), null, second);
  const bits = svInputBits(firstLevels);
  return firstLevels === SV32_LEVELS ? lowRegion(bits, first, second) : signedRegions(bits, first, second);
}

function svTables(stage: 1 | 2, frame: number, levels: number): StageTables {
  return {
    stage,
    format: `riscv-sv${svInputBits(levels)}${stage === 2 ? "x4" : ""}`,
    frame,
    offset: 0,
    levels,
    geometry: svGeometry(levels),
  };
}

/** Pages of interrupt files have a table of their own: a block around one tells nothing about them. */
function clearOfInterruptFiles(device: RiscvDevice, frame: number, shift: number): number {
  let clear = shift;
  while (clear > FRAME_SHIFT && inInterruptFile(device, frameHi(frame), frameLo(frame), clear)) clear--;
  return clear;
}
