import { type Caching, type LiveChange, NO_TAG, translationTag } from "../caching.ts";
import { NAPOT, SV_N, SV_V, svGeometry } from "../page-tables/riscv-sv.ts";
import type { IommuState } from "../registers.ts";
import type { RiscvDevice, RiscvPasidContext } from "./context.ts";
import { DDT_MISCONFIGURED, PDT_MISCONFIGURED } from "./faults.ts";

/** R, W and X of a page-table entry: it is a leaf. */
const RIGHTS = 0xe;

/** RISC-V IOMMU 1.0, Caching in-memory data structures: GSCID with a second stage, PSCID with a first. */
export const RISCV_CACHING: Caching<RiscvDevice, RiscvPasidContext> = {
  byAsid: true,
  deviceDomain: (device) => device.gscid,
  refusedDomain: () => NO_TAG,
  pasidIndex: (_device, pasid) => Math.max(pasid, 0),
  hasOwnEntry: (_device, process) => process.located !== 0,
  translationTag(device, process) {
    const first = process.firstLevels !== 0;
    const second = device.secondLevels !== 0;
    return translationTag(second ? device.gscid : NO_TAG, first ? process.pscid : NO_TAG, first, second);
  },
  placeFields: [],
  hasDeviceTlb: (device) => device.enAts !== 0,
  /** Process to translate an IOVA, steps 8 and 9: with T2GPA, what was translated is a GPA. */
  loadTranslated(device, process) {
    process.bare();
    return device.t2gpa !== 0;
  },

  /**
   * Caching in-memory data structures: nothing whose V is clear. What is valid and breaks a rule may be held; of page-table
   * entries that is not followed.
   */
  cachedFailures: () => ({
    contexts: (fault) => fault === DDT_MISCONFIGURED || fault === PDT_MISCONFIGURED,
    firstStage: false,
    secondStage: false,
  }),

  levelSizes(device, { firstLevels }, _hi, out) {
    const levels = firstLevels || device.secondLevels;
    return out.set(firstLevels === 0 ? 2 : 1, svGeometry(levels), levels);
  },
  pointsToTable: (_stage, level, lo) => level !== 1 && (lo & RIGHTS) === 0,
  /** A stands in leaves alone (Privileged Architecture, Sv39: it is reserved in pointers). */
  accessedFlags: () => 0,

  /** Guidelines for invalidations: Changing device directory table entry, Changing process directory table entry. */
  owesTranslations: true,
  /** IOTINVAL.GVMA operands and operations, note. */
  firstStageApart: true,
  rootRegisters: ["ddtp"],
  reconfigured: () => false,
  repeatedLeaf: NAPOT,
  brokenBeforeMade,
};

/**
 * RISC-V IOMMU 1.0, Accessed (A)/Dirty (D) bit updates and page promotions: with V set, a page may only become one of
 * another size, and then rights and addresses have to stay what they were.
 */
function brokenBeforeMade(_state: IommuState, change: LiveChange): string | null {
  const { stage, level, translatesOtherwise, oldHi, oldLo, newHi, newLo } = change;
  if ((oldLo & newLo & SV_V) === 0 || !translatesOtherwise) return null;
  const wasTable = RISCV_CACHING.pointsToTable(stage, level, oldLo);
  const isTable = RISCV_CACHING.pointsToTable(stage, level, newLo);
  const resized = wasTable !== isTable || (level === 1 && ((oldHi ^ newHi) & SV_N) !== 0);
  return resized
    ? "expected V to be cleared, and the old entry to be invalidated, before pages of another size lead elsewhere or have other rights"
    : null;
}
