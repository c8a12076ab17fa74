import { GLOBAL_SPACE, type TranslationTag } from "../../../walkers/caching.ts";
import { ANY, type Invalidation, NONE } from "../../../walkers/invalidation.ts";
import { type CoveredPlace, pagesOf, reaches } from "./coverage.ts";
import { IssuedRanges } from "./issued-ranges.ts";

/** As many are looked at one by one: most often there are no more. */
const FEW = 16;

/** Where an invalidation is to reach in order to cover what is asked for. */
type PlaceFor = (inv: Invalidation) => CoveredPlace;

/** Who an entry is of; ANY where no invalidation is told apart by that. */
export interface Owner {
  readonly domain: number;
  readonly space: number;
  readonly device: number;
}

export const ANYBODY: Owner = { domain: ANY, space: ANY, device: ANY };

/** Invalidations that differ in nothing but their pages. */
interface Alike {
  /** One of them. */
  readonly inv: Invalidation;
  readonly ranges: IssuedRanges;
}

/** Those that are not few: by what they say, and by whose entries they may be about. */
interface Sorted {
  readonly alike: Map<string, Alike>;
  readonly byOwner: Map<string, Alike[]>;
}

interface Issued {
  readonly inv: Invalidation;
  readonly issued: number;
}

/**
 * Invalidations, to be asked whether any of them that was issued within some time covers an entry: few are looked at one by
 * one; of many, those that differ in their pages alone are one.
 */
export class IssuedInvalidations {
  readonly #ownersOf: (inv: Invalidation) => readonly Owner[];
  readonly #few: Issued[] = [];
  /** Null until there have been many: most of a trace with very many IOMMUs never have. */
  #sorted: Sorted | null = null;
  /** How many of those that are here are not in `#few`. */
  #many = 0;
  /** How many there have been. */
  #added = 0;
  /** Latest tick at which one was issued. */
  #latest = 0;

  /** @param ownersOf whose entries an invalidation may be about; ANY: anybody's */
  constructor(ownersOf: (inv: Invalidation) => readonly Owner[]) {
    this.#ownersOf = ownersOf;
  }

  get size(): number {
    return this.#many + this.#few.length;
  }

  /** How many have been added so far, those that are no longer here included. */
  get added(): number {
    return this.#added;
  }

  get latest(): number {
    return this.#latest;
  }

  /** The one that was added last. */
  last: Invalidation | null = null;

  /** @param inv kept as it is */
  add(inv: Invalidation, issued: number): void {
    this.#added++;
    this.last = inv;
    this.#latest = Math.max(this.#latest, issued);
    this.#few.push({ inv, issued });
    if (this.#few.length <= FEW) return;
    for (const one of this.#few) this.#sort(one);
    this.#few.length = 0;
  }

  clear(): void {
    this.#few.length = 0;
    this.#many = 0;
    this.#sorted = null;
  }

  /**
   * Whether one covers an entry, of those that were issued from a tick on and up to another.
   * @param owner whose it is
   * @param place depends on nothing but what alike ones have in common
   * @param after of this many that were added first it is known that none does
   */
  some(owner: Owner, place: PlaceFor, since: number, until = Number.POSITIVE_INFINITY, after = 0): boolean {
    const known = this.#few.length - (this.#added - after);
    for (let i = Math.max(known, 0); i < this.#few.length; i++) {
      const { inv, issued } = this.#few[i]!;
      if (issued >= since && issued <= until && reaches(inv, place(inv))) return true;
    }
    if (this.#sorted === null || known >= 0) return false;
    for (const key of keysOf(owner))
      for (const { inv, ranges } of this.#sorted.byOwner.get(key) ?? []) {
        const { first, last } = place(inv);
        if (first <= last && ranges.some(first, last, since, until)) return true;
      }
    return false;
  }

  /**
   * Those that pass a test, which does not ask for their pages; of too many, the latest.
   * @returns them, and the tick up to which others were left out; 0: none was
   */
  latestOf(test: (inv: Invalidation) => boolean, most: number): { kept: readonly Issued[]; left: number } {
    const kept = this.#few.filter(({ inv }) => test(inv));
    for (const { inv, ranges } of this.#sorted?.alike.values() ?? [])
      if (test(inv))
        ranges.forEach((first, last, issued) => {
          kept.push({ inv: inv.ofPages(first, last), issued });
        });
    kept.sort((a, b) => a.issued - b.issued);
    const left = kept.length - most;
    return left <= 0 ? { kept, left: 0 } : { kept: kept.slice(left), left: kept[left - 1]!.issued };
  }

  #sort({ inv, issued }: Issued): void {
    this.#many++;
    this.#sorted ??= { alike: new Map(), byOwner: new Map() };
    const sorted = this.#sorted;
    const key = keyOf(inv);
    let alike = sorted.alike.get(key);
    if (alike === undefined) {
      alike = { inv, ranges: new IssuedRanges() };
      sorted.alike.set(key, alike);
      for (const owner of this.#ownersOf(inv)) {
        const name = nameOf(owner.domain, owner.space, owner.device);
        const others = sorted.byOwner.get(name);
        if (others === undefined) sorted.byOwner.set(name, [alike]);
        else others.push(alike);
      }
    }
    const { first, last } = pagesOf(inv);
    alike.ranges.add(first, last, issued);
  }
}

export function domainOf({ domain, domainMask }: Invalidation): number {
  return domainMask === 0 ? domain : ANY;
}

export function deviceOf({ anyDevice, device, deviceMask }: Invalidation): number {
  return anyDevice || deviceMask !== 0 ? ANY : device;
}

/** What translations with some tags, made for a device, are found by. */
export function ownerOf({ domain, space }: TranslationTag, device: number): Owner {
  return { domain: domain < 0 ? NONE : domain, space, device };
}

/** An address space, which that of global translations may be beside; of those without, whatever space there is. */
export function translationOwners(inv: Invalidation): Owner[] {
  const named = inv.asid !== ANY ? inv.asid : inv.pasid;
  const owner = { domain: domainOf(inv), space: named === NONE ? ANY : named, device: deviceOf(inv) };
  return owner.space !== ANY && inv.global ? [owner, { ...owner, space: GLOBAL_SPACE }] : [owner];
}

function nameOf(domain: number, space: number, device: number): string {
  return `${domain}:${space}:${device}`;
}

/** What an entry's owner is found by: each of the three, or whoever. */
function keysOf({ domain, space, device }: Owner): Set<string> {
  const keys = new Set<string>();
  for (const a of [domain, ANY])
    for (const b of [space, ANY]) for (const c of [device, ANY]) keys.add(nameOf(a, b, c));
  return keys;
}

/** All that an invalidation says but for its pages. */
function keyOf(inv: Invalidation): string {
  const { anyDevice, global, hasAddress, inPieces, leafOnly } = inv;
  const flags =
    Number(anyDevice) +
    2 * Number(global) +
    4 * Number(hasAddress) +
    8 * Number(inPieces) +
    16 * Number(leafOnly);
  const who = `${inv.domain}:${inv.domainMask}:${inv.asid}:${inv.pasid}:${inv.device}:${inv.deviceMask}:${inv.regime}`;
  return `${flags}:${who}:${inv.caches}:${inv.piecesOf}:${inv.stage}:${inv.combined}:${inv.granule}:${inv.level}`;
}
