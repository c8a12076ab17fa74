import { NO_TAG, translationTag } from "../../../walkers/caching.ts";
import { FIRST_STAGE, type Invalidation, IOTLB, SECOND_STAGE } from "../../../walkers/invalidation.ts";
import { frameHi, frameLo } from "../../../walkers/memory.ts";
import type { StaleSource } from "../history/stale-source.ts";
import { IssuedInvalidations, ownerOf, translationOwners } from "../invalidations/issued-invalidations.ts";
import type { PendingInvalidations } from "../invalidations/pending.ts";
import type { Translations } from "./translations.ts";

/** Invalidations that are remembered: past it, what was held before them is not known. */
const MOST_INVALIDATIONS = 1 << 10;

/**
 * Which translations of one of two stages an invalidation has covered. A cache may hold what the second stage
 * says of an intermediate page by itself, beside what both stages come to: an invalidation by the first stage's address,
 * ASID or PASID drops only the latter (IHI 0070, 4.4; AMD 48882, 2.4.3, GN; RISC-V IOMMU 1.0, 2.8, tags of IOATC entries), and the
 * guidance for a changed second stage asks for one of the second stage (VT-d 5.10, 6.5.3.3, Table 28). The other way round,
 * a cache of a RISC-V IOMMU that leads from virtual to guest addresses need not heed IOTINVAL.GVMA (3.1.1,
 * note on its operands).
 */
export class StageDebts {
  readonly #translations: Translations;
  readonly #pending: PendingInvalidations;
  readonly #stage: typeof FIRST_STAGE | typeof SECOND_STAGE;
  readonly #issued = new IssuedInvalidations(translationOwners);
  /** Ticks up to which it is not known what came. */
  #unknownUntil = 0;

  constructor(
    translations: Translations,
    pending: PendingInvalidations,
    stage: typeof FIRST_STAGE | typeof SECOND_STAGE,
  ) {
    this.#translations = translations;
    this.#pending = pending;
    this.#stage = stage;
  }

  /** An invalidation takes effect. @param inv kept; not to be changed later */
  note(inv: Invalidation, issued: number): void {
    const second = this.#stage === SECOND_STAGE;
    if ((inv.caches & IOTLB) === 0 || inv.stage === (second ? FIRST_STAGE : SECOND_STAGE)) return;
    if (second && (inv.pasid >= 0 || inv.asid >= 0)) return;
    const all = this.#issued;
    all.add(inv, issued);
    if (all.size <= MOST_INVALIDATIONS) return;
    const { kept, left } = all.latestOf(() => true, MOST_INVALIDATIONS / 2);
    this.#unknownUntil = Math.max(this.#unknownUntil, left);
    all.clear();
    for (const one of kept) all.add(one.inv, one.issued);
  }

  clear(): void {
    this.#issued.clear();
  }

  /**
   * What is left of a translation of both stages that an invalidation has dropped, and of which this stage has changed.
   * @returns null where this stage was invalidated as well
   */
  standing(source: StaleSource, device: number): StaleSource | null {
    const { domain, regime, filled, ipaFrame, answer } = source;
    if (filled <= this.#unknownUntil) return null;
    const second = this.#stage === SECOND_STAGE;
    const space = second ? NO_TAG : source.space;
    const tag = { ...translationTag(domain, space, !second, true), regime };
    const set = this.#translations.tagSet(tag);
    const hi = second ? frameHi(ipaFrame) : source.addrHi;
    const lo = second ? frameLo(ipaFrame) : source.addrLo;
    const extent = { pageShift: answer.pageShift, firstShift: 0, ipaFrame: -1 };
    const place = (inv: Invalidation) => this.#translations.ranges.place(inv, set, hi, lo, extent, device);
    const owner = ownerOf(set, device);
    const covered = () => this.#issued.some(owner, place, filled);
    if (covered()) return null;
    return {
      ...source,
      secondStage: second,
      invalidationPending: this.#pending.coverTranslation(set, device, filled, place),
      behindStop: this.#pending.translationIsBehindStop(set, device, filled, place, source.change),
      valid: () => filled > this.#unknownUntil && !covered(),
    };
  }
}
