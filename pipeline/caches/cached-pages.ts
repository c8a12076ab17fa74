import type { MemoryBudget } from "./memory-budget.ts";

/** Bytes of one slot over all arrays below. */
export const SLOT_BYTES = 4 * 4 + 8;
const FIRST_CAPACITY = 1 << 10;
/** Full at 3/4: linear probing stays short. */
const fullAt = (capacity: number) => capacity - (capacity >> 2);

/**
 * Cached translations by tag and page, in typed arrays: open addressing, one slot of 24 bytes per page. Bounded:
 * a full half becomes the old one and the old one before it goes, so what has not been used for longest is
 * forgotten first.
 */
export class CachedPages {
  #young: Half;
  #old: Half | null = null;
  readonly #budget: MemoryBudget;
  /** Entries forgotten because there was no more room. */
  evicted = 0;
  /** How often the half in use has become the old one: what is not entered again before the next time goes. */
  turns = 0;

  /** @param budget what all tables may take; a small one of each is always granted */
  constructor(budget: MemoryBudget) {
    this.#budget = budget;
    this.#young = this.#newHalf(FIRST_CAPACITY);
  }

  get size(): number {
    return this.#young.size + (this.#old?.size ?? 0);
  }

  get bytes(): number {
    return (this.#young.capacity + (this.#old?.capacity ?? 0)) * SLOT_BYTES;
  }

  /** After `find`: the entry's context and time. */
  context = 0;
  time = 0;

  /**
   * Looks a page up.
   * @param tag number of a tag set
   * @param hi high half of the page's base address
   * @param lo low half with log2 of its size in the bits below 12
   */
  find(tag: number, hi: number, lo: number): boolean {
    let half = this.#young;
    let slot = half.find(tag, hi, lo);
    if (slot < 0 && this.#old !== null) {
      half = this.#old;
      slot = half.find(tag, hi, lo);
    }
    if (slot < 0) return false;
    this.context = half.contexts[slot]!;
    this.time = half.times[slot]!;
    return true;
  }

  /** Enters a page, or overwrites what is known of it. */
  set(tag: number, hi: number, lo: number, context: number, time: number): void {
    const slot = this.#young.find(tag, hi, lo);
    if (slot >= 0) {
      this.#young.contexts[slot] = context;
      this.#young.times[slot] = time;
      return;
    }
    if (this.#young.used >= fullAt(this.#young.capacity)) this.#grow();
    this.#young.insert(tag, hi, lo, context, time);
    this.#old?.remove(tag, hi, lo);
  }

  remove(tag: number, hi: number, lo: number): void {
    this.#young.remove(tag, hi, lo);
    this.#old?.remove(tag, hi, lo);
  }

  clear(): void {
    this.#budget.give(this.bytes);
    this.#old = null;
    this.#young = this.#newHalf(FIRST_CAPACITY);
  }

  #newHalf(capacity: number): Half {
    this.#budget.take(capacity * SLOT_BYTES);
    return new Half(capacity);
  }

  /** Calls `visit` for every entry; `visit` may not change the table. */
  forEach(visit: (tag: number, hi: number, lo: number, context: number, time: number) => void): void {
    this.#young.forEach(visit);
    this.#old?.forEach(visit);
  }

  #grow(): void {
    const full = this.#young;
    const bytes = full.capacity * SLOT_BYTES;
    // Where most slots are of removed entries, the same capacity does.
    const sparse = full.size < full.capacity / 3;
    // A table of twice the size must one day find room for a second one of that size.
    if (sparse || this.#budget.free >= 3 * bytes) {
      const fresh = this.#newHalf(sparse ? full.capacity : full.capacity * 2);
      full.forEach((tag, hi, lo, context, time) => {
        fresh.insert(tag, hi, lo, context, time);
      });
      this.#budget.give(bytes);
      this.#young = fresh;
      return;
    }
    const old = this.#old;
    if (old !== null) {
      this.evicted += old.size;
      this.#budget.give(old.capacity * SLOT_BYTES);
    }
    this.#old = full;
    this.turns++;
    // Others may have taken what was free: then the new half begins small, and goes when it is full.
    this.#young = this.#newHalf(this.#budget.free >= bytes ? full.capacity : FIRST_CAPACITY);
  }
}

/** Tag of a free slot, and of one whose entry was removed (probing goes on past it). */
const FREE = 0;
const REMOVED = -1;

class Half {
  readonly capacity: number;
  readonly tags: Int32Array;
  readonly his: Int32Array;
  readonly los: Int32Array;
  readonly contexts: Int32Array;
  readonly times: Float64Array;
  /** Slots that are not free, removed ones included. */
  used = 0;
  size = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.tags = new Int32Array(capacity);
    this.his = new Int32Array(capacity);
    this.los = new Int32Array(capacity);
    this.contexts = new Int32Array(capacity);
    this.times = new Float64Array(capacity);
  }

  find(tag: number, hi: number, lo: number): number {
    const mask = this.capacity - 1;
    for (let slot = hash(tag, hi, lo) & mask; ; slot = (slot + 1) & mask) {
      const t = this.tags[slot]!;
      if (t === FREE) return -1;
      if (t === tag && this.los[slot] === lo && this.his[slot] === hi) return slot;
    }
  }

  insert(tag: number, hi: number, lo: number, context: number, time: number): void {
    const mask = this.capacity - 1;
    let slot = hash(tag, hi, lo) & mask;
    while (this.tags[slot]! > FREE) slot = (slot + 1) & mask;
    if (this.tags[slot] === FREE) this.used++;
    this.tags[slot] = tag;
    this.his[slot] = hi;
    this.los[slot] = lo;
    this.contexts[slot] = context;
    this.times[slot] = time;
    this.size++;
  }

  remove(tag: number, hi: number, lo: number): void {
    const slot = this.find(tag, hi, lo);
    if (slot < 0) return;
    this.tags[slot] = REMOVED;
    this.size--;
  }

  forEach(visit: (tag: number, hi: number, lo: number, context: number, time: number) => void): void {
    for (let slot = 0; slot < this.capacity; slot++) {
      const tag = this.tags[slot]!;
      if (tag > FREE) visit(tag, this.his[slot]!, this.los[slot]!, this.contexts[slot]!, this.times[slot]!);
    }
  }
}

function hash(tag: number, hi: number, lo: number): number {
  let h = Math.imul(lo ^ (lo >>> 12), 0x9e37_79b1) ^ Math.imul(hi, 0x85eb_ca6b) ^ Math.imul(tag, 0xc2b2_ae35);
  h ^= h >>> 15;
  return Math.imul(h, 0x2c1b_3c6d) ^ (h >>> 12);
}
