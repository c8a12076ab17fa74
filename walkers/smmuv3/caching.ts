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

/**
 * DDI 0487, D8.7.1: what leaves of one contiguous group have in common; AF, and the dirty state in AP[2] and S2AP[1], may
 * differ. Stage 1: GP, DBM; nG, SH, NS, AttrIndx. Stage 2: DBM; FnXS, SH, MemAttr.
 */
const GROUP_ATTRIBUTES: readonly (readonly [number, number])[] = [
  [0, 0],
  [0xc_0000, 0xb3c],
  [0x8_0000, 0xb3c],
];

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
  groupAttributes: GROUP_ATTRIBUTES,

  reconfigured: () => false,
};

/** VALID, nT of blocks, AttrIndx of stage 1, MemAttr of stage 2, and bits 47:12 of an output address in two halves. */
const VALID = 1;
const NO_TRANSLATION_CONFLICT = 0x1_0000;
const MEMORY_TYPE: readonly number[] = [0, 0x1c, 0x3c];
/** SH; bits 51:50 of an output address where DS is set. */
const SHAREABILITY = 0x300;
const NOT_GLOBAL = 0x800;
const ADDRESS_LO = 0xffff_f000 | 0;
const ADDRESS_HI = 0xffff;
/** Bits 49:48 of an output address where DS is set. */
const ADDRESS_HI_DS = 0x3_ffff;
/** DBM and Contiguous, in the high half. */
const DIRTY_MODIFIER = 0x8_0000;
const CONTIGUOUS = 0x10_0000;
/** AP[2] is 0, S2AP[1] is 1 where writes are allowed: both are bit 7. */
const WRITES = 0x80;

/** IHI 0070, 3.21.1.1 to 3.21.1.3; DDI 0487, D8.17.1 and D8.17.2. What IDR3 does not say is not complained about. */
function brokenBeforeMade(
  state: IommuState,
  change: LiveChange,
  device: StreamContext,
  process: SubstreamContext,
): string | null {
  const { stage, level, oldHi, oldLo, newHi, newLo } = change;
  if ((oldLo & newLo & VALID) === 0) return null;
  const wasTable = SMMUV3_CACHING.pointsToTable(stage, level, oldLo);
  const isTable = SMMUV3_CACHING.pointsToTable(stage, level, newLo);
  const bbml = state.field("idr3", Idr3, "BBML", BBML_2);
  if (wasTable !== isTable) {
    if (bbml >= BBML_2) return null;
    if (bbml === 1 && ((wasTable ? newLo : oldLo) & NO_TRANSLATION_CONFLICT) !== 0) return null;
    const sizes = wasTable ? "a table by a block" : "a block by a table";
    const marked = bbml === 1 ? " or nT in the block" : "";
    return `expected break-before-make${marked} to replace ${sizes}, since IDR3.BBML is ${bbml}`;
  }
  if (wasTable) return null;
  const differLo = oldLo ^ newLo;
  const differHi = oldHi ^ newHi;
  const ds = stage === 1 ? process.ds : device.s2ds;
  const moved =
    (differLo & (ds ? ADDRESS_LO | SHAREABILITY : ADDRESS_LO)) !== 0 ||
    (differHi & (ds ? ADDRESS_HI_DS : ADDRESS_HI)) !== 0;
  if (moved && (writable(stage, oldHi, oldLo) || writable(stage, newHi, newLo)))
    return "expected break-before-make to change the output address of a writable mapping";
  if ((differLo & MEMORY_TYPE[stage]!) !== 0) return "expected break-before-make to change the memory type";
  if (!ds && (differLo & SHAREABILITY) !== 0) return "expected break-before-make to change the shareability";
  if (stage === 1 && !process.onePrivilege && (oldLo & ~newLo & NOT_GLOBAL) !== 0)
    return "expected break-before-make to make a mapping global";
  if (bbml === 0 && (differHi & CONTIGUOUS) !== 0)
    return "expected break-before-make to change the Contiguous bit, since IDR3.BBML is 0";
  return null;
}

const BBML_2 = 2;

function writable(stage: number, hi: number, lo: number): boolean {
  return (hi & DIRTY_MODIFIER) !== 0 || ((lo & WRITES) !== 0) === (stage === 2);
}
