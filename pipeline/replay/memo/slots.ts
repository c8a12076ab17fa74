import { MEMO_SLOT_WORDS } from "../../../parsers/trace/batch/layout.ts";

/** A replay of a few requests is not to pay for as many as a batch machine has room for. */
const FIRST_SLOTS = 1 << 8;

/** Words of a table's slots: of all that there can be in a batch machine's memory; else of a few, which grow with use. */
export function firstSlots(machine: ArrayBufferLike | null, at: number, most: number): Int32Array {
  if (machine === null) return new Int32Array(FIRST_SLOTS * MEMO_SLOT_WORDS);
  return new Int32Array(machine, at, most * MEMO_SLOT_WORDS);
}

/**
 * A table of twice as many slots that has what another has: open addressing.
 * @param key the word that is 0 in a free slot
 * @param hashOf of what a slot, given by its first word, is found by
 */
export function twiceAsMany(
  words: Int32Array,
  key: number,
  hashOf: (words: Int32Array, slot: number) => number,
): Int32Array {
  const more = new Int32Array(2 * words.length);
  const last = more.length - 1;
  for (let slot = 0; slot < words.length; slot += MEMO_SLOT_WORDS) {
    if (words[slot + key] === 0) continue;
    let to = firstWord(hashOf(words, slot), last);
    while (more[to + key] !== 0) to = (to + MEMO_SLOT_WORDS) & last;
    more.set(words.subarray(slot, slot + MEMO_SLOT_WORDS), to);
  }
  return more;
}

/** Where a slot is looked for first. @param last number of the table's last word */
export function firstWord(hash: number, last: number): number {
  return (hash * MEMO_SLOT_WORDS) & last;
}
