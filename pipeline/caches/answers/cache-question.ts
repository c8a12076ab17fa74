import type { WalkRequest } from "../../../walkers/request.ts";
import type { WalkResult } from "../../../walkers/result.ts";
import type { PagingStructures } from "../filling/paging-structures.ts";
import type { Contexts } from "../held/contexts.ts";
import type { TagSet } from "../held/tag-sets.ts";
import type { Translations } from "../held/translations.ts";
import type { CachedIommu } from "../history/cached-iommu.ts";
import type { PastWalks } from "../history/past-walks.ts";
import type { RootChanges } from "../history/root-changes.ts";
import { mayBeHeld, type StaleSource } from "../history/stale-source.ts";
import type { VersionedMemory } from "../history/versioned-memory.ts";
import type { PendingInvalidations } from "../invalidations/pending.ts";

/** Which entries may explain an answer. */
export type Scope =
  /** Those that nothing has invalidated, nor is about to: whoever changed what is behind them owes an invalidation. */
  | "uninvalidated"
  /** Those that nothing has invalidated: an invalidation may have been issued, and not completed. */
  | "valid"
  /** Those too that an invalidation has covered and that may be held all the same (`mayBeHeld`). */
  | "spared"
  /** Those too that an invalidation has covered. */
  | "invalidated";

/** Whether what an invalidation has covered is looked at. */
export const looksBehind = (scope: Scope): boolean => scope === "invalidated" || scope === "spared";

/** Whether a walk's result is the answer that is to be explained. */
export type Accept = (walk: WalkResult) => boolean;

/** All that answers of one IOMMU may come from. */
export interface HeldState {
  readonly unit: CachedIommu;
  readonly memory: VersionedMemory;
  readonly contexts: Contexts;
  readonly translations: Translations;
  readonly structures: PagingStructures;
  readonly past: PastWalks;
  readonly pending: PendingInvalidations;
  readonly roots: RootChanges;
}

/** What is asked of the caches of one IOMMU: which entries give an answer to a request. One is reused for every request. */
export class CacheQuestion {
  request!: WalkRequest;
  scope: Scope = "valid";
  accept!: Accept;
  /** Of the invalidations that are pending, those count that were issued by this tick. */
  asOf = Number.POSITIVE_INFINITY;
  /** Tags whose translations have been looked through. */
  readonly asked = new Set<TagSet>();
  /** What was found last; null: nothing. */
  staleSource: StaleSource | null = null;
  #all: StaleSource[] | null = null;

  begin(request: WalkRequest, scope: Scope, accept: Accept): void {
    this.request = request;
    this.scope = scope;
    this.accept = accept;
    this.asked.clear();
    this.staleSource = null;
  }

  /** All that are found from here on, instead of the first one alone. */
  beginAll(asOf: number): StaleSource[] {
    this.#all = [];
    this.asOf = asOf;
    return this.#all;
  }

  endAll(): void {
    this.#all = null;
    this.asOf = Number.POSITIVE_INFINITY;
  }

  /** Something gives the answer. @returns whether that is enough */
  found(staleSource: StaleSource): boolean {
    if (this.scope === "spared" && !mayBeHeld(staleSource)) return false;
    this.staleSource = staleSource;
    this.#all?.push(staleSource);
    return this.#all === null;
  }

  /** Whether tags have not been looked through yet; they have from now on. */
  isNew(set: TagSet): boolean {
    if (this.asked.has(set)) return false;
    this.asked.add(set);
    return true;
  }
}
