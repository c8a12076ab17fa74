/** Numbers up to here are kept as bits, at most 256 KiB of them; larger ones in a hash set. */
const MOST_BITS = 1 << 21;
const WORD_BITS = 32;

/** A set of non-negative integers that is told the same ones over and over: to add one is to look at a bit. */
export class NumberSet {
  /** How many there are. */
  size = 0;
  #bits = new Int32Array(8);
  #large: Set<number> | null = null;

  add(n: number): void {
    if (n >= MOST_BITS) {
      this.#addLarge(n);
      return;
    }
    const word = n >>> 5;
    if (word >= this.#bits.length) this.#grow(word);
    const bit = 1 << (n & (WORD_BITS - 1));
    if ((this.#bits[word]! & bit) !== 0) return;
    this.#bits[word]! |= bit;
    this.size++;
  }

  #addLarge(n: number): void {
    this.#large ??= new Set();
    const before = this.#large.size;
    this.#large.add(n);
    this.size += this.#large.size - before;
  }

  #grow(word: number): void {
    const larger = new Int32Array(2 ** Math.ceil(Math.log2(word + 1)));
    larger.set(this.#bits);
    this.#bits = larger;
  }
}
