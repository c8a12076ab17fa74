import { INTERRUPT_END, INTERRUPT_FIRST } from "../interrupt-range.ts";
import {
  type AddressSpace,
  lowRegion,
  type Region,
  radix512Tables,
  type StageTables,
  signedRegions,
  translationOf,
} from "../page-tables/address-space.ts";
import { x86InputBits } from "../page-tables/x86-64.ts";
import type { WalkResult } from "../result.ts";
import type { Enumeration } from "../tables/enumeration.ts";
import {
  KIND_FIRST_STAGE,
  KIND_SECOND_STAGE,
  NESTED,
  SCALABLE_CONTEXT,
  type VtdDevice,
  type VtdPasidContext,
} from "./context.ts";
import { LCT_2, LRT_2, SCT_2, SPD_2, SPT_2, SRT_2 } from "./faults.ts";
import type { VtdWalker } from "./walker.ts";

const ABSENT: ReadonlySet<unknown> = new Set([LRT_2, LCT_2, SRT_2, SCT_2, SPD_2, SPT_2]);

/** VT-d: root and context tables of each mode, PASID directory and table. */
export class VtdEnumeration implements Enumeration<VtdDevice, VtdPasidContext> {
  readonly walker: VtdWalker;

  constructor(walker: VtdWalker) {
    this.walker = walker;
  }

  unused(): boolean {
    return false;
  }

  takesPasids(device: VtdDevice): boolean {
    return device.pasidEnabled !== 0;
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

  space(_device: VtdDevice, process: VtdPasidContext): AddressSpace {
    const { kind } = process;
    const first = kind === KIND_FIRST_STAGE || kind === NESTED ? firstStage(process) : null;
    const host = kind === KIND_SECOND_STAGE || kind === NESTED ? secondStage(process) : null;
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

  #regions(process: VtdPasidContext, first: StageTables | null, host: StageTables | null): Region[] {
    const { caps } = this.walker;
    if (first !== null) return signedRegions(x86InputBits(process.firstLevels), first, host);
    const bits = host === null ? caps.hostWidth : caps.secondStageWidth(process.secondLevels);
    return lowRegion(bits, null, host);
  }
}

function firstStage(process: VtdPasidContext): StageTables {
  return radix512Tables(1, "x86-64", process.firstRoot, process.firstLevels);
}

function secondStage(process: VtdPasidContext): StageTables {
  return radix512Tables(2, "vtd-ss", process.secondRoot, process.secondLevels);
}
