import { type Caching, type LiveChange, NO_TAG, translationTag } from "../caching.ts";
import { REGIME_EL1, REGIME_EL2 } from "../invalidation.ts";
import { FINAL_LEVEL, granuleGeometry } from "../page-tables/vmsav8-64.ts";
import type { IommuState } from "../registers.ts";
import { Idr3 } from "./registers.ts";
import { EATS_SPLIT_STAGE } from "./ste.ts";
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
  /** 13.6.3: with split-stage ATS, what was translated is an IPA. */
  loadTranslated(device, process) {
    process.bypass = true;
    return device.eats === EATS_SPLIT_STAGE;
  },

  /** 3.21.3: configuration structures whether they are valid or not; 3.21.1: valid translations only. */
  cachedFailures: () => ({ contexts: () => true, firstStage: false, secondStage: false }),

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
  brokenBeforeMade,

  reconfigured: () => false,
};

/** VALID, nT of blocks, AttrIndx of stage 1, MemAttr of stage 2, and bits 47:12 of an output address in two halves. */
const VALID = 1;
const NO_TRANSLATION_CONFLICT = 0x1_0000;
const MEMORY_TYPE: readonly number[] = [0, 0x1c, 0x3c];
const ADDRESS_LO = 0xffff_f000 | 0;
const ADDRESS_HI = 0xffff;
/** DBM, in the high half. */
const DIRTY_MODIFIER = 0x8_0000;
/** AP[2] is 0, S2AP[1] is 1 where writes are allowed: both are bit 7. */
const WRITES = 0x80;

/** IHI 0070, 3.21.1.1 to 3.21.1.3; DDI 0487, D8.17.1. What IDR3 does not say is not complained about. */
function brokenBeforeMade(state: IommuState, change: LiveChange): string | null {
  const { stage, level, oldHi, oldLo, newHi, newLo } = change;
  if ((oldLo & newLo & VALID) === 0) return null;
  const wasTable = SMMUV3_CACHING.pointsToTable(stage, level, oldLo);
  const isTable = SMMUV3_CACHING.pointsToTable(stage, level, newLo);
  if (wasTable !== isTable) {
    const bbml = state.field("idr3", Idr3, "BBML", BBML_2);
    if (bbml >= BBML_2) return null;
    if (bbml === 1 && ((wasTable ? newLo : oldLo) & NO_TRANSLATION_CONFLICT) !== 0) return null;
    const sizes = wasTable ? "a table by a block" : "a block by a table";
    const marked = bbml === 1 ? " or nT in the block" : "";
    return `expected break-before-make${marked} to replace ${sizes}, since IDR3.BBML is ${bbml}`;
  }
  if (wasTable) return null;
  const moved = ((oldLo ^ newLo) & ADDRESS_LO) !== 0 || ((oldHi ^ newHi) & ADDRESS_HI) !== 0;
  if (moved && (writable(stage, oldHi, oldLo) || writable(stage, newHi, newLo)))
    return "expected break-before-make to change the output address of a writable mapping";
  if (((oldLo ^ newLo) & MEMORY_TYPE[stage]!) !== 0)
    return "expected break-before-make to change the memory type";
  return null;
}

const BBML_2 = 2;

function writable(stage: number, hi: number, lo: number): boolean {
  return (hi & DIRTY_MODIFIER) !== 0 || ((lo & WRITES) !== 0) === (stage === 2);
}
