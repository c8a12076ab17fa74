import { type Caching, NO_TAG, translationTag } from "../caching.ts";
import { SIZED_PAGES } from "../page-tables/amd-v1.ts";
import { RADIX512 } from "../page-tables/geometry.ts";
import type { DeviceContext, PasidContext } from "./context.ts";
import { DEVICE_TABLE_BASES } from "./registers.ts";

/** PS of a guest entry: it is a leaf. */
const PAGE_SIZE = 0x80;
/** Next Level of a host entry; 0 and 7 are those of leaves (AMD 48882, 2.2.3). */
const NEXT_LEVEL = 0xe00;
/** A of guest entries; the U bit of host entries stands in the same place (2.2.3). */
const ACCESSED = 0x20;

/** AMD 48882, 2.4: DomainID always, PASID where guest tables take part. */
export const AMD_VI_CACHING: Caching<DeviceContext, PasidContext> = {
  byAsid: false,
  deviceDomain: (device) => device.domain,
  refusedDomain: () => NO_TAG,
  pasidIndex: (_device, pasid) => Math.max(pasid, 0),
  hasOwnEntry: (_device, process) => process.guest !== 0,
  translationTag(device, process, pasid) {
    const first = process.guest !== 0;
    return translationTag(device.domain, first ? Math.max(pasid, 0) : NO_TAG, first, device.mode !== 0);
  },
  placeFields: [],
  hasDeviceTlb: (device) => device.iotlb !== 0,

  /** Capability header, NpCache (`props.npcache`): page-table entries that are not present. */
  cachedFailures(state) {
    const cached = (state.property("npcache") ?? 0) !== 0;
    return { contexts: () => false, firstStage: cached, secondStage: cached };
  },

  levelSizes(device, process, _hi, out) {
    const guest = process.guest !== 0;
    return out.set(guest ? 1 : 2, RADIX512, guest ? device.guestLevels : device.mode);
  },
  pointsToTable(stage, level, lo) {
    if (level === 1) return false;
    if (stage === 1) return (lo & PAGE_SIZE) === 0;
    const next = lo & NEXT_LEVEL;
    return next !== 0 && next !== NEXT_LEVEL;
  },
  accessedFlags: () => ACCESSED,

  /** As Linux has it, which gives INVALIDATE_IOMMU_PAGES for the old domain when a device leaves (amd/iommu.c). */
  owesTranslations: true,
  rootRegisters: DEVICE_TABLE_BASES,
  reconfigured: () => false,
  repeatedLeaf: SIZED_PAGES,
};
