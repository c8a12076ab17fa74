import type { WalkRequest } from "../../../walkers/request.ts";
import type { PagingStructures } from "../filling/paging-structures.ts";
import type { ContextVersion } from "../held/context-history.ts";
import { sameValues } from "../held/context-kinds.ts";
import type { Contexts, TranslationContext } from "../held/contexts.ts";
import type { TagSet } from "../held/tag-sets.ts";
import type { Translations } from "../held/translations.ts";
import type { CachedIommu } from "../history/cached-iommu.ts";
import { NOW, type VersionedMemory } from "../history/versioned-memory.ts";

/** What can be told of a page without a question to each entry: most often, nothing needs to be asked. */
export class NeedToAsk {
  readonly #unit: CachedIommu;
  readonly #memory: VersionedMemory;
  readonly #contexts: Contexts;
  readonly #translations: Translations;
  readonly #structures: PagingStructures;

  constructor(
    unit: CachedIommu,
    memory: VersionedMemory,
    contexts: Contexts,
    translations: Translations,
    structures: PagingStructures,
  ) {
    this.#unit = unit;
    this.#memory = memory;
    this.#contexts = contexts;
    this.#translations = translations;
    this.#structures = structures;
  }

  /**
   * Whether all that is cached of the page that the engine has walked last, invalidated or not, says what memory says:
   * no question needs to be asked then, of however many pages.
   */
  isAsMemory(request: WalkRequest): boolean {
    const { device, process } = this.#unit.engine;
    const pair = process?.tracked;
    if (device === null || !pair) return false;
    const caches = this.#contexts.of(request);
    for (const other of this.#contexts.neighbours(caches))
      if (!sameValues(other.context, device.context)) return false;
    return (
      isOnly(caches.contexts.versions, device.tracked) &&
      isOnly(caches.processes.get(request.pasid)?.history.versions ?? [], pair.process) &&
      this.#contexts
        .sharedPasidEntries(caches, device.context, request.pasid)
        .every(({ context }) => sameValues(context, pair.process.context)) &&
      this.#areAsMemory(pair.tags, pair, request) &&
      this.#areAsMemory(pair.globalTags, pair, request) &&
      !this.#structures.anySuperseded(pair, request)
    );
  }

  /** Whether the translations of a page with some tags are those that memory has through a pair of contexts. */
  #areAsMemory(set: TagSet, pair: TranslationContext, request: WalkRequest): boolean {
    const translations = this.#translations;
    const { addrHi: hi, addrLo: lo } = request;
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      if (translations.earlier(set, shift, hi, lo).length > 0) return false;
      if (!translations.find(set, shift, hi, lo)) continue;
      if (translations.time < this.#memory.lastChange) return false;
      if (!this.#contexts.sameKind(translations.context, pair)) return false;
    }
    return set.groups.every((groups) => this.#areAsMemory(groups, pair, request));
  }

  /** Whether it can be told without a walk that nothing is held of a page that an invalidation is owed for. */
  holdsNothing(request: WalkRequest): boolean {
    const recent = this.#unit.engine.recent(request);
    const pair = recent === null ? null : this.onlyPair(request, recent.device, recent.process);
    return pair !== null && !this.anyValid(pair.tags, request) && !this.anyValid(pair.globalTags, request);
  }

  /**
   * The contexts of a request, where only what they have translated can be held that an invalidation is owed for: there is
   * no other context, and no table entry that another has taken the place of. Null: there may be.
   * @param device where memory has them
   */
  onlyPair(
    request: WalkRequest,
    device: CachedIommu["engine"]["device"],
    process: CachedIommu["engine"]["process"],
  ): TranslationContext | null {
    const pair = process?.tracked;
    if (device === null || !pair || pair.gone) return null;
    const caches = this.#contexts.of(request);
    const processes = caches.processes.get(request.pasid);
    const only =
      this.#contexts.neighbours(caches).length === 0 &&
      isOnly(caches.contexts.versions, device.tracked) &&
      isOnly(processes?.history.versions ?? [], pair.process) &&
      processes!.pairs.length === 1 &&
      this.#contexts.sharedPasidEntries(caches, device.context, request.pasid).length === 0 &&
      !this.#structures.anySuperseded(pair, request);
    return only ? pair : null;
  }

  anyValid(set: TagSet, request: WalkRequest): boolean {
    if (this.#translations.anyValid(set, request.addrHi, request.addrLo, NOW)) return true;
    for (const groups of set.groups) if (this.anyValid(groups, request)) return true;
    return false;
  }
}

function isOnly(versions: readonly ContextVersion[], version: ContextVersion | null): boolean {
  return versions.length === 1 && versions[0] === version;
}
