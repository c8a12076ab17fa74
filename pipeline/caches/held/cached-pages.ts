import type { MemoryBudget } from "./memory-budget.ts";

/** Bytes of one slot: tag, page in two halves, context, time, answer. */
export const SLOT_BYTES = 4 * 4 + 2 * 8;
/** As soon as there is an entry. */
const FIRST_CAPACITY = 1 << 4;
/** What each table may have whatever the others have taken. */
const GRANTED_CAPACITY = 1 << 10;
/** Full at 3/4: linear probing stays short. */
const fullAt = (capacity: number) => (3 * capacity) >> 2;

/**
 * Cached translations by tag and page, in one piece of memory: open addressing, one slot of 32 bytes per page, which
 * lies in one or two lines of the processor's cache. Bounded: a full half becomes the old one and the old one before it
 * goes, so what has not been used for longest is forgotten first.
 */
export class CachedPages {
  #young: Half;
  #old: Half | null = null;
  readonly #budget: MemoryBudget;
  /** Entries forgotten because there was no more room. */
  evicted = 0;
  /** How often the half in use has become the old one: what is not entered again before the next time goes. */
  rotations = 0;

  readonly #evicting: (tag: number, time: number) => void;

  /**
   * @param budget what all tables may take; a small one of each is always granted
   * @param evicting told about every entry that goes for want of room
   */
  constructor(budget: MemoryBudget, evicting: (tag: number, time: number) => void = () => {}) {
    this.#budget = budget;
    this.#evicting = evicting;
    this.#young = NONE;
  }

  get size(): number {
    return this.#young.size + (this.#old?.size ?? 0);
  }

  get bytes(): number {
    return this.#young === NONE ? 0 : (this.#young.capacity + (this.#old?.capacity ?? 0)) * SLOT_BYTES;
  }

  /** After `find`: the entry's context, time and answer. */
  context = 0;
  time = 0;
  answer = Number.NaN;

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
    this.context = half.contextAt(slot);
    this.time = half.timeAt(slot);
    this.answer = half.answerAt(slot);
    return true;
  }

  /**
   * Enters a page, or overwrites what is known of it.
   * @param answer whatever number says what it leads to; NaN: none does
   * @returns the time that it had; 0 where it was not known
   */
  set(tag: number, hi: number, lo: number, context: number, time: number, answer = Number.NaN): number {
    const slot = this.#young.find(tag, hi, lo);
    if (slot >= 0) {
      const before = this.#young.timeAt(slot);
      this.#young.overwrite(slot, context, time, answer);
      return before;
    }
    if (this.#young.used >= fullAt(this.#young.capacity)) this.#grow();
    this.#young.insert(tag, hi, lo, context, time, answer);
    return this.#old?.remove(tag, hi, lo) ?? 0;
  }

  /** @returns the time that the page had; 0 where it was not known */
  remove(tag: number, hi: number, lo: number): number {
    return this.#young.remove(tag, hi, lo) || (this.#old?.remove(tag, hi, lo) ?? 0);
  }

  clear(): void {
    this.#budget.give(this.bytes);
    this.#old = null;
    this.#young = NONE;
  }

  #newHalf(capacity: number): Half {
    this.#budget.take(capacity * SLOT_BYTES);
    return new Half(capacity);
  }

  /** Calls `visit` for every entry; `visit` may not change the table. */
  forEach(visit: Visit): void {
    this.#young.forEach(visit);
    this.#old?.forEach(visit);
  }

  #grow(): void {
    const full = this.#young;
    if (full === NONE) {
      this.#young = this.#newHalf(FIRST_CAPACITY);
      return;
    }
    const bytes = full.capacity * SLOT_BYTES;
    // Where most slots are of removed entries, the same capacity does.
    const sparse = full.size < full.capacity / 3;
    // A table of twice the size must one day find room for a second one of that size.
    if (sparse || full.capacity < GRANTED_CAPACITY || this.#budget.free >= 3 * bytes) {
      const fresh = this.#newHalf(sparse ? full.capacity : full.capacity * 2);
      full.forEach((tag, hi, lo, context, time, answer) => {
        fresh.insert(tag, hi, lo, context, time, answer);
      });
      this.#budget.give(bytes);
      this.#young = fresh;
      return;
    }
    const old = this.#old;
    if (old !== null) {
      this.evicted += old.size;
      old.forEach((tag, _hi, _lo, _context, time) => {
        this.#evicting(tag, time);
      });
      this.#budget.give(old.capacity * SLOT_BYTES);
    }
    this.#old = full;
    this.rotations++;
    // Others may have taken what was free: then the new half begins small, and goes when it is full.
    this.#young = this.#newHalf(this.#budget.free >= bytes ? full.capacity : GRANTED_CAPACITY);
  }
}

