import {
  ANSWER_ACCESS,
  ANSWER_GROUP,
  ANSWER_PA_HI,
  ANSWER_PA_LO,
  ANSWER_PAGE_HI,
  ANSWER_PAGE_LO,
  ANSWER_PERIOD,
  ANSWER_SLOTS,
  ANSWER_TAIL,
  ANSWERS_AT,
  MEMO_SLOT_WORDS,
} from "../../../parsers/trace/batch/layout.ts";
import { answerHash } from "./hashes.ts";
import { firstSlots, firstWord, twiceAsMany } from "./slots.ts";

/** Marks the key of a leaf. */
const LEAF = 0x800;

/** In 4 GiB. */
const PAGES = 2 ** 20;

/**
 * Answers by the page that was asked for. All accesses that a page grants share a slot; each that it refuses has one of its
 * own, with the access in the low bits of the page's address. Open addressing.
 */
export class AnswerTable {
  #words: Int32Array;
  /** Number of the last word. */
  #last: number;
  #taken = 0;

  /** @param machine memory of a batch machine that looks into it as well, or null */
  constructor(machine: ArrayBufferLike | null) {
    this.#words = firstSlots(machine, ANSWERS_AT, ANSWER_SLOTS);
    this.#last = this.#words.length - 1;
  }

