import { GLOBAL_SPACE, type TranslationTag } from "../../../walkers/caching.ts";
import {
  ANY,
  BOTH_STAGES,
  coversDomain,
  FIRST_STAGE,
  type Invalidation,
  IOTLB,
  NONE,
  REGIME_ANY,
} from "../../../walkers/invalidation.ts";

/** Invalidations that are remembered; of the oldest half, past it, all is taken to be covered. */
const MAX_KEPT = 1 << 11;

/**
 * What of each stage invalidations have covered. What both stages have translated together may be held as such, and what each
 * of them says may be held apart: an invalidation of one stage drops the first and leaves what the other one says, by
 * which the old translation comes about again.
 */
export class StageInvalidations {
  readonly #kept: { readonly inv: Invalidation; readonly issued: number }[] = [];
  #forgottenUntil = 0;

  /** @param inv kept as it is; not to be changed later */
  note(inv: Invalidation, issued: number): void {
    if ((inv.caches & IOTLB) === 0) return;
    if (this.#kept.length === MAX_KEPT)
      this.#forgottenUntil = this.#kept.splice(0, MAX_KEPT / 2).at(-1)!.issued;
    this.#kept.push({ inv, issued });
  }

  /**
   * Whether one that was issued since a tick has covered what a stage says; of which addresses is not looked at.
   * @param stage FIRST_STAGE or SECOND_STAGE
   */
  covered(stage: number, tag: TranslationTag, since: number): boolean {
    if (since <= this.#forgottenUntil) return true;
    for (let i = this.#kept.length - 1; i >= 0 && this.#kept[i]!.issued >= since; i--) {
      if (coversStage(this.#kept[i]!.inv, stage, tag)) return true;
    }
    return false;
  }
}

/** Whether an invalidation covers what a stage says, at some address, in the translations with a tag. */
export function coversStage(inv: Invalidation, stage: number, tag: TranslationTag): boolean {
  if ((inv.caches & IOTLB) === 0 || (inv.stage !== BOTH_STAGES && inv.stage !== stage)) return false;
  if (inv.regime !== REGIME_ANY && inv.regime !== tag.regime) return false;
  if (!coversDomain(inv, tag.domain < 0 ? NONE : tag.domain)) return false;
  return stage !== FIRST_STAGE || inv.asid === ANY || tag.space === GLOBAL_SPACE || tag.space === inv.asid;
}
