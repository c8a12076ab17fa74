import { larger } from "../history/changed-words.ts";
import type { CachedTranslation } from "./cached-translation.ts";

/** Versions that are kept of a page. */
const MAX_VERSIONS = 16;
const FIRST_CAPACITY = 1 << 3;
const NONE = -1;
const NOTHING: readonly CachedTranslation[] = [];

/**
 * Translations of pages that others have taken the place of, in a few pieces of memory that grow with use: open addressing,
 * from a page's key (`pageKey`) to a place, and by that place up to MAX_VERSIONS of them, the oldest first. Places are taken in
 * the order of time; one whose page has gone is empty, and goes when room is needed.
 */
export class SupersededPages {
  #capacity = 0;
  /** Place + 1; 0: free. Twice as many as there are places. */
  #slots = new Int32Array(0);
  /** Places that are taken, empty ones included, and the first that may not be empty. */
  #places = 0;
  #first = 0;
  /** Pages. */
  size = 0;
  // By place.
  #keys = new Float64Array(0);
  #counts = new Uint8Array(0);
  // By place and version; a time less than zero is that of one that an invalidation has covered.
  #contexts = new Int32Array(0);
  #times = new Float64Array(0);

  /** The versions of a page, the oldest first: copies. */
  of(key: number): readonly CachedTranslation[] {
    const place = this.#find(key);
    if (place === NONE) return NOTHING;
    return Array.from({ length: this.#counts[place]! }, (_, version) =>
      this.#copy(place * MAX_VERSIONS + version),
    );
  }

  /**
   * Adds a version of a page. Of too many, one goes: the first that is not valid, or the first of all.
   * @param epoch none is valid that was filled up to this tick
   * @returns the one that went, if it was valid; null mostly
   */
  add(
    key: number,
    { context, time, invalidated }: CachedTranslation,
    epoch: number,
  ): CachedTranslation | null {
    let place = this.#find(key);
    if (place === NONE) place = this.#place(key);
    const first = place * MAX_VERSIONS;
    let gone: CachedTranslation | null = null;
    if (this.#counts[place] === MAX_VERSIONS) {
      let n = this.#firstInvalid(first, epoch);
      if (n === NONE) {
        if (invalidated || time <= epoch) return null;
        n = first;
        gone = this.#copy(n);
      }
      this.#times.copyWithin(n, n + 1, first + MAX_VERSIONS);
      this.#contexts.copyWithin(n, n + 1, first + MAX_VERSIONS);
      this.#counts[place]!--;
    }
    const n = first + this.#counts[place]!++;
    this.#contexts[n] = context;
    this.#times[n] = invalidated ? -time : time;
    return gone;
  }

  #firstInvalid(first: number, epoch: number): number {
    for (let n = first; n < first + MAX_VERSIONS; n++) if (this.#times[n]! <= epoch) return n;
    return NONE;
  }

  /** Memory gives a version again. */
  fill(key: number, { context, time }: CachedTranslation, now: number): void {
    const place = this.#find(key);
    if (place === NONE) return;
    const first = place * MAX_VERSIONS;
    for (let n = first; n < first + this.#counts[place]!; n++)
      if (this.#times[n] === time && this.#contexts[n] === context) this.#times[n] = now;
  }

  /**
   * Invalidates versions of a page that pass a test.
   * @returns how many were valid before
   */
  invalidate(key: number, epoch: number, covers: (time: number) => boolean): number {
    const place = this.#find(key);
    return place === NONE ? 0 : this.#invalidate(place, epoch, covers);
  }

  #invalidate(place: number, epoch: number, covers: (time: number) => boolean): number {
    let lost = 0;
    const first = place * MAX_VERSIONS;
    for (let n = first; n < first + this.#counts[place]!; n++) {
      const time = this.#times[n]!;
      if (time <= epoch || !covers(time)) continue;
      this.#times[n] = -time;
      lost++;
    }
    return lost;
  }

  /** As `invalidate`, of all pages. */
  invalidateAll(epoch: number, covers: (key: number, time: number) => boolean): number {
    let lost = 0;
    for (let place = this.#first; place < this.#places; place++) {
      const key = this.#keys[place]!;
      lost += this.#invalidate(place, epoch, (time) => covers(key, time));
    }
    return lost;
  }

  /** Forgets the page that is here for longest. @returns how many of its versions were valid */
  forgetOldest(epoch: number): number {
    while (this.#counts[this.#first] === 0) this.#first++;
    const lost = this.#invalidate(this.#first, epoch, () => true);
    this.#counts[this.#first++] = 0;
    this.size--;
    return lost;
  }

  clear(): void {
    this.#slots.fill(0);
    this.#places = 0;
    this.#first = 0;
    this.size = 0;
  }

  #copy(n: number): CachedTranslation {
    const time = this.#times[n]!;
    return { context: this.#contexts[n]!, time: Math.abs(time), invalidated: time < 0 };
  }

  #find(key: number): number {
    if (this.size === 0) return NONE;
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = hashOf(key) & mask; ; slot = (slot + 1) & mask) {
      const place = slots[slot]! - 1;
      if (place < 0) return NONE;
      if (this.#keys[place] === key && this.#counts[place] !== 0) return place;
    }
  }

  /** A place for a page that has none. */
  #place(key: number): number {
    if (this.#places === this.#capacity) this.#makeRoom();
    const place = this.#places++;
    this.#keys[place] = key;
    this.#counts[place] = 0;
    this.size++;
    this.#insert(place);
    return place;
  }

  #insert(place: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hashOf(this.#keys[place]!) & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = place + 1;
  }

  /** Empty places go; where they are few, there are to be twice as many. */
  #makeRoom(): void {
    if (2 * this.size >= this.#capacity) this.#grow();
    let to = 0;
    for (let place = this.#first; place < this.#places; place++) {
      if (this.#counts[place] === 0) continue;
      if (to !== place) this.#move(place, to);
      to++;
    }
    this.#first = 0;
    this.#places = to;
    this.#slots.fill(0);
    for (let place = 0; place < to; place++) this.#insert(place);
  }

  #move(place: number, to: number): void {
    const from = place * MAX_VERSIONS;
    const end = from + MAX_VERSIONS;
    this.#keys[to] = this.#keys[place]!;
    this.#counts[to] = this.#counts[place]!;
    this.#contexts.copyWithin(to * MAX_VERSIONS, from, end);
    this.#times.copyWithin(to * MAX_VERSIONS, from, end);
  }

  #grow(): void {
    const capacity = Math.max(2 * this.#capacity, FIRST_CAPACITY);
    this.#keys = larger(this.#keys, new Float64Array(capacity));
    this.#counts = larger(this.#counts, new Uint8Array(capacity));
    this.#contexts = larger(this.#contexts, new Int32Array(capacity * MAX_VERSIONS));
    this.#times = larger(this.#times, new Float64Array(capacity * MAX_VERSIONS));
    this.#slots = new Int32Array(2 * capacity);
    this.#capacity = capacity;
  }
}

/** Of a key, the lowest bit says the size of the page: what differs is above it. */
function hashOf(key: number): number {
  const hash = Math.imul(key | 0, 0x9e37_79b1) ^ Math.imul((key / 2 ** 32) | 0, 0x85eb_ca6b);
  return hash ^ (hash >>> 15);
}
