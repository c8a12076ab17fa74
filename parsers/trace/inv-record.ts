/** The neutral `inv` record of the trace contract, as an invalidation. */

import {
  CACHE_NAMES,
  CONTEXT_CACHE,
  DEVICE_TLB,
  Invalidation,
  IOTLB,
  PAGING_STRUCTURES,
  PASID_CACHE,
  REGIME_ANY,
} from "../../walkers/invalidation.ts";
import type { RecordOf } from "./schema.ts";

type InvRecord = RecordOf<"inv">;

const CACHES: Readonly<Record<InvRecord["cache"], number>> = {
  all: CACHE_NAMES.reduce((all, [bit]) => all | bit, 0),
  context: CONTEXT_CACHE,
  pasid: PASID_CACHE,
  iotlb: IOTLB | PAGING_STRUCTURES,
  devtlb: DEVICE_TLB,
};

/** Tags that select at each granularity: the first one must be given, the others may be. */
const TAGS = {
  global: [],
  domain: ["domain"],
  device: ["dev", "domain"],
  pasid: ["pasid", "asid", "domain", "dev"],
  page: ["addr", "domain", "asid", "pasid", "dev"],
} as const;

/** A page: what a record that gives no size means. */
const PAGE_BYTES = 4096;

/**
 * Converts an `inv` record. Tags that its granularity does not use are ignored; those that it may use and that are
 * absent select nothing.
 * @param out the object to fill, for reuse
 * @returns what is wrong with the record (the sentence of an `error` record), or the invalidation
 */
export function fromInvRecord(
  record: InvRecord,
  out: Invalidation = new Invalidation(),
): Invalidation | string {
  const tags: readonly string[] = TAGS[record.granularity];
  const uses = (tag: string) => tags.includes(tag);
  out.reset(CACHES[record.cache]);
  out.regime = REGIME_ANY;
  if (record.granularity === "pasid" && record.pasid === undefined && record.asid === undefined)
    return 'inv: expected pasid or asid with granularity "pasid", found neither';
  const needed = tags[0];
  if (needed !== undefined && needed !== "pasid" && record[needed as keyof InvRecord] === undefined)
    return `inv: expected ${needed} with granularity "${record.granularity}", found none`;
  if (uses("domain") && record.domain !== undefined) out.onDomain(record.domain);
  if (uses("dev") && record.dev !== undefined) out.onDevice(record.dev.id);
  if (uses("pasid") && record.pasid !== undefined) out.onPasid(record.pasid);
  // By address, global entries are covered with any ASID, as on the architectures that have them.
  if (uses("asid") && record.asid !== undefined) out.onAsid(record.asid, record.granularity === "page");
  if (record.leaf === true) out.onLeaves();
  return record.granularity === "page" ? toRange(record, out) : out;
}

/** The bytes of the record as they are: nothing is rounded. */
function toRange(record: InvRecord, out: Invalidation): Invalidation | string {
  const { hi, lo } = record.addr!;
  const size = record.size ?? { hi: 0, lo: PAGE_BYTES };
  if (size.hi === 0 && size.lo === 0) return "inv.size: expected at least 1 byte, found 0";
  // Last byte: addr + size - 1, in halves; beyond 2^64 it ends with the address space.
  const lastLo = (lo >>> 0) + (size.lo >>> 0) - 1;
  const carry = Math.floor(lastLo / 2 ** 32);
  const lastHi = (hi >>> 0) + (size.hi >>> 0) + carry;
  out.hasAddress = true;
  out.addrHi = hi;
  out.addrLo = lo;
  out.lastHi = lastHi >= 2 ** 32 ? -1 : lastHi | 0;
  out.lastLo = lastHi >= 2 ** 32 ? -1 : lastLo | 0;
  return out;
}
