import {
  type AddressSpace,
  ALL_FRAMES,
  framesOf,
  lowRegion,
  type Region,
  type StageTables,
  translationOf,
} from "../page-tables/address-space.ts";
import { FINAL_LEVEL, granuleGeometry, type TableBase } from "../page-tables/vmsav8-64.ts";
import type { WalkResult } from "../result.ts";
import type { Enumeration } from "../tables/enumeration.ts";
import { C_BAD_STE, C_BAD_STREAMID, STE_ABORT } from "./faults.ts";
import { CONFIG_BYPASS, S1DSS_SUBSTREAM0, Ste } from "./ste.ts";
import type { StreamContext } from "./stream-context.ts";
import type { AddressHalf, SubstreamContext } from "./substream-context.ts";
import type { SmmuV3Walker } from "./walker.ts";

const V = Ste.mask.V.lo;

/** SMMUv3: stream tables and context descriptor tables, linear and 2-level. */
export class SmmuV3Enumeration implements Enumeration<StreamContext, SubstreamContext> {
  readonly walker: SmmuV3Walker;

  constructor(walker: SmmuV3Walker) {
    this.walker = walker;
  }

  unused(): boolean {
    return false;
  }

  takesPasids(): boolean {
    return true;
  }

  defaultPasid(device: StreamContext): number | undefined {
    return device.s1cdmax > 0 && device.s1dss === S1DSS_SUBSTREAM0 ? 0 : undefined;
  }

  /** C_BAD_STE is the fault of an entry that is not valid, and of one that is ILLEGAL. */
  absent(out: WalkResult): boolean {
    if (out.fault === C_BAD_STREAMID) return true;
    return out.fault === C_BAD_STE ? (out.entryLo & V) === 0 : out.reason === "PASID_INVALID";
  }

  /** STE.Config 0b0xx. */
  blocks(out: WalkResult): boolean {
    return out.fault === STE_ABORT;
  }

  space(device: StreamContext, process: SubstreamContext): AddressSpace {
    const host = device.stage2Enabled ? tablesOf(2, device.stage2) : null;
    const regions = process.bypass ? this.#withoutStage1(device, host) : halves(process, host);
    const first = process.bypass ? null : (regions[0]?.first ?? null);
    return {
      translation: process.bypass ? translationOf(null, host) : host === null ? "stage1" : "nested",
      regions,
      boundaries: first === null && host === null ? this.#truncations() : [],
      withheld: null,
      narrow: null,
      domain: device.vmid,
      asid: process.bypass ? -1 : process.asid,
    };
  }

  /** 3.4: what bypasses stage 1 must be within the IAS, and in a stream that bypasses all, the OAS. */
  #withoutStage1(device: StreamContext, host: StageTables | null): Region[] {
    const { ias, oas } = this.walker.features;
    if (host !== null) return lowRegion(Math.min(ias, device.stage2.inputBits), null, host);
    return lowRegion(device.config === CONFIG_BYPASS ? oas : ias, null, null);
  }

  /** Where an IPA wider than the OAS, which stage 2 bypasses, begins anew (3.4). */
  #truncations(): number[] {
    const { ias, oas } = this.walker.features;
    const frames = framesOf(oas);
    return Array.from({ length: Math.max(0, 2 ** (ias - oas) - 1) }, (_, i) => (i + 1) * frames);
  }
}

/** 3.4.1: TTB0 translates the addresses from 0 up, TTB1 those up to the last one. */
function halves(process: SubstreamContext, host: StageTables | null): Region[] {
  const regions: Region[] = [];
  const frames = (half: AddressHalf) => framesOf(half.tables.inputBits);
  const { low, high } = process;
  if (low.enabled) regions.push({ from: 0, to: frames(low), first: tablesOf(1, low.tables), second: host });
  if (high.enabled)
    regions.push({
      from: ALL_FRAMES - frames(high),
      to: ALL_FRAMES,
      first: tablesOf(1, high.tables),
      second: host,
    });
  return regions;
}

function tablesOf(stage: 1 | 2, base: TableBase): StageTables {
  const { granule, startLevel } = base;
  return {
    stage,
    format: "vmsav8-64",
    frame: base.frame,
    offset: base.offset,
    levels: FINAL_LEVEL - startLevel + 1,
    geometry: granuleGeometry(granule),
  };
}