  /** Makes room for one more, by more slots where there can be. @returns false where there is none */
  makeRoom(): boolean {
    if (this.#taken * (2 * MEMO_SLOT_WORDS) < this.#words.length) return true;
    if (this.#words.length === ANSWER_SLOTS * MEMO_SLOT_WORDS) return false;
    this.#words = twiceAsMany(this.#words, ANSWER_GROUP, hashOf);
    this.#last = this.#words.length - 1;
    return true;
  }

  /**
   * First word of the slot that says, in a period, what a request comes to; -1 where none does.
   * @param group class and privilege of translations
   * @param ownGroup the same of faults
   */
  find(group: number, ownGroup: number, hi: number, lo: number, access: number, period: number): number {
    const words = this.#words;
    const last = this.#last;
    const page = lo & ~0xfff;
    for (let slot = this.#first(group, hi, page); words[slot] !== 0; slot = (slot + MEMO_SLOT_WORDS) & last)
      if (
        words[slot] === group &&
        words[slot + ANSWER_PAGE_LO] === page &&
        words[slot + ANSWER_PAGE_HI] === hi &&
        words[slot + ANSWER_PERIOD] === period &&
        (words[slot + ANSWER_ACCESS]! & access) === access
      )
        return slot;
    const refused = page | access;
    for (
      let slot = this.#first(ownGroup, hi, page);
      words[slot] !== 0;
      slot = (slot + MEMO_SLOT_WORDS) & last
    )
      if (
        words[slot] === ownGroup &&
        words[slot + ANSWER_PAGE_LO] === refused &&
        words[slot + ANSWER_PAGE_HI] === hi &&
        words[slot + ANSWER_PERIOD] === period
      )
        return slot;
    return -1;
  }

  /**
   * The tail of what a page is known to lead to in a period, whatever the access; -1: it is not known.
   * @param key low half of its address, or `leafKey`
   */
  known(group: number, hi: number, key: number, period: number): number {
    const slot = this.#search(group, hi, key & ~0xfff, key);
    const words = this.#words;
    return words[slot] !== 0 && words[slot + ANSWER_PERIOD] === period ? words[slot + ANSWER_TAIL]! : -1;
  }

  /** First word of the slot of a leaf that is known to grant an access in a period; -1: none is. @param key `leafKey` */
  leaf(group: number, hi: number, key: number, access: number, period: number): number {
    const slot = this.#search(group, hi, key & ~0xfff, key);
    const words = this.#words;
    const known = words[slot] !== 0 && words[slot + ANSWER_PERIOD] === period;
    return known && (words[slot + ANSWER_ACCESS]! & access) === access ? slot : -1;
  }

  #first(group: number, hi: number, page: number): number {
    return firstWord(answerHash(group, hi, page), this.#last);
  }

  tail(slot: number): number {
    return this.#words[slot + ANSWER_TAIL]!;
  }

  paHi(slot: number): number {
    return this.#words[slot + ANSWER_PA_HI]!;
  }

  /** Low half of the page's physical address. */
  paLo(slot: number): number {
    return this.#words[slot + ANSWER_PA_LO]!;
  }

  /**
   * Enters that the translation of a page, or of a leaf, grants an access.
   * @param key low half of a page's address, or `leafKey`
   * @param access 0: what it grants is not to be known
   * @param paLo where it begins
   * @returns its slot
   */
  grant(
    group: number,
    hi: number,
    key: number,
    access: number,
    period: number,
    tail: number,
    paHi: number,
    paLo: number,
  ): number {
    const words = this.#words;
    const slot = this.#slot(group, hi, key & ~0xfff, key);
    const same =
      words[slot + ANSWER_PERIOD] === period &&
      words[slot + ANSWER_TAIL] === tail &&
      words[slot + ANSWER_PA_HI] === paHi &&
      words[slot + ANSWER_PA_LO] === paLo;
    words[slot + ANSWER_PERIOD] = period;
    words[slot + ANSWER_ACCESS] = same ? words[slot + ANSWER_ACCESS]! | access : access;
    words[slot + ANSWER_TAIL] = tail;
    words[slot + ANSWER_PA_HI] = paHi;
    words[slot + ANSWER_PA_LO] = paLo;
    return slot;
  }

  /** Enters that a page refuses an access. */
  refuse(group: number, hi: number, lo: number, access: number, period: number, tail: number): void {
    const words = this.#words;
    const slot = this.#slot(group, hi, lo & ~0xfff, (lo & ~0xfff) | access);
    words[slot + ANSWER_PERIOD] = period;
    words[slot + ANSWER_TAIL] = tail;
  }

  /** The slot of an answer, or the free one where it belongs. */
  #search(group: number, hi: number, page: number, key: number): number {
    const words = this.#words;
    const last = this.#last;
    let slot = this.#first(group, hi, page);
    while (
      words[slot] !== 0 &&
      (words[slot] !== group || words[slot + ANSWER_PAGE_LO] !== key || words[slot + ANSWER_PAGE_HI] !== hi)
    )
      slot = (slot + MEMO_SLOT_WORDS) & last;
    return slot;
  }

  /** The same, taken if it is free. */
  #slot(group: number, hi: number, page: number, key: number): number {
    const words = this.#words;
    const slot = this.#search(group, hi, page, key);
    if (words[slot] !== 0) return slot;
    words[slot + ANSWER_GROUP] = group;
    words[slot + ANSWER_PAGE_HI] = hi;
    words[slot + ANSWER_PAGE_LO] = key;
    this.#taken++;
    return slot;
  }

  clear(): void {
    if (this.#taken === 0) return;
    this.#words.fill(0);
    this.#taken = 0;
  }
}

function hashOf(words: Int32Array, slot: number): number {
  return answerHash(
    words[slot + ANSWER_GROUP]!,
    words[slot + ANSWER_PAGE_HI]!,
    words[slot + ANSWER_PAGE_LO]! & ~0xfff,
  );
}

/** Low half of the address of a leaf that is larger than a page, told from every page's and access's. @param shift log2 of its size */
export function leafKey(lo: number, shift: number): number {
  return (shift < 32 ? lo & (-1 << shift) : 0) | LEAF | shift;
}

/** Pages of a leaf before the one of an address. */
export function leafPages(hi: number, lo: number, shift: number): number {
  const high = shift > 32 ? hi & ~(-1 << (shift - 32)) : 0;
  return high * PAGES + ((shift < 32 ? lo & ~(-1 << shift) : lo) >>> 12);
}

/** High half. */
export function leafHi(hi: number, shift: number): number {
  return shift > 32 ? hi & (-1 << (shift - 32)) : hi;
}
