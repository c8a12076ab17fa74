/** Which refusals a cache may remember: the entry that is behind one may be cached although it is not valid. */

import type { IommuModel } from "../../walkers/models.ts";
import type { IommuState } from "../../walkers/registers.ts";
import { FAULT, type WalkResult } from "../../walkers/result.ts";
import { CapabilityRegister } from "../../walkers/vtd/registers.ts";

/** What one IOMMU's caches may hold of entries that are not valid. */
export interface CachedFailures {
  /** Device contexts and PASID entries that are not present, or are misprogrammed. */
  readonly contexts: boolean;
  /** Page-table entries of the first stage, likewise. */
  readonly firstStage: boolean;
  readonly secondStage: boolean;
}

/**
 * - VT-d, 6.1: with CAP_REG.CM, everything but first-stage entries; without, nothing.
 * - SMMUv3, IHI 0070, 3.21.3: configuration structures whether they are valid or not; 3.21.1: valid translations only.
 * - AMD 48882, capability header, NpCache (`props.npcache`): page-table entries that are not present.
 * - RISC-V IOMMU 1.0, Caching in-memory data structures: nothing whose V is clear.
 */
export function cachedFailures(model: IommuModel, state: IommuState): CachedFailures {
  switch (model) {
    case "intel": {
      const mode = state.capability("cap", CapabilityRegister, "CM", 0) !== 0;
      return { contexts: mode, firstStage: false, secondStage: mode };
    }
    case "arm-smmuv3":
      return { contexts: true, firstStage: false, secondStage: false };
    case "amd": {
      const cached = (state.property("npcache") ?? 0) !== 0;
      return { contexts: false, firstStage: cached, secondStage: cached };
    }
    case "riscv":
      return { contexts: false, firstStage: false, secondStage: false };
  }
}

/** Whether a refusal comes from an entry that was read: one that could not be is not remembered (IHI 0070, 3.21.3). */
export function comesFromEntry(walk: WalkResult): boolean {
  return walk.status === FAULT && walk.entryFrame >= 0 && walk.entryKnown && walk.stage === 0;
}
