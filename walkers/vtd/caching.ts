import { type Caching, NO_TAG, translationTag } from "../caching.ts";
import { CONTEXT_CACHE, IOTLB, PAGING_STRUCTURES, PASID_CACHE } from "../invalidation.ts";
import { RADIX512 } from "../page-tables/geometry.ts";
import { NO_PASID } from "../request.ts";
import {
  EntrySource,
  EXTENDED_CONTEXT,
  KIND_FIRST_STAGE,
  NESTED,
  SCALABLE_CONTEXT,
  type VtdDevice,
  type VtdPasidContext,
} from "./context.ts";
import { setsRootPointer } from "./register-writes.ts";
import { CapabilityRegister, RootTableAddressRegister, TTM_LEGACY, TTM_SCALABLE } from "./registers.ts";

/** Domain id of a cached context entry that is not valid, with CAP_REG.CM (VT-d 5.10, 6.2.2). */
const INVALID_DOMAIN = 0;
/** PS of an entry of either stage: it is a leaf (VT-d 5.10, 9.7 and 9.8). */
const PAGE_SIZE = 0x80;
/** A and EA of first-stage entries (VT-d 5.10, 9.7), A of second-stage ones (9.8). */
const FIRST_ACCESSED = 0x420;
const SECOND_ACCESSED = 0x100;

function hasFirst(process: VtdPasidContext): boolean {
  return process.kind === KIND_FIRST_STAGE || process.kind === NESTED;
}

/**
 * VT-d 5.10, 6.2.1, Table 17: DID always, in scalable mode the PASID too, which for a request without PASID is its
 * RID_PASID. Revisions differ on whether devices of one domain share translations: here they do.
 */
export const VTD_CACHING: Caching<VtdDevice, VtdPasidContext> = {
  byAsid: false,
  deviceDomain: (device) => (device.context === SCALABLE_CONTEXT ? NO_TAG : device.domain),
  refusedDomain(state) {
    const scalable = state.field("rtaddr", RootTableAddressRegister, "TTM", TTM_LEGACY) === TTM_SCALABLE;
    return scalable ? NO_TAG : INVALID_DOMAIN;
  },
  pasidIndex: (device, pasid) => (pasid === NO_PASID ? device.ridPasid : pasid),
  hasOwnEntry: (device, _process, pasid) =>
    device.context === SCALABLE_CONTEXT || (device.context === EXTENDED_CONTEXT && pasid !== NO_PASID),
  translationTag(device, process, pasid) {
    const first = hasFirst(process);
    const tagged = first || device.context === SCALABLE_CONTEXT;
    const space = tagged ? this.pasidIndex(device, pasid) : NO_TAG;
    return translationTag(process.domain, space, first, process.kind !== KIND_FIRST_STAGE);
  },
  placeFields: Object.keys(new EntrySource()),
  hasDeviceTlb: (device) => device.deviceTlb !== 0,

  /** 6.1: with CAP_REG.CM, everything but first-stage entries; without, nothing. */
  cachedFailures(state) {
    const mode = state.capability("cap", CapabilityRegister, "CM", 0) !== 0;
    return { contexts: () => mode, firstStage: false, secondStage: mode };
  },

  levelSizes(_device, process, _hi, out) {
    const first = hasFirst(process);
    const levels = first ? process.firstLevels : process.secondLevels;
    return out.set(first ? 1 : 2, RADIX512, levels);
  },
  pointsToTable: (_stage, level, lo) => level !== 1 && (lo & PAGE_SIZE) === 0,
  accessedFlags: (stage) => (stage === 1 ? FIRST_ACCESSED : SECOND_ACCESSED),

  /** 6.5.3.3, Table 28; CCMD_REG.ICC. */
  owesTranslations: true,
  rootRegisters: ["rtaddr"],
  /** CAP_REG.ESRTPS: setting the root table pointer invalidates everything that was translated with the old one. */
  reconfigured(before, after, written, out) {
    const moved = before.hi("rtaddr") !== after.hi("rtaddr") || before.lo("rtaddr") !== after.lo("rtaddr");
    const set = moved || (written === "gcmd" && setsRootPointer(after.registers.get("gcmd")!));
    if (!set || after.capability("cap", CapabilityRegister, "ESRTPS", 0) === 0) return false;
    out.reset(CONTEXT_CACHE | PASID_CACHE | IOTLB | PAGING_STRUCTURES);
    return true;
  },
};
