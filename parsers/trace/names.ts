/**
 * Gives short byte strings small numbers, so that records can name an IOMMU or a device without a string: the
 * lookup compares bytes and allocates nothing for a name that it has seen. Numbers count from 0 in the order of
 * first sight and stay valid.
 */
export class Names {
  readonly #texts: string[] = [];
  /** Open addressing: slot to name number + 1, 0 where free. */
  #slots = new Int32Array(64);
  #hashes = new Int32Array(16);
  /** All names' UTF-8 bytes, one after another; name n is bytes #starts[n] to #starts[n + 1]. */
  #bytes = new Uint8Array(256);
  #starts = new Int32Array(17);

  constructor(texts: readonly string[] = []) {
    for (const text of texts) this.internText(text);
  }

  get size(): number {
    return this.#texts.length;
  }

  /** The name as text. */
  text(index: number): string {
    const text = this.#texts[index];
    if (text === undefined) throw new RangeError(`no name has number ${index}; there are ${this.size}`);
    return text;
  }

  /** Number of the name in bytes `start` to `end` (exclusive) of well-formed UTF-8 text; a new one is added. */
  intern(bytes: Uint8Array, start: number, end: number): number {
    const hash = hashOf(bytes, start, end);
    const slot = this.#find(bytes, start, end, hash);
    const taken = this.#slots[slot]!;
    return taken !== 0 ? taken - 1 : this.#add(bytes, start, end, hash, slot);
  }

  /** As `intern`, -1 where the name is not known. */
  find(bytes: Uint8Array, start: number, end: number): number {
    return this.#slots[this.#find(bytes, start, end, hashOf(bytes, start, end))]! - 1;
  }

  internText(text: string): number {
    const bytes = encoder.encode(text);
    return this.intern(bytes, 0, bytes.length);
  }

  findText(text: string): number {
    const bytes = encoder.encode(text);
    return this.find(bytes, 0, bytes.length);
  }

  /** The slot of a name, or the free one where it belongs. */
  #find(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    const length = end - start;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const index = slots[slot]! - 1;
      if (index < 0) return slot;
      if (this.#hashes[index] !== hash) continue;
      const known = this.#starts[index]!;
      if (this.#starts[index + 1]! - known !== length) continue;
      let i = 0;
      while (i < length && this.#bytes[known + i] === bytes[start + i]) i++;
      if (i === length) return slot;
    }
  }

  #add(bytes: Uint8Array, start: number, end: number, hash: number, slot: number): number {
    const index = this.#texts.length;
    const from = this.#starts[index]!;
    const to = from + end - start;
    if (index + 2 > this.#starts.length) {
      this.#starts = grown(this.#starts, new Int32Array(this.#starts.length * 2));
      this.#hashes = grown(this.#hashes, new Int32Array(this.#hashes.length * 2));
    }
    if (to > this.#bytes.length) this.#bytes = grown(this.#bytes, new Uint8Array(to * 2));
    for (let i = start; i < end; i++) this.#bytes[from + i - start] = bytes[i]!;
    this.#starts[index + 1] = to;
    this.#hashes[index] = hash;
    this.#slots[slot] = index + 1;
    this.#texts.push(decoder.decode(this.#bytes.subarray(from, to)));
    if ((index + 1) * 2 > this.#slots.length) this.#rehash();
    return index;
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 4);
    const mask = slots.length - 1;
    for (let index = 0; index < this.#texts.length; index++) {
      let slot = this.#hashes[index]! & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = index + 1;
    }
    this.#slots = slots;
  }
}

const encoder = new TextEncoder();
// A name may begin with U+FEFF: it is part of the name, not a byte order mark.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x0100_0193);
  return hash ^ (hash >>> 15);
}

function grown<T extends Int32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