/** Tag of a free slot, and of one whose entry was removed (probing goes on past it). */
const FREE = 0;
const REMOVED = -1;

// A slot as numbers of 4 bytes, and its last 16 as two of 8.
const INTS = SLOT_BYTES / 4;
const HI = 1;
const LO = 2;
const CONTEXT = 3;
const DOUBLES = SLOT_BYTES / 8;
const TIME = 2;
const ANSWER = 3;

type Visit = (tag: number, hi: number, lo: number, context: number, time: number, answer: number) => void;

class Half {
  readonly capacity: number;
  readonly #ints: Int32Array;
  readonly #doubles: Float64Array;
  /** Slots that are not free, removed ones included. */
  used = 0;
  size = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    const bytes = new ArrayBuffer(capacity * SLOT_BYTES);
    this.#ints = new Int32Array(bytes);
    this.#doubles = new Float64Array(bytes);
  }

  contextAt(slot: number): number {
    return this.#ints[slot * INTS + CONTEXT]!;
  }

  timeAt(slot: number): number {
    return this.#doubles[slot * DOUBLES + TIME]!;
  }

  answerAt(slot: number): number {
    return this.#doubles[slot * DOUBLES + ANSWER]!;
  }

  overwrite(slot: number, context: number, time: number, answer: number): void {
    this.#ints[slot * INTS + CONTEXT] = context;
    this.#doubles[slot * DOUBLES + TIME] = time;
    this.#doubles[slot * DOUBLES + ANSWER] = answer;
  }

  find(tag: number, hi: number, lo: number): number {
    const ints = this.#ints;
    const mask = this.capacity - 1;
    for (let slot = hash(tag, hi, lo) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * INTS;
      const t = ints[at]!;
      if (t === FREE) return -1;
      if (t === tag && ints[at + LO] === lo && ints[at + HI] === hi) return slot;
    }
  }

  insert(tag: number, hi: number, lo: number, context: number, time: number, answer: number): void {
    const ints = this.#ints;
    const mask = this.capacity - 1;
    let slot = hash(tag, hi, lo) & mask;
    while (ints[slot * INTS]! > FREE) slot = (slot + 1) & mask;
    const at = slot * INTS;
    if (ints[at] === FREE) this.used++;
    ints[at] = tag;
    ints[at + HI] = hi;
    ints[at + LO] = lo;
    this.overwrite(slot, context, time, answer);
    this.size++;
  }

  /** @returns the time that the page had; 0 where it is not here */
  remove(tag: number, hi: number, lo: number): number {
    const slot = this.find(tag, hi, lo);
    if (slot < 0) return 0;
    this.#ints[slot * INTS] = REMOVED;
    this.size--;
    return this.timeAt(slot);
  }

  forEach(visit: Visit): void {
    const ints = this.#ints;
    for (let slot = 0; slot < this.capacity; slot++) {
      const at = slot * INTS;
      const tag = ints[at]!;
      if (tag > FREE)
        visit(
          tag,
          ints[at + HI]!,
          ints[at + LO]!,
          ints[at + CONTEXT]!,
          this.timeAt(slot),
          this.answerAt(slot),
        );
    }
  }
}

/** Of every table that has no entry yet: most IOMMUs of a trace with very many cache nothing. It is full. */
const NONE = new Half(1);

/** log2 of how many neighbouring pages have neighbouring slots: requests come in runs of them. */
const RUN_BITS = 2;
const RUN_MASK = (1 << RUN_BITS) - 1;
/** The low half's bits that say the page's size, as log2. */
const SIZE_MASK = 63;

function hash(tag: number, hi: number, lo: number): number {
  const size = lo & SIZE_MASK;
  const page = lo >>> size;
  let h =
    Math.imul((page >>> RUN_BITS) ^ (size << 20), 0x9e37_79b1) ^
    Math.imul(hi, 0x85eb_ca6b) ^
    Math.imul(tag, 0xc2b2_ae35);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b_3c6d) ^ (h >>> 12);
  return (h & ~RUN_MASK) | (page & RUN_MASK);
}
