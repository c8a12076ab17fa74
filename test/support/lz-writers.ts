/** Writers of compressed data, instruction by instruction, with what it becomes. */

/** What a block consists of: literals, or a copy of `length` bytes from `distance` before. */
export type Step = { readonly literals: Uint8Array } | { readonly distance: number; readonly length: number };

export interface Written {
  readonly packed: Buffer;
  readonly plain: Buffer;
}

/** Bytes as they are put together. */
class Plain {
  #bytes = new Uint8Array(1 << 12);
  #length = 0;

  /** What it has so far. */
  get bytes(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#length));
  }

  /** @returns the bytes of this step */
  add(step: Step): Uint8Array {
    const start = this.#length;
    this.#grow("literals" in step ? step.literals.length : step.length);
    if ("literals" in step) this.#bytes.set(step.literals, start);
    else for (let at = start; at < this.#length; at++) this.#bytes[at] = this.#bytes[at - step.distance]!;
    return this.#bytes.subarray(start, this.#length);
  }

  #grow(bytes: number): void {
    this.#length += bytes;
    if (this.#length <= this.#bytes.length) return;
    const more = new Uint8Array(2 * this.#length);
    more.set(this.#bytes);
    this.#bytes = more;
  }
}

function plainOf(steps: readonly Step[]): Buffer {
  const plain = new Plain();
  for (const step of steps) plain.add(step);
  return plain.bytes;
}

const le = (value: number, bytes: number) =>
  Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) & 0xff);

/** LEB128, as snappy writes lengths. */
function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))];
}

/**
 * A snappy block (format_description.txt).
 * @param wide bytes more than are needed for each operand, where the format has a wider form
 */
export function snappyBlock(steps: readonly Step[], wide = 0): Written {
  const plain = plainOf(steps);
  const packed = varint(plain.length);
  for (const step of steps) {
    if ("literals" in step) {
      const n = step.literals.length - 1;
      const bytes = Math.min(4, (n < 60 ? 0 : n < 256 ? 1 : n < 65_536 ? 2 : 3) + wide);
      packed.push(((bytes === 0 ? n : 59 + bytes) << 2) | 0, ...le(n, bytes), ...step.literals);
      continue;
    }
    let { length } = step;
    const { distance } = step;
    while (length > 0) {
      const part = Math.min(length, 64);
      if (wide === 0 && part >= 4 && part < 12 && distance < 2048)
        packed.push(((distance >> 8) << 5) | ((part - 4) << 2) | 1, distance & 255);
      else if (wide < 2 && distance < 65_536) packed.push(((part - 1) << 2) | 2, ...le(distance, 2));
      else packed.push(((part - 1) << 2) | 3, ...le(distance, 4));
      length -= part;
    }
  }
  return { packed: Buffer.from(packed), plain };
}

/** Bytes that a length takes behind an instruction whose bits hold up to `most`: none, or zeros and the rest. */
function longer(length: number, most: number): { bits: number; bytes: number[] } {
  if (length <= most) return { bits: length, bytes: [] };
  const rest = length - most - 1;
  return { bits: 0, bytes: [...new Array<number>(Math.floor(rest / 255)).fill(0), (rest % 255) + 1] };
}

/**
 * An LZO1X block (Documentation/staging/lzo.rst), of version 0. Literals stand in the two bits of the copy before them
 * where they fit, and each copy in the first form that takes it.
 */
export function lzoBlock(steps: readonly Step[]): Written {
  const merged = mergeLiterals(steps);
  const packed: number[] = [];
  let state = 0;
  merged.forEach((step, i) => {
    if ("literals" in step) {
      const n = step.literals.length;
      if (i === 0 && n <= 238) packed.push(17 + n, ...step.literals);
      else if (i === 0 || n > 3) {
        const { bits, bytes } = longer(n - 3, 15);
        packed.push(bits, ...bytes, ...step.literals);
      } else return;
      state = Math.min(n, 4);
      return;
    }
    const next = merged[i + 1];
    const behind = next !== undefined && "literals" in next && next.literals.length < 4 ? next.literals : [];
    packed.push(...lzoCopy(step.distance, step.length, state, behind.length), ...behind);
    state = behind.length;
  });
  packed.push(0x11, 0, 0);
  return { packed: Buffer.from(packed), plain: plainOf(steps) };
}

function lzoCopy(distance: number, length: number, state: number, behind: number): number[] {
  const d = distance - 1;
  if (state > 0 && state < 4 && length === 2 && d < 1024) return [((d & 3) << 2) | behind, d >> 2];
  if (state === 4 && length === 3 && d >= 2048 && d < 3072) return [((d & 3) << 2) | behind, (d - 2048) >> 2];
  if (length >= 3 && length <= 8 && d < 2048) return [((length - 1) << 5) | ((d & 7) << 2) | behind, d >> 3];
  const near = distance <= 16_384;
  const { bits, bytes } = longer(length - 2, near ? 31 : 7);
  const word = near ? d : (distance - 16_384) & 0x3fff;
  const op = near ? 32 | bits : 16 | (distance - 16_384 >= 0x4000 ? 8 : 0) | bits;
  return [op, ...bytes, ...le((word << 2) | behind, 2)];
}

/**
 * Literals one after another are one step: there is no way to write a few behind a few. A copy of two bytes has a form only
 * behind a few literals: elsewhere it is literals as well.
 */
function mergeLiterals(steps: readonly Step[]): Step[] {
  const out: Step[] = [];
  const plain = new Plain();
  for (const given of steps) {
    const last = out.at(-1);
    const literals = last !== undefined && "literals" in last ? last.literals : new Uint8Array(0);
    const bytes = plain.add(given);
    const formless =
      "length" in given &&
      given.length === 2 &&
      (literals.length === 0 || literals.length > 3 || given.distance > 1024);
    const step = formless ? { literals: Uint8Array.from(bytes) } : given;
    if ("literals" in step && literals.length > 0)
      out[out.length - 1] = { literals: Uint8Array.from([...literals, ...step.literals]) };
    else out.push(step);
  }
  return out;
}
