import { larger } from "./changed-words.ts";

/** What processors' caches write back at once, in bytes. */
export const LINE_SHIFT = 6;
export const LINE_BYTES = 1 << LINE_SHIFT;
export const LINE_WORDS = LINE_BYTES / 4;

/** Contents that are kept of each line: the first, and the latest. */
const MAX_VERSIONS = 4;
const FIRST_CAPACITY = 1 << 6;
const NONE = -1;
/** No write. */
const NOTHING: readonly UnflushedWrite[] = [];

/** What a line of memory held before a write that nothing has flushed; not to be kept beyond the next write. */
export interface UnflushedWrite {
  /** Line of the `mem` record. */
  readonly line: number;
  /** Number of the line of memory, as `lineAt` gives it. */
  readonly at: number;
  readonly before: Uint8Array;
}

/**
 * Lines of memory and what they held before writes, in a few pieces of memory that grow with use: open addressing, from the
 * number of a line to a place, and by that place up to MAX_VERSIONS writes. A place whose line was deleted has none, and
 * serves again for the same line, or goes when room is needed.
 */
export class LineStore {
  readonly #most: number;
  #capacity = FIRST_CAPACITY;
  /** Place + 1; 0: free. Twice as many as there are places. */
  #slots = new Int32Array(2 * FIRST_CAPACITY);
  /** Places that are taken, deleted lines included; and how many lines there are. */
  #places = 0;
  size = 0;
  // By place.
  #ats = new Float64Array(FIRST_CAPACITY);
  #counts = new Uint8Array(FIRST_CAPACITY);
  /** Which of its versions is the latest. */
  #latest = new Uint8Array(FIRST_CAPACITY);
  // By place and version.
  #lines = new Float64Array(FIRST_CAPACITY * MAX_VERSIONS);
  #words = new Int32Array(FIRST_CAPACITY * MAX_VERSIONS * LINE_WORDS);

