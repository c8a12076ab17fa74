import type { Invalidation } from "../../../walkers/invalidation.ts";

/** An invalidation that was issued and has not completed. */
export interface PendingInvalidation {
  readonly inv: Invalidation;
  readonly issued: number;
  readonly line: number;
}

/**
 * Invalidations between their issue and their completion. A recorded system that never completes any is taken to act
 * at once; whether it is one shows only at its first completion.
 */
export class PendingInvalidations {
  readonly list: PendingInvalidation[] = [];
  /** Completions so far: 0 as long as the system is not known to wait for its invalidations. */
  completions = 0;
  /** Native invalidations before the first completion: they may turn out not to have taken effect until then. */
  unconfirmed = 0;

  /** Invalidations behind a command at which the queue has stopped; null: it has not. */
  behindStop: PendingInvalidation[] | null = null;

  /** Whether one of those, issued after a tick, passes a test. */
  someBehindStop(time: number, test: (inv: Invalidation) => boolean): boolean {
    return this.behindStop?.some(({ inv, issued }) => issued >= time && test(inv)) ?? false;
  }

  /** Whether an invalidation that is pending, and was issued after a tick and up to another one, passes a test. */
  some(time: number, test: (inv: Invalidation) => boolean, until = Number.POSITIVE_INFINITY): boolean {
    const { list } = this;
    for (let i = this.#firstSince(time); i < list.length && list[i]!.issued <= until; i++)
      if (test(list[i]!.inv)) return true;
    return false;
  }

  /** They stand in the order of their issue. */
  #firstSince(time: number): number {
    let from = 0;
    let to = this.list.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.list[middle]!.issued < time) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}
