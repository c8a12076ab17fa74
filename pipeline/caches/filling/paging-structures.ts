import { type Caching, NO_TAG, SECOND } from "../../../walkers/caching.ts";
import type { Invalidation } from "../../../walkers/invalidation.ts";
import { LevelSizes } from "../../../walkers/page-tables/level-sizes.ts";
import type { WalkRequest } from "../../../walkers/request.ts";
import { OK, type WalkResult } from "../../../walkers/result.ts";
import type { CachedTranslation } from "../held/cached-translation.ts";
import type { Contexts } from "../held/contexts.ts";
import type { CacheBudgets } from "../held/memory-budget.ts";
import type { TagSet } from "../held/tag-sets.ts";
import type { TranslationContext } from "../held/translation-context.ts";
import { Translations } from "../held/translations.ts";
import { type PastWalks, type Path, sameEntry } from "../history/past-walks.ts";
import { NOW, type VersionedMemory } from "../history/versioned-memory.ts";
import { PAGING_STRUCTURE_ENTRIES } from "../invalidations/coverage.ts";
import { LeafTables } from "./leaf-tables.ts";

/**
 * Table entries above the last level that a cache may hold: an IOMMU may go on from one without reading those above it
 * again. Kept are the regions that such an entry maps, with when it was last used; an entry that has changed since
 * is superseded, and kept by that time. In a nested walk these are the first stage's; of the second stage's, which a cache may
 * hold as well, and of a translation that was made through a stale entry nothing is kept.
 */
export class PagingStructures {
  readonly entries: Translations;
  /** Where the entries stand that are at the last level of a walk. */
  readonly leafTables = new LeafTables();
  readonly #caching: Caching;
  readonly #memory: VersionedMemory;
  readonly #contexts: Contexts;
  readonly #past: PastWalks;
  readonly #sizes = new LevelSizes();

  constructor(
    caching: Caching,
    memory: VersionedMemory,
    contexts: Contexts,
    past: PastWalks,
    budgets: CacheBudgets,
  ) {
    this.entries = new Translations(budgets, PAGING_STRUCTURE_ENTRIES);
    this.#caching = caching;
    this.#memory = memory;
    this.#contexts = contexts;
    this.#past = past;
  }

  /** Tags of the entries behind translations with some tags. */
  setOf(translations: TagSet): TagSet {
    const known = translations.structures;
    if (known !== null) return known;
    // Those of a second stage belong to the domain, whatever its translations are tagged with besides.
    const space = translations.stages === SECOND ? NO_TAG : translations.space;
    const set = this.entries.tags.of(translations, space);
    translations.structures = set;
    return set;
  }

  /** Sizes of the regions around an address. Reused: valid until the next call. */
  sizes(pair: TranslationContext, hi: number): LevelSizes {
    return this.#caching.levelSizes(pair.device.context, pair.process.context, hi, this.#sizes);
  }

