import type { WalkRequest } from "../../../walkers/request.ts";
import type { ContextVersion } from "../held/context-history.ts";
import { sameValues } from "../held/context-kinds.ts";
import type { TagSet } from "../held/tag-sets.ts";
import type { TranslationContext } from "../held/translation-context.ts";
import type { CachedIommu } from "../history/cached-iommu.ts";
import { NOW } from "../history/versioned-memory.ts";
import type { HeldState } from "./cache-question.ts";

/** What can be told of a page without a question to each entry: most often, nothing needs to be asked. */
export class NeedToAsk {
  readonly #held: HeldState;

  constructor(held: HeldState) {
    this.#held = held;
  }

  /**
   * Whether all that is cached of the page that the engine has walked last, invalidated or not, says what memory says:
   * no question needs to be asked then, of however many pages.
   */
  isAsMemory(request: WalkRequest): boolean {
    const { device, process } = this.#held.unit.engine;
    const pair = process?.tracked;
    if (device === null || !pair) return false;
    const caches = this.#held.contexts.of(request);
    for (const other of this.#held.contexts.neighbours(caches))
      if (!sameValues(other.context, device.context)) return false;
    return (
      isOnly(caches.contexts.versions, device.tracked) &&
      isOnly(caches.processes.get(request.pasid)?.history.versions ?? [], pair.process) &&
      this.#held.contexts
        .sharedPasidEntries(caches, device.context, request.pasid)
        .every(({ context }) => sameValues(context, pair.process.context)) &&
      this.#areAsMemory(pair.tags, pair, request) &&
      this.#areAsMemory(pair.globalTags, pair, request) &&
      !this.#held.structures.anySuperseded(pair, request)
    );
  }

  /** Whether the translations of a page with some tags are those that memory has through a pair of contexts. */
  #areAsMemory(set: TagSet, pair: TranslationContext, request: WalkRequest): boolean {
    const translations = this.#held.translations;
    const { addrHi: hi, addrLo: lo } = request;
    for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) {
      if (translations.earlier(set, shift, hi, lo).length > 0) return false;
      if (!translations.find(set, shift, hi, lo)) continue;
      if (translations.time < this.#held.memory.lastChange) return false;
      if (!this.#held.contexts.sameKind(translations.context, pair)) return false;
    }
    return set.groups.every((groups) => this.#areAsMemory(groups, pair, request));
  }

  /** Whether it can be told without a walk that nothing is held of a page that an invalidation is owed for. */
  holdsNothing(request: WalkRequest): boolean {
    const recent = this.#held.unit.engine.recent(request);
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
    const caches = this.#held.contexts.of(request);
    const processes = caches.processes.get(request.pasid);
    const only =
      this.#held.contexts.neighbours(caches).length === 0 &&
      isOnly(caches.contexts.versions, device.tracked) &&
      isOnly(processes?.history.versions ?? [], pair.process) &&
      processes!.pairs.length === 1 &&
      this.#held.contexts.sharedPasidEntries(caches, device.context, request.pasid).length === 0 &&
      !this.#held.structures.anySuperseded(pair, request);
    return only ? pair : null;
  }

  anyValid(set: TagSet, request: WalkRequest): boolean {
    if (this.#held.translations.anyValid(set, request.addrHi, request.addrLo, NOW)) return true;
    for (const groups of set.groups) if (this.anyValid(groups, request)) return true;
    return false;
  }
}

function isOnly(versions: readonly ContextVersion[], version: ContextVersion | null): boolean {
  return versions.length === 1 && versions[0] === version;
}
