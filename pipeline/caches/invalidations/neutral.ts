import {
  ANY,
  CONTEXT_CACHE,
  DEVICE_TLB,
  type Invalidation,
  IOTLB,
  PAGING_STRUCTURES,
  PASID_CACHE,
} from "../../../walkers/invalidation.ts";

/**
 * A neutral invalidation may name a PASID, an address space (`asid`), or both; every cache knows one of the two at
 * most. This says it in the tags that each has.
 *
 * @param byAsid `Caching.byAsid`
 * @param asidsOf the address spaces that translations of a PASID may be tagged with, by the entries that were used
 * @returns invalidations that together are the one given
 */
export function inTagsOf(
  byAsid: boolean,
  inv: Invalidation,
  asidsOf: (inv: Invalidation) => Iterable<number>,
): readonly Invalidation[] {
  if (inv.pasid === ANY && inv.asid === ANY) return [inv];
  if (!byAsid) {
    const copy = inv.clone();
    if (copy.pasid === ANY) copy.pasid = copy.asid;
    copy.asid = ANY;
    return [copy];
  }
  const parts: Invalidation[] = [];
  const part = (caches: number, pasid: number, asid: number) => {
    if ((inv.caches & caches) === 0) return;
    const copy = inv.clone();
    copy.caches &= caches;
    copy.pasid = pasid;
    copy.asid = asid;
    parts.push(copy);
  };
  part(CONTEXT_CACHE | PASID_CACHE, inv.pasid, inv.asid);
  // What a device keeps by itself, it knows by the PASID.
  part(DEVICE_TLB, inv.pasid, inv.pasid === ANY ? inv.asid : ANY);
  const spaces = inv.asid === ANY ? asidsOf(inv) : [inv.asid];
  for (const asid of spaces) part(IOTLB | PAGING_STRUCTURES, ANY, asid);
  return parts;
}
