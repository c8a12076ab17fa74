import type { ContextTag, TranslationTag } from "../../../walkers/caching.ts";
import {
  ANY,
  CONTEXT_CACHE,
  DEVICE_TLB,
  type Invalidation,
  IOTLB,
  PAGING_STRUCTURES,
  PASID_CACHE,
} from "../../../walkers/invalidation.ts";
import { type CoveredPlace, coversContext, coversPasidEntry, placeWhere, reaches } from "./coverage.ts";
import {
  deviceOf,
  domainOf,
  IssuedInvalidations,
  type Owner,
  ownerOf,
  translationOwners,
} from "./issued-invalidations.ts";

/** An invalidation that was issued and has not completed. */
interface PendingInvalidation {
  readonly inv: Invalidation;
  readonly issued: number;
  readonly line: number;
}

/** A change of an entry, at a tick. */
type MissedChange = { readonly time: number } | null;

/** As domain or PASID of a context that has none: then whatever an invalidation names covers it. */
const WHATEVER = -3;

/** Invalidations in the order of their issue, and which of the entries of each cache they cover. */
class IssuedInOrder {
  readonly list: PendingInvalidation[] = [];
  readonly #translations = new IssuedInvalidations(translationOwners);
  readonly #deviceTlbs = new IssuedInvalidations((inv) => translationOwners(inv).map(ofAnyDomain));
  readonly #contexts = new IssuedInvalidations(contextsOf);
  /** How many of the list have been sorted into these: none before somebody asks. */
  #sorted = 0;

