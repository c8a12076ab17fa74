import { INTERRUPT_END, INTERRUPT_FIRST } from "../interrupt-range.ts";
import {
  type AddressSpace,
  lowRegion,
  ninesTables,
  type Region,
  type StageTables,
  signedRegions,
  translationOf,
} from "../page-tables/address-space.ts";
import * as x86 from "../page-tables/x86-64.ts";
import type { WalkResult } from "../result.ts";
import { byteAddress, type VendorTables } from "../tables/enumeration.ts";
import {
  EXTENDED_CONTEXT,
  FIRST_STAGE,
  LEGACY_CONTEXT,
  NESTED,
  SCALABLE_CONTEXT,
  SECOND_STAGE,
  type VtdDevice,
  type VtdProcess,
} from "./context.ts";
import { LCT_2, LRT_2, SCT_2, SPD_2, SPT_2, SRT_2 } from "./faults.ts";
import { TTM_EXTENDED, TTM_LEGACY } from "./registers.ts";
import { PASID_TABLE_BITS } from "./scalable.ts";
import type { VtdWalker } from "./walker.ts";

const SOURCE_ID_BITS = 16;
/** Functions of a bus; of half a bus, which is what a scalable-mode or extended context table serves. */
const LEGACY_STEPS = [8, 0];
const HALF_BUS_STEPS = [7, 0];
const ABSENT: ReadonlySet<unknown> = new Set([LRT_2, LCT_2, SRT_2, SCT_2, SPD_2, SPT_2]);

/** VT-d: root and context tables of each mode, PASID directory and table. */
export class VtdTables implements VendorTables<VtdDevice, VtdProcess> {
  readonly walker: VtdWalker;
  readonly baseRegister = "rtaddr";

  constructor(walker: VtdWalker) {
    this.walker = walker;
  }

  root(): { kind: string; address: bigint } {
    const { mode, rootFrame } = this.walker.caps;
    const kind =
      mode === TTM_LEGACY
        ? "root table"
        : mode === TTM_EXTENDED
          ? "extended root table"
          : "scalable-mode root table";
    return { kind, address: byteAddress(rootFrame) };
  }

  deviceLimit(): number {
    return 2 ** SOURCE_ID_BITS;
  }

  deviceSteps(): readonly number[] {
    return this.walker.caps.mode === TTM_LEGACY ? LEGACY_STEPS : HALF_BUS_STEPS;
  }

  unused(): boolean {
    return false;
  }

  pasidLimit(device: VtdDevice): number {
    if (device.context === LEGACY_CONTEXT || device.pasidEnabled === 0) return 0;
    return Math.min(this.walker.caps.pasidLimit, device.pasidLimit);
  }

  pasidSteps(device: VtdDevice): readonly number[] {
    return device.context === SCALABLE_CONTEXT ? [PASID_TABLE_BITS, 0] : [0];
  }

  pasidTable(device: VtdDevice): { kind: string; address: bigint } | undefined {
    const address = byteAddress(device.pasidFrame);
    if (device.context === SCALABLE_CONTEXT) return { kind: "PASID directory", address };
    const used = device.context === EXTENDED_CONTEXT && device.pasidEnabled !== 0;
    return used ? { kind: "PASID table", address } : undefined;
  }

  defaultPasid(device: VtdDevice): number | undefined {
    return device.context === SCALABLE_CONTEXT ? device.ridPasid : undefined;
  }

  absent(out: WalkResult): boolean {
    return ABSENT.has(out.fault);
  }

  blocks(): boolean {
    return false;
  }

  space(_device: VtdDevice, process: VtdProcess): AddressSpace {
    const { kind } = process;
    const first = kind === FIRST_STAGE || kind === NESTED ? firstStage(process) : null;
    const host = kind === SECOND_STAGE || kind === NESTED ? secondStage(process) : null;
    return {
      translation: translationOf(first, host),
      regions: this.#regions(process, first, host),
      // 3.15: requests without PASID do not reach memory there, and nothing may come out there.
      boundaries: [INTERRUPT_FIRST, INTERRUPT_END],
      withheld: [INTERRUPT_FIRST, INTERRUPT_END - 1],
      narrow: null,
      domain: process.domain,
      asid: -1,
    };
  }

  #regions(process: VtdProcess, first: StageTables | null, host: StageTables | null): Region[] {
    const { caps } = this.walker;
    if (first !== null) return signedRegions(x86.inputBits(process.firstLevels), first, host);
    const bits = host === null ? caps.hostWidth : caps.secondStageWidth(process.secondLevels);
    return lowRegion(bits, null, host);
  }
}

function firstStage(process: VtdProcess): StageTables {
  return ninesTables(1, "x86-64", process.firstRoot, process.firstLevels);
}

function secondStage(process: VtdProcess): StageTables {
  return ninesTables(2, "vtd-ss", process.secondRoot, process.secondLevels);
}
