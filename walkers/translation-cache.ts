import { TABLE_MODELS } from "./models.ts";
import { WalkResult } from "./result.ts";

/** Sets of two slots, powers of two: with the first result, since a trace may declare very many IOMMUs, and at most. */
const FIRST_SETS = 1 << 4;
const MAX_SETS = 1 << 15;
const GROWTH = 8;
const WAYS = 2;

// A slot: 64 bytes, so that one is one line of the processor's cache. Words of 4 bytes:
const SLOT_WORDS = 16;
const ID = 0;
const PAGE_HI = 1;
const PAGE_LO = 2;
const BITS = 3;
const READS = 4;
const DOMAIN = 5;
const ASID = 6;
const MODEL = 7;
// and numbers of 8 bytes:
const FRAME = 4;
const IPA_FRAME = 5;
const NOTE = 6;

// `BITS`: small fields side by side.
const SHIFT_MASK = 0x3f;
const FIRST_SHIFT_AT = 6;
const PERM_AT = 12;
const PERM_MASK = 7;
const PASSTHROUGH = 1 << 15;
const GLOBAL = 1 << 16;
const GROUP_SHIFT_AT = 17;
const REPEATED = 1 << 23;
const DISPUTED = 1 << 24;
const PASSES_AROUND = 1 << 25;

/** The one set of every cache that has no result yet; nothing is kept in it. */
const NO_WORDS = new Int32Array(WAYS * SLOT_WORDS);
const NO_NUMBERS = new Float64Array(NO_WORDS.buffer);

/**
 * Results of walks that succeed, by context, page and kind of access; two-way set-associative. They are kept as
 * numbers side by side: thousands of objects of all of a result's fields would miss the processor's cache at every hit.
 */
export class TranslationCache {
  /** After `find` or `keep`: the result, but for its offset. */
  readonly result = new WalkResult();
  /** What the caller has noted of that result, 0 at first; it may be set until the next call. */
  note = 0;
  #sets = 1;
  #words = NO_WORDS;
  #numbers = NO_NUMBERS;
  /** Results kept since the last growth. */
  #kept = 0;
  /** First word of the slot that `result` is of. */
  #slot = 0;

  /**
   * @param id of the context, from 1
   * @param pageLo low half of the page's address, kind of access in the bits below 12
   */
  find(id: number, pageHi: number, pageLo: number): boolean {
    const words = this.#words;
    let slot = this.#setOf(id, pageHi, pageLo) * (WAYS * SLOT_WORDS);
    if (words[slot + PAGE_LO] !== pageLo || words[slot] !== id || words[slot + PAGE_HI] !== pageHi) {
      slot += SLOT_WORDS;
      if (words[slot + PAGE_LO] !== pageLo || words[slot] !== id || words[slot + PAGE_HI] !== pageHi)
        return false;
    }
    this.#load(slot);
    return true;
  }

  /** Keeps a result that is OK and that `find` does not find, and makes it `result`. */
  keep(id: number, pageHi: number, pageLo: number, from: WalkResult): void {
    if (this.#words === NO_WORDS) this.#grow(FIRST_SETS);
    else if (++this.#kept > this.#sets && this.#sets < MAX_SETS) this.#grow(this.#sets * GROWTH);
    const words = this.#words;
    const numbers = this.#numbers;
    // What `result` knows of its slot must not go to what takes its place.
    this.#store();
    let slot = this.#setOf(id, pageHi, pageLo) * (WAYS * SLOT_WORDS);
    if (words[slot] !== 0) {
      // The older one of a set is in its second slot, and goes.
      words.copyWithin(slot + SLOT_WORDS, slot, slot + SLOT_WORDS);
    }
    words[slot + ID] = id;
    words[slot + PAGE_HI] = pageHi;
    words[slot + PAGE_LO] = pageLo;
    words[slot + BITS] =
      from.pageShift |
      (from.firstShift << FIRST_SHIFT_AT) |
      (from.perm << PERM_AT) |
      (from.passthrough ? PASSTHROUGH : 0) |
      (from.global ? GLOBAL : 0) |
      (from.groupShift << GROUP_SHIFT_AT) |
      (from.repeated ? REPEATED : 0) |
      (from.disputed ? DISPUTED : 0) |
      (from.passesAround ? PASSES_AROUND : 0);
    words[slot + READS] = from.reads;
    words[slot + DOMAIN] = from.domain;
    words[slot + ASID] = from.asid;
    words[slot + MODEL] = TABLE_MODELS.indexOf(from.model);
    slot >>>= 1;
    numbers[slot + FRAME] = from.frame;
    numbers[slot + IPA_FRAME] = from.ipaFrame;
    numbers[slot + NOTE] = 0;
    this.#slot = slot << 1;
    this.note = 0;
    this.result.copyFrom(from);
  }

  /** Forgets everything. */
  clear(): void {
    this.#words.fill(0);
  }

  #load(slot: number): void {
    if (slot === this.#slot) return;
    this.#store();
    this.#slot = slot;
    const words = this.#words;
    const numbers = this.#numbers;
    const result = this.result;
    const bits = words[slot + BITS]!;
    result.pageShift = bits & SHIFT_MASK;
    result.firstShift = (bits >> FIRST_SHIFT_AT) & SHIFT_MASK;
    result.perm = (bits >> PERM_AT) & PERM_MASK;
    result.passthrough = (bits & PASSTHROUGH) !== 0;
    result.passesAround = (bits & PASSES_AROUND) !== 0;
    result.global = (bits & GLOBAL) !== 0;
    result.groupShift = (bits >> GROUP_SHIFT_AT) & SHIFT_MASK;
    result.repeated = (bits & REPEATED) !== 0;
    result.disputed = (bits & DISPUTED) !== 0;
    result.reads = words[slot + READS]!;
    result.domain = words[slot + DOMAIN]!;
    result.asid = words[slot + ASID]!;
    result.model = TABLE_MODELS[words[slot + MODEL]!]!;
    const number = slot >>> 1;
    result.frame = numbers[number + FRAME]!;
    result.ipaFrame = numbers[number + IPA_FRAME]!;
    this.note = numbers[number + NOTE]!;
  }

  #store(): void {
    this.#numbers[(this.#slot >>> 1) + NOTE] = this.note;
  }

  /** What was kept is forgotten: its sets would be others. */
  #grow(sets: number): void {
    this.#sets = Math.min(sets, MAX_SETS);
    this.#words = new Int32Array(this.#sets * WAYS * SLOT_WORDS);
    this.#numbers = new Float64Array(this.#words.buffer);
    this.#kept = 0;
    this.#slot = 0;
  }

  #setOf(id: number, pageHi: number, pageLo: number): number {
    return hashOf(id, pageHi, pageLo) & (this.#sets - 1);
  }
}

/** Of what selects a result: context, page, and kind of access in the bits of `pageLo` below 12. */
export function hashOf(id: number, pageHi: number, pageLo: number): number {
  const hash =
    Math.imul(pageLo ^ (pageLo >>> 12), 0x9e37_79b1) ^
    Math.imul(pageHi, 0x85eb_ca6b) ^
    Math.imul(id, 0xc2b2_ae35);
  return hash ^ (hash >>> 15);
}