  /**
   * Notes the entries that a page-table walk went through.
   * @param since tick of the latest invalidation or completion
   * @returns whether one that has changed may still be cached
   */
  use(
    pair: TranslationContext,
    request: WalkRequest,
    walk: WalkResult,
    time: number,
    since: number,
  ): boolean {
    const { entries } = this;
    const { addrHi: hi, addrLo: lo } = request;
    const set = this.setOf(pair.tags);
    const sizes = this.sizes(pair, hi);
    const ok = walk.status === OK;
    const leaf = ok ? walk.firstShift || walk.pageShift : 0;
    const first = sizes.firstAbove(leaf);
    if (first >= sizes.count && !this.#anyBelow(set, sizes, first, request)) return false;
    const structural = this.#memory.lastStructural;
    // What was used since anything happened need not be noted again.
    if (ok && first < sizes.count && entries.find(set, sizes.shift(first), hi, lo)) {
      const { context, invalidated, time: used } = entries;
      const ours = used > structural && used > since && this.#contexts.sameKind(context, pair);
      if (ours && !invalidated) return this.#anySuperseded(set, sizes, request);
    }
    this.#note(set, sizes, first, pair, request, ok, time, since);
    return this.#anySuperseded(set, sizes, request);
  }

  #note(
    set: TagSet,
    sizes: LevelSizes,
    first: number,
    pair: TranslationContext,
    request: WalkRequest,
    ok: boolean,
    time: number,
    since: number,
  ): void {
    const { entries } = this;
    const memory = this.#memory;
    const { addrHi: hi, addrLo: lo } = request;
    let now: Path | null = null;
    // Below it, entries may be held whose place the leaf has taken, where such a table has ever changed.
    for (let step = memory.lastStructural === 0 ? first : 0; step < sizes.count; step++) {
      const shift = sizes.shift(step);
      if (!entries.find(set, shift, hi, lo)) {
        if (!ok || step < first) continue;
        now ??= this.#pathNow(pair, request, sizes, first, ok);
        if (now.has(sizes.level(step))) entries.enter(set, shift, 0, hi, lo, pair.id, time);
        continue;
      }
      const old: CachedTranslation = {
        context: entries.context,
        time: entries.time,
        invalidated: entries.invalidated,
      };
      const known =
        step >= first && old.time >= memory.lastStructural && this.#contexts.sameKind(old.context, pair);
      if (!known) {
        now ??= this.#pathNow(pair, request, sizes, first, ok);
        const before = this.#pathOf(old, request, sizes)?.get(sizes.level(step));
        const after = now.get(sizes.level(step));
        if (
          before !== undefined &&
          (after === undefined || !sameEntry(this.#caching, sizes.stage, before, after))
        )
          entries.supersede(set, shift, hi, lo, old);
        if (after === undefined) entries.remove(set, shift, hi, lo);
        else if (ok) entries.enter(set, shift, 0, hi, lo, pair.id, time);
      } else if (ok) {
        const holder = old.time > since ? old.context : pair.id;
        entries.enter(set, shift, 0, hi, lo, holder, time);
      }
    }
    // Changes of the tables that these entries stand in are changes of structure from now on.
    if (now !== null) for (const { frame } of now.values()) memory.watchTable(frame);
  }

  /** Whether an entry is held that mapped no more than the leaf does. */
  #anyBelow(set: TagSet, sizes: LevelSizes, first: number, request: WalkRequest): boolean {
    if (this.#memory.lastStructural === 0) return false;
    for (let step = 0; step < first; step++)
      if (this.entries.find(set, sizes.shift(step), request.addrHi, request.addrLo)) return true;
    return this.#anySuperseded(set, sizes, request);
  }

  /**
   * Whether entries may be, or were, held that lead elsewhere than to the page that memory has, or to parts of it.
   * @param invalidated those count, too, that are gone with all of their tags
   */
  anyUnder(
    pair: TranslationContext,
    { addrHi, addrLo }: WalkRequest,
    { pageShift, firstShift }: WalkResult,
    invalidated: boolean,
  ): boolean {
    const { entries } = this;
    const set = this.setOf(pair.tags);
    const counts = ({ time }: { readonly time: number }) => invalidated || time > set.epoch;
    const sizes = this.sizes(pair, addrHi);
    const first = sizes.firstAbove(firstShift || pageShift);
    for (let step = 0; step < sizes.count; step++) {
      const shift = sizes.shift(step);
      if (step < first && entries.find(set, shift, addrHi, addrLo) && counts(entries)) return true;
      if (entries.earlier(set, shift, addrHi, addrLo).some(counts)) return true;
    }
    return false;
  }

  #pathNow(
    pair: TranslationContext,
    request: WalkRequest,
    sizes: LevelSizes,
    first: number,
    ok: boolean,
  ): Path {
    const path = this.#path(pair, request, sizes, NOW)!;
    const { pathEnd } = this.#past;
    if (ok && pathEnd !== null && first < sizes.count)
      this.leafTables.add(request, pathEnd, sizes, first, path.get(sizes.level(first)));
    return path;
  }

  #path(pair: TranslationContext, request: WalkRequest, sizes: LevelSizes, time: number): Path | null {
    return this.#past.path(request, pair.device.context, pair.process.context, sizes.stage, time);
  }

  #pathOf(old: CachedTranslation, request: WalkRequest, sizes: LevelSizes): Path | null {
    const pair = this.#contexts.pair(old.context);
    return pair === undefined ? null : this.#path(pair, request, sizes, old.time);
  }

  /** Whether an entry on the way to an address is held, invalidated or not, that another has taken the place of. */
  anySuperseded(pair: TranslationContext, { addrHi, addrLo }: WalkRequest): boolean {
    const set = this.setOf(pair.tags);
    if (set.superseded.size === 0) return false;
    const sizes = this.sizes(pair, addrHi);
    for (let step = 0; step < sizes.count; step++)
      if (this.entries.earlier(set, sizes.shift(step), addrHi, addrLo).length > 0) return true;
    return false;
  }

  #anySuperseded(set: TagSet, sizes: LevelSizes, { addrHi, addrLo }: WalkRequest): boolean {
    if (set.superseded.size === 0) return false;
    for (let step = 0; step < sizes.count; step++)
      for (const old of this.entries.earlier(set, sizes.shift(step), addrHi, addrLo))
        if (!old.invalidated && old.time > set.epoch) return true;
    return false;
  }

  /** @returns as `Translations.invalidate` */
  invalidate(inv: Invalidation, issued: number): number {
    return this.entries.invalidate(inv, issued);
  }

  clear(): void {
    this.leafTables.clear();
    this.entries.clear();
  }

  /** Everything is forgotten, the tags too; those of the translations are with them. */
  forget(): void {
    this.entries.forget();
  }
}
