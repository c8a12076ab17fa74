/** How contexts and PASID entries are tagged in the caches that hold them. */
import { type Caching, type ContextTag, NO_TAG } from "../../../walkers/caching.ts";

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
