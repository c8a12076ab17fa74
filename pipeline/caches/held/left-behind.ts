/**
 * Translations that outlive the context through which they were made. Its invalidation drops that context alone; its
 * translations go by their own tags, and whoever changes a context owes both (VT-d 5.10, 6.5.3.3; IHI 0070, 4.3.1 and 4.3.3;
 * RISC-V IOMMU 1.0, Guidelines for invalidations).
 */

import type { DeviceCaches } from "./cached-devices.ts";
import type { CachedTranslation } from "./cached-translation.ts";
import { isValid } from "./context-history.ts";
import type { TranslationContext } from "./translation-context.ts";

/** Pairs of contexts that are looked at: the latest. */
const MOST_PAIRS = 16;

const NO_PAIRS: readonly TranslationContext[] = [];

/** Pairs of a device's PASID that an invalidation has dropped, at least one of the two: the latest of them. */
export function leftPairs(caches: DeviceCaches, pasid: number): readonly TranslationContext[] {
  const pairs = caches.processes.get(pasid)?.pairs;
  if (pairs === undefined || pairs.every(isWhole)) return NO_PAIRS;
  return pairs.slice(-MOST_PAIRS).filter((pair) => !isWhole(pair));
}

/**
 * Tick at which a pair was last used, or may have been: what its tags hold since is somebody else's, unless it was made
 * through the pair: then somebody whose contexts are alike has only used it.
 */
export function lastUse({ device, process, staleUse }: TranslationContext): number {
  return Math.max(Math.min(device.filled, process.filled), staleUse);
}

/** Whether a translation is not one that a pair has left: made since it was last used, and not through it. */
export function isAnothers({ context, time }: CachedTranslation, left: TranslationContext): boolean {
  return context !== left.id && time > lastUse(left);
}

/** Whether nothing has invalidated either context of a pair. */
export function isWhole({ device, process }: TranslationContext): boolean {
  return isValid(device) && isValid(process);
}
