import type { ContextVersion } from "./context-history.ts";
import type { TagSet } from "./tag-sets.ts";

/** A device context and a PASID entry that translate together, and how their translations are tagged. */
export interface TranslationContext {
  readonly id: number;
  /** Pairs of one kind decode alike (`ContextKinds`). */
  readonly kind: number;
  readonly deviceId: number;
  readonly device: ContextVersion;
  readonly process: ContextVersion;
  readonly tags: TagSet;
  readonly globalTags: TagSet;
  /** Tick of the last request that may have been translated through the pair while memory gave another; 0: none. */
  staleUse: number;
  /** Forgotten for want of memory. */
  gone: boolean;
}
