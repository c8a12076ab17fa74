/**
 * Finds the lines of a log that may concern an IOMMU without a look at the others: a search for several strings at once
 * by pairs of bytes (S. Wu, U. Manber, "A fast algorithm for multi-pattern searching", 1994).
 */

/** Pairs of bytes. */
const PAIRS = 1 << 16;

export class NeedleFinder {
  readonly #needles: readonly Uint8Array[];
  /** How far the window may go on where it ends in this pair: 0 where a needle may begin there. */
  readonly #shift = new Uint8Array(PAIRS);
  /** By the pair that ends the window: numbers of the needles that have it there. */
  readonly #candidates = new Map<number, readonly Uint8Array[]>();
  /** Bytes of the window: the shortest needle's. */
  readonly #window: number;

  /** @param needles ASCII, of 3 to 255 characters each */
  constructor(needles: readonly string[]) {
    this.#needles = [...new Set(needles)].map((needle) => Buffer.from(needle, "latin1"));
    this.#window = Math.min(255, ...this.#needles.map(({ length }) => length));
    if (this.#window < 2) throw new RangeError("expected needles of two characters or more");
    this.#shift.fill(this.#window - 1);
    const candidates = new Map<number, Uint8Array[]>();
    for (const needle of this.#needles)
      for (let end = 1; end < this.#window; end++) {
        const pair = needle[end - 1]! | (needle[end]! << 8);
        const left = this.#window - 1 - end;
        this.#shift[pair] = Math.min(this.#shift[pair]!, left);
        if (left === 0) candidates.set(pair, [...(candidates.get(pair) ?? []), needle]);
      }
    this.#candidates = candidates;
  }

  /**
   * Offset of the first needle that lies whole in bytes `from` to `to` (exclusive), or -1.
   */
  find(bytes: Uint8Array, from: number, to: number): number {
    if (this.#needles.length === 0) return -1;
    const shift = this.#shift;
    const window = this.#window - 1;
    let end = from + window;
    while (end < to) {
      const pair = bytes[end - 1]! | (bytes[end]! << 8);
      const step = shift[pair]!;
      if (step !== 0) {
        end += step;
        continue;
      }
      const start = end - window;
      for (const needle of this.#candidates.get(pair)!) if (isAt(bytes, start, to, needle)) return start;
      end++;
    }
    return -1;
  }
}

function isAt(bytes: Uint8Array, start: number, to: number, needle: Uint8Array): boolean {
  if (start + needle.length > to) return false;
  for (let i = 0; i < needle.length; i++) if (bytes[start + i] !== needle[i]) return false;
  return true;
}

/** Counts newlines in bytes `from` to `to` (exclusive): four bytes at a time where they are aligned. */
export function countNewlines(bytes: Uint8Array, words: Int32Array, from: number, to: number): number {
  let count = 0;
  let p = from;
  while (p < to && (p & 3) !== 0) if (bytes[p++] === 0x0a) count++;
  for (const end = (to & ~3) - 3; p < end; p += 4) {
    // A byte of the word is zero where it was a newline; the sum of a byte and 0x7f reaches its top bit elsewhere.
    const x = words[p >> 2]! ^ 0x0a0a_0a0a;
    if (((x - 0x0101_0101) & ~x & 0x8080_8080) === 0) continue;
    let zero = ~(((x & 0x7f7f_7f7f) + 0x7f7f_7f7f) | x | 0x7f7f_7f7f);
    for (; zero !== 0; zero &= zero - 1) count++;
  }
  while (p < to) if (bytes[p++] === 0x0a) count++;
  return count;
}
