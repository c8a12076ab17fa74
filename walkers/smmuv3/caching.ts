import { type Caching, NO_TAG, translationTag } from "../caching.ts";
import { REGIME_EL1, REGIME_EL2 } from "../invalidation.ts";
import { FINAL_LEVEL, granuleGeometry } from "../page-tables/vmsav8-64.ts";
import type { StreamContext } from "./stream-context.ts";
import type { SubstreamContext } from "./substream-context.ts";

/** VMSAv8-64 descriptors, 1:0: table, above the last level. */
const TABLE = 3;
/** Bit 55 of an address, in its high half: which of the two halves it is in. */
const HALF_SELECT = 0x80_0000;

/** IHI 0070, 3.17: VMID where stage 2 is implemented and the StreamWorld is EL1, ASID with stage 1. */
export const SMMUV3_CACHING: Caching<StreamContext, SubstreamContext> = {
  byAsid: true,
  /** IHI 0070, 5.2 CONT; it has no part in invalidation. */
  deviceSpan: (device) => device.cont,
  deviceDomain: (device) => device.vmid,
  refusedDomain: () => NO_TAG,
  pasidIndex: (_device, pasid) => Math.max(pasid, 0),
  hasOwnEntry: (_device, process) => !process.bypass,
  translationTag(device, process) {
    const first = !process.bypass;
    return {
      ...translationTag(device.vmid, first ? process.asid : NO_TAG, first, device.stage2Enabled),
      regime: device.hypervisor ? REGIME_EL2 : REGIME_EL1,
      // An address that TBI lets pass is the same page whatever its top byte, and without TBI none passes whose top
      // byte is not the sign of bit 55.
      withoutTopByte: first,
    };
  },
  placeFields: ["cont"],
  hasDeviceTlb: (device) => device.ats,

  /** 3.21.3: configuration structures whether they are valid or not; 3.21.1: valid translations only. */
  cachedFailures: () => ({ contexts: true, firstStage: false, secondStage: false }),

  levelSizes(device, process, hi, out) {
    const high = !process.onePrivilege && (hi & HALF_SELECT) !== 0;
    const { granule, startLevel } = process.bypass
      ? device.stage2
      : (high ? process.high : process.low).tables;
    const levels = process.bypass && !device.stage2Enabled ? 0 : FINAL_LEVEL - startLevel + 1;
    return out.set(process.bypass ? 2 : 1, granuleGeometry(granule), levels);
  },
  pointsToTable: (_stage, level, lo) => level !== FINAL_LEVEL && (lo & TABLE) === TABLE,
  /** 3.13: the flags that the SMMU updates are those of leaves. */
  accessedFlags: () => 0,

  /** 4.3.1, 4.3.3: they are left, and harmless until somebody else has their ASID or VMID. */
  owesTranslations: false,
  rootRegisters: ["strtab_base", "strtab_base_cfg"],
  reconfigured: () => false,
};
