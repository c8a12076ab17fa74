import type { ContextTag } from "../../../walkers/caching.ts";
import { ANY, type Invalidation } from "../../../walkers/invalidation.ts";
import { type ContextHistory, isValid } from "./context-history.ts";

/** A map of sets, of which none is empty. */
type Index = Map<number, Set<ContextHistory>>;
type Covers = (inv: Invalidation, tag: ContextTag) => boolean;

const NONE_HELD: Set<ContextHistory> = new Set();

/**
 * Histories that have a version which may be valid, by what an invalidation may name of it. All others have nothing that
 * one could drop: so the work of all invalidations together grows with what was filled, and not with the two multiplied.
 */
export class HeldHistories {
  readonly #all = new Set<ContextHistory>();
  /** By domain (ANY: none, which an invalidation of any domain may cover), and by PASID. */
  readonly #byDomain: Index = new Map();
  readonly #byPasid: Index = new Map();
  readonly #ofPasids: boolean;

  /** @param ofPasids they are of PASID entries, of which an invalidation may name one */
  constructor(ofPasids: boolean) {
    this.#ofPasids = ofPasids;
  }

  /** A version of a history is valid from now on. */
  hold(history: ContextHistory, { domain, pasid }: ContextTag): void {
    this.#all.add(history);
    enter(this.#byDomain, Math.max(domain, ANY), history);
    if (this.#ofPasids) enter(this.#byPasid, pasid, history);
  }

  /** A history is no longer kept at all. */
  forget(history: ContextHistory): void {
    this.#all.delete(history);
    for (const { tag } of history.versions) {
      leave(this.#byDomain, Math.max(tag.domain, ANY), history);
      leave(this.#byPasid, tag.pasid, history);
    }
  }

  /**
   * An invalidation that names no single device takes effect.
   * @param issued when it was issued: what was filled later stays
   * @returns how many versions it dropped
   */
  invalidate(inv: Invalidation, issued: number, covers: Covers): number {
    let dropped = 0;
    for (const histories of this.#candidates(inv))
      for (const history of [...histories]) {
        dropped += history.invalidate(inv, issued, covers);
        if (history.versions.some(isValid)) continue;
        this.forget(history);
        // By what a version had that is not kept any more.
        histories.delete(history);
      }
    return dropped;
  }

  #candidates({ domain, domainMask, pasid }: Invalidation): Set<ContextHistory>[] {
    if (this.#ofPasids && pasid >= 0) return [this.#byPasid.get(pasid) ?? NONE_HELD];
    if (domain < 0 || domainMask !== 0) return [this.#all];
    return [this.#byDomain.get(domain) ?? NONE_HELD, this.#byDomain.get(ANY) ?? NONE_HELD];
  }
}

function enter(index: Index, key: number, history: ContextHistory): void {
  const histories = index.get(key);
  if (histories === undefined) index.set(key, new Set([history]));
  else histories.add(history);
}

function leave(index: Index, key: number, history: ContextHistory): void {
  const histories = index.get(key);
  if (histories?.delete(history) && histories.size === 0) index.delete(key);
}
