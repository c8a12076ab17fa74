import type { WalkEngine } from "../../../walkers/engine.ts";
import type { IommuState } from "../../../walkers/registers.ts";
import type { Vendor } from "../../../walkers/vendor.ts";
import type { IommuWalker } from "../../../walkers/walker.ts";
import type { ContextVersion } from "../held/context-history.ts";
import type { TranslationContext } from "../held/translation-context.ts";

/** What the model of an IOMMU's caches asks of it. */
export interface CachedIommu {
  readonly vendor: Vendor;
  readonly walker: IommuWalker;
  readonly engine: WalkEngine<ContextVersion, TranslationContext>;
  readonly state: IommuState;
}