  clear(): void {
    this.list.length = 0;
    if (this.#sorted === 0) return;
    this.#sorted = 0;
    for (const index of [this.#translations, this.#deviceTlbs, this.#contexts]) index.clear();
  }

  /** @returns the first ones, which are no longer here */
  takeFirst(count: number): readonly PendingInvalidation[] {
    const first = this.list.slice(0, count);
    const rest = this.list.slice(count);
    this.clear();
    this.list.push(...rest);
    return first;
  }

  /** Whether one covers a translation that was filled at a tick. @param place where one is to reach for that */
  coverTranslation(
    tag: TranslationTag,
    device: number,
    filled: number,
    place: (inv: Invalidation) => CoveredPlace,
    until?: number,
  ): boolean {
    if (this.list.length === 0) return false;
    this.#sort();
    return this.#translations.some(ownerOf(tag, device), place, filled, until);
  }

  /** The same of one that a device keeps. */
  coverDeviceTlb(
    space: number,
    device: number,
    filled: number,
    place: (inv: Invalidation) => CoveredPlace,
  ): boolean {
    if (this.list.length === 0) return false;
    this.#sort();
    return this.#deviceTlbs.some({ domain: ANY, space, device }, place, filled);
  }

  /** The same of a device context, or of a PASID entry. */
  coverContext(tag: ContextTag, ofPasid: boolean, filled: number, until?: number): boolean {
    if (this.list.length === 0) return false;
    this.#sort();
    const domain = tag.domain < 0 ? WHATEVER : tag.domain;
    const owner = { domain, space: ofPasid ? tag.pasid : WHATEVER, device: tag.device };
    return this.#contexts.some(owner, (inv) => placeOfContext(inv, tag, ofPasid), filled, until);
  }

  #sort(): void {
    for (; this.#sorted < this.list.length; this.#sorted++) {
      const { inv, issued } = this.list[this.#sorted]!;
      if ((inv.caches & (IOTLB | PAGING_STRUCTURES)) !== 0) this.#translations.add(inv, issued);
      if ((inv.caches & DEVICE_TLB) !== 0) this.#deviceTlbs.add(inv, issued);
      if ((inv.caches & (CONTEXT_CACHE | PASID_CACHE)) !== 0) this.#contexts.add(inv, issued);
    }
  }
}

/** As many are remembered. */
const MOST_EFFECTIVE = 64;

/** The latest invalidations that have taken effect, for whoever asks whether one came after a change. */
class EffectiveInvalidations {
  readonly #invs: Invalidation[] = [];
  readonly #issued: number[] = [];
  #next = 0;
  /** How many there have been. */
  #count = 0;
  /** Tick of the latest one that had nothing to drop and is not among them. */
  latestUnseen = 0;

  /** @param inv kept as it is */
  add(inv: Invalidation, issued: number): void {
    this.#invs[this.#next] = inv;
    this.#issued[this.#next] = issued;
    this.#next = (this.#next + 1) % MOST_EFFECTIVE;
    this.#count++;
  }

  get count(): number {
    return this.#count;
  }

  /** Whether one that was issued from a tick on covers something; where it may have been and is forgotten, too. */
  mayCover(since: number, covers: (inv: Invalidation) => boolean): boolean {
    if (this.latestUnseen >= since) return true;
    if (this.#invs.length === MOST_EFFECTIVE && this.#issued[this.#next]! >= since) return true;
    return this.#invs.some((inv, n) => this.#issued[n]! >= since && covers(inv));
  }

  /** Whether one of those that took effect first covers something; where it is forgotten, not. @param first how many */
  didCover(since: number, first: number, covers: (inv: Invalidation) => boolean): boolean {
    const left = first - Math.max(this.#count - MOST_EFFECTIVE, 0);
    const oldest = this.#invs.length === MOST_EFFECTIVE ? this.#next : 0;
    for (let i = 0; i < left; i++) {
      const n = (oldest + i) % MOST_EFFECTIVE;
      if (this.#issued[n]! >= since && covers(this.#invs[n]!)) return true;
    }
    return false;
  }
}

/**
 * Invalidations between their issue and their completion. A recorded system that never completes any is taken to act
 * at once; whether it is one shows only at its first completion.
 */
export class PendingInvalidations extends IssuedInOrder {
  readonly effective = new EffectiveInvalidations();
  /** Completions so far: 0 as long as the system is not known to wait for its invalidations. */
  completions = 0;
  /** Native invalidations before the first completion: they may turn out not to have taken effect until then. */
  unconfirmed = 0;

  /** Tells whether one that has taken effect reaches a place. @param place where one is to reach */
  coveredSince(place: (inv: Invalidation) => CoveredPlace): (tick: number) => boolean {
    return (tick) => this.effective.mayCover(tick, (inv) => reaches(inv, place(inv)));
  }

  /** Invalidations behind a command at which the queue has stopped; null: it has not. */
  behindStop: IssuedInOrder | null = null;
  /** How many had taken effect before it stopped. */
  #beforeStop = 0;

  stop(): void {
    this.behindStop = new IssuedInOrder();
    this.#beforeStop = this.effective.count;
  }

  /**
   * Whether a translation that was filled at a tick is covered from behind the stop, and not by what took effect before.
   * @param change that it does not show: it may have been filled again until then; null: that is not known
   */
  translationIsBehindStop(
    tag: TranslationTag,
    device: number,
    filled: number,
    place: (inv: Invalidation) => CoveredPlace,
    change: MissedChange,
  ): boolean {
    const behind = this.behindStop?.coverTranslation(tag, device, filled, place) ?? false;
    return behind && !this.#wasCovered(change, place);
  }

  /** The same of a device context, or of a PASID entry. */
  contextIsBehindStop(tag: ContextTag, ofPasid: boolean, filled: number, change: MissedChange): boolean {
    const behind = this.behindStop?.coverContext(tag, ofPasid, filled) ?? false;
    return behind && !this.#wasCovered(change, (inv) => placeOfContext(inv, tag, ofPasid));
  }

  #wasCovered(change: MissedChange, place: (inv: Invalidation) => CoveredPlace): boolean {
    if (change === null) return false;
    return this.effective.didCover(change.time, this.#beforeStop, (inv) => reaches(inv, place(inv)));
  }
}

/** Where an invalidation is to reach in order to cover a device context, or a PASID entry: anywhere, or nowhere. */
export function placeOfContext(inv: Invalidation, tag: ContextTag, ofPasid: boolean): CoveredPlace {
  return placeWhere((ofPasid ? coversPasidEntry : coversContext)(inv, tag));
}

function ofAnyDomain(owner: Owner): Owner {
  return { ...owner, domain: ANY };
}

function contextsOf(inv: Invalidation): Owner[] {
  const device = deviceOf(inv);
  const domain = domainOf(inv);
  const space = inv.pasid;
  const owners: Owner[] = [];
  for (const a of domain === ANY ? [ANY] : [domain, WHATEVER])
    for (const b of space === ANY ? [ANY] : [space, WHATEVER]) owners.push({ domain: a, space: b, device });
  return owners;
}
