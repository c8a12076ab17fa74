/**
 * Gives short byte strings small numbers, so that records can name an IOMMU or a device without a string: the
 * lookup compares words and allocates nothing for a name that it has seen. Numbers count from 0 in the order of
 * first sight and stay valid.
 */
export class Names {
  #size = 0;
  /** Texts that were asked for. */
  readonly #texts: string[] = [];
  /** Open addressing: slot to name number + 1, 0 where free. */
  #slots = new Int32Array(64);
  /** Names that found no slot within MOST_PROBES: those whose hashes were made to collide. */
  #crowded: Map<string, number> | null = null;
  /** Per name four words: its hash, and for a short one its first, middle and last four bytes. */
  #words = new Int32Array(64);
  /** All names' UTF-8 bytes, one after another; name n is bytes #starts[n] to #starts[n + 1]. */
  #bytes = new Uint8Array(256);
  #starts = new Int32Array(17);

  constructor(texts: readonly string[] = []) {
    for (const text of texts) this.internText(text);
  }

  get size(): number {
    return this.#size;
  }

  /** The name as text. */
  text(index: number): string {
    const known = this.#texts[index];
    if (known !== undefined) return known;
    if (!(index >= 0 && index < this.#size))
      throw new RangeError(`no name has number ${index}; there are ${this.#size}`);
    const text = decoder.decode(this.#bytes.subarray(this.#starts[index]!, this.#starts[index + 1]!));
    this.#texts[index] = text;
    return text;
  }

  /** Number of the name in bytes `start` to `end` (exclusive) of well-formed UTF-8 text; a new one is added. */
  intern(bytes: Uint8Array, start: number, end: number): number {
    const hash = hashOf(bytes, start, end);
    const slot = this.#find(bytes, start, end, hash);
    const known = slot < 0 ? this.#inCrowd(bytes, start, end) : this.#slots[slot]! - 1;
    return known >= 0 ? known : this.#add(bytes, start, end, hash, slot);
  }

  /** As `intern`, -1 where the name is not known. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const slot = this.#find(bytes, start, end, hashOf(bytes, start, end));
    return slot < 0 ? this.#inCrowd(bytes, start, end) : this.#slots[slot]! - 1;
  }

  /**
   * As `find`, but for a name that is crowded out too, for a name of SHORTEST to LONGEST bytes, without a look at single bytes: the three words that
   * the hash is made of are the whole name.
   */
  findShort(view: DataView, start: number, length: number): number {
    const first = view.getInt32(start, true);
    const middle = view.getInt32(start + ((length - 4) >> 1), true);
    const last = view.getInt32(start + length - 4, true);
    const hash = mix(length, first, middle, last);
    const slots = this.#slots;
    const words = this.#words;
    const mask = slots.length - 1;
    for (let slot = hash & mask, probes = MOST_PROBES; probes > 0; probes--, slot = (slot + 1) & mask) {
      const index = slots[slot]! - 1;
      if (index < 0) return -1;
      const at = index * 4;
      if (
        words[at] === hash &&
        words[at + 1] === first &&
        words[at + 2] === middle &&
        words[at + 3] === last &&
        this.#starts[index + 1]! - this.#starts[index]! === length
      )
        return index;
    }
    return -1;
  }

  internText(text: string): number {
    const length = encode(text);
    return this.intern(scratch, 0, length);
  }

  findText(text: string): number {
    const length = encode(text);
    return this.find(scratch, 0, length);
  }

  /** The slot of a name, or the free one where it belongs; -1 where there is none within MOST_PROBES. */
  #find(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    const length = end - start;
    for (let slot = hash & mask, probes = MOST_PROBES; probes > 0; probes--, slot = (slot + 1) & mask) {
      const index = slots[slot]! - 1;
      if (index < 0) return slot;
      if (this.#words[index * 4] !== hash) continue;
      const known = this.#starts[index]!;
      if (this.#starts[index + 1]! - known !== length) continue;
      let i = 0;
      while (i < length && this.#bytes[known + i] === bytes[start + i]) i++;
      if (i === length) return slot;
    }
    return -1;
  }

  #inCrowd(bytes: Uint8Array, start: number, end: number): number {
    return this.#crowded?.get(decoder.decode(bytes.subarray(start, end))) ?? -1;
  }

  #crowdOut(index: number): void {
    this.#crowded ??= new Map();
    this.#crowded.set(this.text(index), index);
  }

  #add(bytes: Uint8Array, start: number, end: number, hash: number, slot: number): number {
    const index = this.#size++;
    const from = this.#starts[index]!;
    const to = from + end - start;
    if (index + 2 > this.#starts.length)
      this.#starts = grown(this.#starts, new Int32Array(this.#starts.length * 2));
    if ((index + 1) * 4 > this.#words.length)
      this.#words = grown(this.#words, new Int32Array(this.#words.length * 2));
    if (to > this.#bytes.length) this.#bytes = grown(this.#bytes, new Uint8Array(to * 2));
    for (let i = start; i < end; i++) this.#bytes[from + i - start] = bytes[i]!;
    this.#starts[index + 1] = to;
    const words = this.#words;
    words[index * 4] = hash;
    if (isShort(end - start)) {
      words[index * 4 + 1] = wordAt(bytes, start);
      words[index * 4 + 2] = wordAt(bytes, start + ((end - start - 4) >> 1));
      words[index * 4 + 3] = wordAt(bytes, end - 4);
    }
    if (slot < 0) this.#crowdOut(index);
    else this.#slots[slot] = index + 1;
    if ((index + 1) * 2 > this.#slots.length) this.#rehash();
    return index;
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 4);
    const mask = slots.length - 1;
    for (let index = 0; index < this.#size; index++) {
      let slot = this.#words[index * 4]! & mask;
      let probes = MOST_PROBES;
      while (slots[slot] !== 0 && --probes > 0) slot = (slot + 1) & mask;
      if (probes > 0) slots[slot] = index + 1;
      else this.#crowdOut(index);
    }
    this.#slots = slots;
  }
}

/** Slots that are looked at for a name: of half of the slots taken, hardly ever more than a few dozen in a row. */
const MOST_PROBES = 256;

const encoder = new TextEncoder();
/** Bytes of UTF-8 that a unit of a string takes at most. */
const MOST_UTF8 = 3;
/** The text that is looked for: names come by the million, and each is looked for once. */
let scratch: Uint8Array = new Uint8Array(256);

/** Encodes a text to `scratch`; returns its length there. */
function encode(text: string): number {
  if (text.length * MOST_UTF8 > scratch.length) scratch = new Uint8Array(text.length * MOST_UTF8);
  return encoder.encodeInto(text, scratch).written;
}

// A name may begin with U+FEFF: it is part of the name, not a byte order mark.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Names of these lengths, as nearly all are, are covered by three words: first, middle and last. */
const SHORTEST = 4;
const LONGEST = 12;

export function isShort(length: number): boolean {
  return length >= SHORTEST && length <= LONGEST;
}

function hashOf(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (isShort(length)) {
    const middle = wordAt(bytes, start + ((length - 4) >> 1));
    return mix(length, wordAt(bytes, start), middle, wordAt(bytes, end - 4));
  }
  let hash = length;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x0100_0193);
  return hash ^ (hash >>> 15);
}

function mix(length: number, first: number, middle: number, last: number): number {
  let hash = Math.imul(length ^ first, 0x85eb_ca6b) ^ middle;
  hash = Math.imul(hash, 0xc2b2_ae35) ^ last;
  hash = Math.imul(hash ^ (hash >>> 15), 0x27d4_eb2f);
  return hash ^ (hash >>> 15);
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

function grown<T extends Int32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
