import type { Caching } from "../../walkers/caching.ts";
import type { WalkEngine } from "../../walkers/engine.ts";
import type { IommuState } from "../../walkers/registers.ts";
import type { IommuWalker } from "../../walkers/walker.ts";

/** What the model of an IOMMU's caches asks of it. */
export interface CachedIommu {
  readonly caching: Caching;
  readonly walker: IommuWalker;
  readonly engine: WalkEngine;
  readonly state: IommuState;
}
