/** Bytes that one word takes, with its slots: an estimate. */
const WORD_COST = 8 + 4 + 4 + 4 + 8 + 2 * 4;
const FIRST_WORDS = 1 << 8;
/** No change. */
export const NO_CHANGE = -1;

/**
 * The 64-bit words of memory that have changed: open addressing, from a frame and an offset to a number from 0 on, and by
 * that number where the word stands and what is known of its changes.
 */
export class ChangedWords {
  #capacity = FIRST_WORDS;
  /** Number of a word plus one; 0: free. Twice as many as there may be words. */
  #slots = new Int32Array(2 * FIRST_WORDS);
  #frames = new Float64Array(FIRST_WORDS);
  #offsets = new Int32Array(FIRST_WORDS);
  /** Index of its latest change, or NO_CHANGE. */
  latest = new Int32Array(FIRST_WORDS);
  /** How many of its changes are kept. */
  kept = new Int32Array(FIRST_WORDS);
  /** Tick of the latest of its changes that is forgotten; 0: none is. */
  forgotten = new Float64Array(FIRST_WORDS);
  size = 0;

  get bytes(): number {
    return this.#capacity * WORD_COST;
  }

  frame(word: number): number {
    return this.#frames[word]!;
  }

  offset(word: number): number {
    return this.#offsets[word]!;
  }

  /** @returns the word's number, or NO_CHANGE where it has never changed */
  find(frame: number, offset: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = hashOf(frame, offset) & mask; ; slot = (slot + 1) & mask) {
      const word = slots[slot]! - 1;
      if (word < 0) return NO_CHANGE;
      if (this.#frames[word] === frame && this.#offsets[word] === offset) return word;
    }
  }

  /** The number of a word that changes. */
  of(frame: number, offset: number): number {
    const known = this.find(frame, offset);
    if (known !== NO_CHANGE) return known;
    if (this.size === this.#capacity) this.#grow();
    const word = this.size++;
    this.#frames[word] = frame;
    this.#offsets[word] = offset;
    this.latest[word] = NO_CHANGE;
    this.kept[word] = 0;
    this.forgotten[word] = 0;
    this.#insert(word);
    return word;
  }

  /**
   * Forgets the words of which no change is kept; the others get new numbers. Who keeps numbers must take over theirs.
   * @returns the new number of each, or NO_CHANGE; and the tick of the latest change that was forgotten of those that went
   */
  purge(): { readonly renumbered: Int32Array; readonly horizon: number } {
    const renumbered = new Int32Array(this.size).fill(NO_CHANGE);
    let horizon = 0;
    let size = 0;
    for (let word = 0; word < this.size; word++) {
      if (this.kept[word] === 0) {
        horizon = Math.max(horizon, this.forgotten[word]!);
        continue;
      }
      renumbered[word] = size;
      this.#frames[size] = this.#frames[word]!;
      this.#offsets[size] = this.#offsets[word]!;
      this.latest[size] = this.latest[word]!;
      this.kept[size] = this.kept[word]!;
      this.forgotten[size] = this.forgotten[word]!;
      size++;
    }
    this.size = size;
    this.#rehash();
    return { renumbered, horizon };
  }

  clear(): void {
    this.size = 0;
    this.#slots.fill(0);
  }

  #insert(word: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hashOf(this.#frames[word]!, this.#offsets[word]!) & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = word + 1;
  }

  #rehash(): void {
    this.#slots.fill(0);
    for (let word = 0; word < this.size; word++) this.#insert(word);
  }

  #grow(): void {
    const capacity = 2 * this.#capacity;
    this.#frames = larger(this.#frames, new Float64Array(capacity));
    this.#offsets = larger(this.#offsets, new Int32Array(capacity));
    this.latest = larger(this.latest, new Int32Array(capacity));
    this.kept = larger(this.kept, new Int32Array(capacity));
    this.forgotten = larger(this.forgotten, new Float64Array(capacity));
    this.#slots = new Int32Array(2 * capacity);
    this.#capacity = capacity;
    this.#rehash();
  }
}

export function larger<A extends Float64Array | Int32Array | Uint8Array>(from: A, to: A): A {
  to.set(from);
  return to;
}

/** Neighbouring words of a table do not stand side by side, but the same words of neighbouring tables differ. */
function hashOf(frame: number, offset: number): number {
  const hash = Math.imul(frame | 0, 0x9e37_79b1) ^ Math.imul(offset >>> 3, 0x85eb_ca6b);
  return hash ^ (hash >>> 15);
}
