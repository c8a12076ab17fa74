/** How contexts and PASID entries are tagged in the caches that hold them. */
import { type Caching, NO_TAG } from "../../../walkers/caching.ts";

export interface ContextTag {
  /** Requester id, StreamID, DeviceID or device_id. */
  readonly device: number;
  /** VT-d DID, AMD DomainID, Arm VMID, RISC-V GSCID; NO_TAG: none. */
  readonly domain: number;
  /** Index of a PASID entry in its table: that of a request without PASID is what its context says. NO_TAG: no PASID entry. */
  readonly pasid: number;
  /** ASID or PSCID that the entry names; NO_TAG: none. */
  readonly asid: number;
}

/** Of a cached device context. */
export function deviceTag(caching: Caching, device: number, context: object): ContextTag {
  return contextTag(device, caching.deviceDomain(context));
}

/** Of a device context, by its domain. */
export function contextTag(device: number, domain: number): ContextTag {
  return { device, domain, pasid: NO_TAG, asid: NO_TAG };
}

/** Of a cached PASID entry. */
export function processTag(
  caching: Caching,
  device: number,
  context: object,
  process: object,
  pasid: number,
): ContextTag {
  const { domain, space } = caching.translationTag(context, process, pasid);
  return { device, domain, pasid: caching.pasidIndex(context, pasid), asid: space };
}
