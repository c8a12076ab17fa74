/**
 * Finds the lines of a log that may concern an IOMMU without a look at the others: one pass over pairs of bytes at even
 * offsets. A string of three bytes or more has such a pair wherever it lies, one of two: those that tell it best are
 * marked. The same pass counts newlines. No step depends on the one before, so that many are under way at once.
 */
import { NEWLINE } from "../trace/json-syntax.ts";

/** Pairs of bytes, little-endian. */
const PAIRS = 1 << 16;
/** Marks a pair of a needle; below it stands the number of newlines in the pair. */
const MARK = 64;
const NEWLINES = 3;
/** Pairs of one step: their newlines do not add up to a mark. */
const STEP = 8;

interface Place {
  readonly needle: Uint8Array;
  /** Where the pair stands in it. */
  readonly offset: number;
}

export class NeedleFinder {
  /** After `find`: newlines before the needle, or in all that was searched. */
  newlines = 0;
  readonly #marks = new Uint8Array(PAIRS);
  readonly #places = new Map<number, readonly Place[]>();

  /** @param needles ASCII, of three characters or more, without newlines */
  constructor(needles: readonly string[]) {
    for (let low = 0; low < 256; low++) {
      this.#marks[(NEWLINE << 8) | low]! += 1;
      this.#marks[(low << 8) | NEWLINE]! += 1;
    }
    const places = new Map<number, Place[]>();
    for (const text of new Set(needles)) {
      if (text.length < 3)
        throw new RangeError(`expected needles of three characters or more, found ${text}`);
      const needle = Buffer.from(text, "latin1");
      for (const parity of [0, 1]) {
        const offset = rarest(needle, parity);
        const pair = needle[offset]! | (needle[offset + 1]! << 8);
        this.#marks[pair] = MARK;
        places.set(pair, [...(places.get(pair) ?? []), { needle, offset }]);
      }
    }
    this.#places = places;
  }

  /**
   * Offset of a needle in the first line that has one, or -1.
   * @param pairs the same bytes, two by two
   * @param from the beginning of a line
   * @param to the end of the last one (exclusive), behind its newline
   */
  find(bytes: Uint8Array, pairs: Uint16Array, from: number, to: number): number {
    const marks = this.#marks;
    const end = to >> 1;
    // The byte before the first line is a newline that has been counted.
    let newlines = 0 - (from & 1);
    let i = from >> 1;
    for (;;) {
      for (const last = end - STEP; i <= last; i += STEP) {
        const sum =
          marks[pairs[i]!]! +
          marks[pairs[i + 1]!]! +
          marks[pairs[i + 2]!]! +
          marks[pairs[i + 3]!]! +
          marks[pairs[i + 4]!]! +
          marks[pairs[i + 5]!]! +
          marks[pairs[i + 6]!]! +
          marks[pairs[i + 7]!]!;
        if (sum >= MARK) break;
        newlines += sum;
      }
      // A marked pair in this step, or the rest.
      for (const stop = Math.min(i + STEP, end); i < stop; i++) {
        const mark = marks[pairs[i]!]!;
        if (mark >= MARK) {
          const at = this.#needleAt(bytes, pairs[i]!, i << 1, from, to);
          if (at >= 0) {
            this.newlines = newlines;
            return at;
          }
        } else newlines += mark & NEWLINES;
      }
      if (i >= end) break;
    }
    if ((to & 1) === 1 && bytes[to - 1] === NEWLINE) newlines++;
    this.newlines = newlines;
    return -1;
  }

  #needleAt(bytes: Uint8Array, pair: number, position: number, from: number, to: number): number {
    for (const { needle, offset } of this.#places.get(pair)!) {
      const start = position - offset;
      if (start >= from && start + needle.length <= to && isAt(bytes, start, needle)) return start;
    }
    return -1;
  }
}

function isAt(bytes: Uint8Array, start: number, needle: Uint8Array): boolean {
  for (let i = 0; i < needle.length; i++) if (bytes[start + i] !== needle[i]) return false;
  return true;
}

/** The pair of a needle, at an even or odd offset, that other text has least: a capital and the like count for rare. */
function rarest(needle: Uint8Array, parity: number): number {
  let best = parity;
  for (let offset = parity; offset + 1 < needle.length; offset += 2)
    if (rarity(needle, offset) > rarity(needle, best)) best = offset;
  return best;
}

function rarity(needle: Uint8Array, offset: number): number {
  return rank(needle[offset]!) + rank(needle[offset + 1]!);
}

/** Letters by how rare they are in English, digits and marks between. */
const FREQUENT = " etaoinsrhdlucmfywgpbvkxqjz";

function rank(byte: number): number {
  const at = FREQUENT.indexOf(String.fromCharCode(byte));
  return at >= 0 ? at : FREQUENT.length;
}