  /** @param most lines, a power of two; as many places again are for those that are deleted, so that they seldom move */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Adds what a line held before a write, unless the write before found the same. Of more than can be kept the second goes.
   * @param at number of the line
   * @param line of the trace
   * @param anew a line that is not here is added: there is room for it
   * @returns false where it is not here and not added
   */
  add(at: number, line: number, now: Int32Array, anew: boolean): boolean {
    const place = this.#find(at);
    if (place === NONE || this.#counts[place] === 0) {
      if (!anew) return false;
      const free = place === NONE ? this.#place(at) : place;
      this.#latest[free] = 0;
      this.#set(free, 1, line, now);
      this.size++;
      return true;
    }
    const count = this.#counts[place]!;
    const latest = place * MAX_VERSIONS + this.#latest[place]!;
    if (this.#holds(latest, now)) return true;
    // Behind the first they take turns.
    this.#latest[place] = count < MAX_VERSIONS ? count : (this.#latest[place]! % (MAX_VERSIONS - 1)) + 1;
    this.#set(place, Math.min(count + 1, MAX_VERSIONS), line, now);
    return true;
  }

  /** What a line held before writes, the latest last; the bytes are not to be kept beyond the next write. */
  of(at: number): readonly UnflushedWrite[] {
    const place = this.#find(at);
    if (place === NONE || this.#counts[place] === 0) return NOTHING;
    const writes: UnflushedWrite[] = [];
    const count = this.#counts[place]!;
    for (let version = 0; version < count; version++) {
      const turns = version > 0 && count === MAX_VERSIONS;
      const turned = turns ? ((this.#latest[place]! + version - 1) % (MAX_VERSIONS - 1)) + 1 : version;
      const n = place * MAX_VERSIONS + turned;
      writes.push({
        line: this.#lines[n]!,
        at,
        before: new Uint8Array(this.#words.buffer, n * LINE_BYTES, LINE_BYTES),
      });
    }
    return writes;
  }

  /** Deletes lines, both ends included. */
  delete(first: number, last: number): void {
    if (this.size === 0) return;
    const count = last - first + 1;
    if (count <= this.#places) for (let i = 0; i < count; i++) this.#delete(this.#find(first + i));
    else
      for (let place = 0; place < this.#places; place++)
        if (this.#ats[place]! >= first && this.#ats[place]! <= last) this.#delete(place);
  }

  clear(): void {
    if (this.#places === 0) return;
    // Few lines are deleted at less cost than all slots.
    if (this.#places * 8 > this.#slots.length) this.#slots.fill(0);
    else for (let place = 0; place < this.#places; place++) this.#free(this.#ats[place]!, place);
    this.#places = 0;
    this.size = 0;
  }

  #free(at: number, place: number): void {
    const mask = this.#slots.length - 1;
    let slot = hashOf(at) & mask;
    while (this.#slots[slot] !== place + 1) slot = (slot + 1) & mask;
    this.#slots[slot] = 0;
  }

  #delete(place: number): void {
    if (place === NONE || this.#counts[place] === 0) return;
    this.#counts[place] = 0;
    this.size--;
  }

  #find(at: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = hashOf(at) & mask; ; slot = (slot + 1) & mask) {
      const place = slots[slot]! - 1;
      if (place < 0) return NONE;
      if (this.#ats[place] === at) return place;
    }
  }

  /** A place for a line that has none. */
  #place(at: number): number {
    if (this.#places === this.#capacity) this.#makeRoom();
    const place = this.#places++;
    this.#ats[place] = at;
    this.#insert(place);
    return place;
  }

  #insert(place: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hashOf(this.#ats[place]!) & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = place + 1;
  }

  /** Sets the latest version. */
  #set(place: number, count: number, line: number, now: Int32Array): void {
    const n = place * MAX_VERSIONS + this.#latest[place]!;
    const words = this.#words;
    this.#counts[place] = count;
    this.#lines[n] = line;
    for (let i = 0, to = n * LINE_WORDS; i < LINE_WORDS; i++) words[to + i] = now[i]!;
  }

  #holds(n: number, now: Int32Array): boolean {
    const words = this.#words;
    const from = n * LINE_WORDS;
    for (let i = 0; i < LINE_WORDS; i++) if (words[from + i] !== now[i]) return false;
    return true;
  }

  /** Places of deleted lines go; where they are few, there are to be twice as many. */
  #makeRoom(): void {
    if (this.size > this.#capacity / 2 && this.#capacity < 2 * this.#most) this.#grow();
    let to = 0;
    for (let place = 0; place < this.#places; place++) {
      if (this.#counts[place] === 0) continue;
      if (to !== place) this.#move(place, to);
      to++;
    }
    this.#places = to;
    this.#slots.fill(0);
    for (let place = 0; place < to; place++) this.#insert(place);
  }

  #move(place: number, to: number): void {
    const from = place * MAX_VERSIONS;
    const end = from + MAX_VERSIONS;
    this.#ats[to] = this.#ats[place]!;
    this.#counts[to] = this.#counts[place]!;
    this.#latest[to] = this.#latest[place]!;
    this.#lines.copyWithin(to * MAX_VERSIONS, from, end);
    this.#words.copyWithin(to * MAX_VERSIONS * LINE_WORDS, from * LINE_WORDS, end * LINE_WORDS);
  }

  #grow(): void {
    const capacity = 2 * this.#capacity;
    this.#ats = larger(this.#ats, new Float64Array(capacity));
    this.#counts = larger(this.#counts, new Uint8Array(capacity));
    this.#latest = larger(this.#latest, new Uint8Array(capacity));
    this.#lines = larger(this.#lines, new Float64Array(capacity * MAX_VERSIONS));
    this.#words = larger(this.#words, new Int32Array(capacity * MAX_VERSIONS * LINE_WORDS));
    this.#slots = new Int32Array(2 * capacity);
    this.#capacity = capacity;
  }
}

/** Lines of tables come in runs. */
function hashOf(at: number): number {
  const hash = Math.imul(at | 0, 0x9e37_79b1) ^ Math.imul((at / 2 ** 32) | 0, 0x85eb_ca6b);
  return hash ^ (hash >>> 15);
}
