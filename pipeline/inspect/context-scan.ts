import type { WalkResult } from "../../walkers/result.ts";
import type { Budget } from "./budget.ts";
import type { ReadTrail } from "./read-trail.ts";

/**
 * Goes through ids (of devices, or PASIDs of one device) in ascending order, asking the walker for the context of each,
 * and steps over as many ids at once as the entry stands for at which it gave up.
 */
export class ContextScan {
  /** Id of the last `next`. */
  id = -1;
  readonly #limit: number;
  /** log2 of the ids that an entry of the n-th structure on the way stands for. */
  readonly #steps: readonly number[];
  readonly #load: (id: number) => boolean;
  readonly #out: WalkResult;
  readonly #trail: ReadTrail;
  readonly #budget: Budget;
  #next = 0;

  /** @param load loads the context of an id; where it fails, `out` says why and `trail` how far it got */
  constructor(
    limit: number,
    steps: readonly number[],
    load: (id: number) => boolean,
    out: WalkResult,
    trail: ReadTrail,
    budget: Budget,
  ) {
    this.#limit = limit;
    this.#steps = steps;
    this.#load = load;
    this.#out = out;
    this.#trail = trail;
    this.#budget = budget;
  }

  /**
   * Looks at up to `ids` entries for a context, or for a fault that is worth a word.
   *
   * @param absent whether a fault only says that there is no context
   * @returns whether `id` is one whose context is loaded (true) or at fault (false); null where neither was met
   */
  next(ids: number, absent: (out: WalkResult) => boolean): boolean | null {
    for (let looked = 0; looked < ids && !this.done; looked++) {
      const id = this.#next;
      this.id = id;
      this.#budget.left--;
      if (this.#load(id)) {
        this.#next = id + 1;
        return true;
      }
      const step = 2 ** this.#failedStep();
      this.#next = (Math.floor(id / step) + 1) * step;
      if (!absent(this.#out)) return false;
    }
    return null;
  }

  /** All ids have been looked at, or the budget is spent. */
  get done(): boolean {
    return this.#next >= this.#limit || this.#budget.left <= 0;
  }

  /** Last id of those that share what the last `next` found. */
  get last(): number {
    return Math.min(this.#next, this.#limit) - 1;
  }

  /** First id not looked at. */
  get position(): number {
    return this.#next;
  }

  /** log2 of the ids that share the structure at which loading failed: the last one read, or the one after it. */
  #failedStep(): number {
    const out = this.#out;
    const unread = out.stage === 2 || (!out.entryKnown && !out.hole);
    const depth = unread ? this.#trail.structures : this.#trail.structures - 1;
    return this.#steps[depth] ?? 0;
  }
}
