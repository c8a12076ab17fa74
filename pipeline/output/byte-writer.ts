/** Digits that are written at once, and the number of values they have. */
const GROUP_DIGITS = 4;
const GROUP = 10 ** GROUP_DIGITS;
/** Largest number of two groups, plus one. */
const TWO_GROUPS = GROUP * GROUP;
/** Four decimal digits with leading zeros, the first one in the low byte. */
const GROUPS = Int32Array.from(
  { length: GROUP },
  (_, n) =>
    0x3030_3030 |
    Math.floor(n / 1000) |
    ((Math.floor(n / 100) % 10) << 8) |
    ((Math.floor(n / 10) % 10) << 16) |
    ((n % 10) << 24),
);

const WORD_BYTES = 8;
/** What writes of whole words may touch behind the text. */
const SLACK_BYTES = 2 * WORD_BYTES;

/**
 * A constant text, to be written with `put`. Its words are float64 for want of a faster way to move 8 bytes: none
 * of them is a NaN, whose bits might not survive, since no 0x7f follows a byte from 0xf0 on in UTF-8 and 0xff is
 * not in it at all.
 */
export class Piece {
  /** Bytes of the text. */
  readonly length: number;
  /** The text as little-endian words, zeros behind it. */
  readonly words: Float64Array;

  /** @param bytes well-formed UTF-8 */
  constructor(bytes: Uint8Array) {
    this.length = bytes.length;
    this.words = new Float64Array(Math.ceil(bytes.length / WORD_BYTES));
    const padded = Buffer.alloc(this.words.length * WORD_BYTES);
    padded.set(bytes);
    for (let i = 0; i < this.words.length; i++) this.words[i] = padded.readDoubleLE(i * WORD_BYTES);
  }
}

export function piece(text: string): Piece {
  return new Piece(Buffer.from(text, "utf8"));
}

/**
 * Appends NDJSON to a growing buffer, in words of 4 and 8 bytes: several times as fast as template literals and
 * `Buffer.write` on outcome records (test/bench/outcome-writer.ts), because numbers never become strings.
 */
export class ByteWriter {
  #buffer: Buffer;
  #view: DataView;
  #length = 0;
  /** The buffer of the last `take`, and those that may be used next. */
  #lent: Buffer | null = null;
  #free: Buffer[] = [];
  /** Buffers that it was given: it returns to them. */
  readonly #given: readonly Buffer[];
  /** Bytes handed out by `take` so far. */
  #taken = 0;
  /** Where held bytes begin in the buffer; -1: nothing is held. */
  #held = -1;

  /** @param buffers a capacity, or two buffers to write to in turn as far as they do */
  constructor(buffers: number | readonly Buffer[] = 1 << 18) {
    this.#given = typeof buffers === "number" ? [] : buffers;
    this.#free = this.#given.slice(1);
    this.#buffer = typeof buffers === "number" ? Buffer.allocUnsafeSlow(buffers + SLACK_BYTES) : buffers[0]!;
    this.#view = viewOf(this.#buffer);
  }

  /** Where the next byte goes in the memory that the buffers it was given are of; 0: it goes elsewhere. */
  get place(): number {
    return this.#given.includes(this.#buffer) && this.#held < 0 ? this.#buffer.byteOffset + this.#length : 0;
  }

  /** Bytes that can be written there. */
  get room(): number {
    return this.#buffer.length - SLACK_BYTES - this.#length;
  }

  /** So many bytes have been written at `place`. */
  advance(bytes: number): void {
    this.#length += bytes;
  }

  /** Bytes waiting to be taken. */
  get length(): number {
    return this.#held < 0 ? this.#length : this.#held;
  }

  /** Bytes held back. */
  get held(): number {
    return this.#held < 0 ? 0 : this.#length - this.#held;
  }

  /** All bytes ever written. */
  get total(): number {
    return this.#taken + this.#length;
  }

  /** The waiting bytes, as a buffer of their own; the writer starts anew. */
  take(): Buffer {
    const buffer = this.#buffer;
    const { length, held } = this;
    const out = buffer.subarray(0, length);
    this.#taken += length;
    const at = this.#free.findIndex((free) => free.length >= held + SLACK_BYTES);
    this.#use(at < 0 ? Buffer.allocUnsafeSlow(buffer.length) : this.#free.splice(at, 1)[0]!);
    if (this.#held >= 0) {
      buffer.copy(this.#buffer, 0, length, length + held);
      this.#held = 0;
    }
    this.#lent = buffer;
    this.#length = held;
    return out;
  }

  /** The waiting bytes, in place: the first `length` ones, until something is written. */
  get bytes(): Buffer {
    return this.#buffer;
  }

  /** Drops the waiting bytes. Nothing may be held. */
  clear(): void {
    this.#length = 0;
  }

  /** What is written from here on cannot be taken before `release`; until then it can be changed. */
  hold(): void {
    if (this.#held < 0) this.#held = this.#length;
  }

  /** What was written before `end`, counted as `total` counts, can be taken; without it everything. */
  release(end = -1): void {
    this.#held = end < 0 ? -1 : end - this.#taken;
  }

  /** Changes held bytes, in order: `start` to `end` - 1, counted as `total` counts, become others. */
  rewrite(
    edits: readonly { readonly start: number; readonly end: number; readonly bytes: Uint8Array }[],
  ): void {
    const from = this.#held;
    const old = Buffer.from(this.#buffer.subarray(from, this.#length));
    const base = this.#taken + from;
    const pieces: Uint8Array[] = [];
    let done = 0;
    for (const { start, end, bytes } of edits) {
      pieces.push(old.subarray(done, start - base), bytes);
      done = end - base;
    }
    const changed = Buffer.concat([...pieces, old.subarray(done)]);
    this.#length = from;
    this.reserve(changed.length);
    changed.copy(this.#buffer, from);
    this.#length = from + changed.length;
  }

  /** What the last `take` gave is not needed any more: its memory may serve again. */
  recycle(): void {
    if (this.#lent === null) return;
    this.#release(this.#lent);
    this.#lent = null;
  }

  /** Makes room for `bytes` more; the `put` family below does not check. */
  reserve(bytes: number): void {
    if (this.#length + bytes + SLACK_BYTES <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(
      Math.max(this.#buffer.length * 2, this.#length + bytes + SLACK_BYTES),
    );
    this.#buffer.copy(larger, 0, 0, this.#length);
    if (this.#given.includes(this.#buffer)) this.#release(this.#buffer);
    this.#use(larger);
  }

  /** A buffer may be used again: those that were given before all others. */
  #release(buffer: Buffer): void {
    if (this.#given.length === 0) this.#free = [buffer];
    else if (this.#given.includes(buffer)) this.#free.push(buffer);
  }

  #use(buffer: Buffer): void {
    this.#buffer = buffer;
    this.#view = viewOf(buffer);
  }

  put(piece: Piece): void {
    const view = this.#view;
    const words = piece.words;
    let at = this.#length;
    this.#length = at + piece.length;
    for (let i = 0; i < words.length; i++) {
      view.setFloat64(at, words[i]!, true);
      at += WORD_BYTES;
    }
  }

  /** A non-negative integer below 2^53, in decimal. */
  decimal(n: number): void {
    if (n < GROUP) this.#group(n);
    else if (n < TWO_GROUPS) {
      const high = (n / GROUP) | 0;
      this.#group(high);
      this.#padded(n - high * GROUP);
    } else {
      const high = Math.floor(n / TWO_GROUPS);
      const low = n - high * TWO_GROUPS;
      const middle = (low / GROUP) | 0;
      this.decimal(high);
      this.#padded(middle);
      this.#padded(low - middle * GROUP);
    }
  }

  /** One group, without leading zeros. */
  #group(n: number): void {
    const missing = n < 100 ? (n < 10 ? 3 : 2) : n < 1000 ? 1 : 0;
    this.#view.setInt32(this.#length, GROUPS[n]! >>> (missing * 8), true);
    this.#length += GROUP_DIGITS - missing;
  }

  /** One group, with leading zeros. */
  #padded(n: number): void {
    this.#view.setInt32(this.#length, GROUPS[n]!, true);
    this.#length += GROUP_DIGITS;
  }

  /** A safe integer, in decimal. */
  integer(n: number): void {
    if (n < 0) this.#buffer[this.#length++] = 45;
    this.decimal(Math.abs(n));
  }

  /** Bytes `start` to `end` - 1 of another buffer. */
  copy(bytes: Uint8Array, start: number, end: number): void {
    const buffer = this.#buffer;
    let at = this.#length;
    for (let i = start; i < end; i++) buffer[at++] = bytes[i]!;
    this.#length = at;
  }

  /** A 64-bit value as lowercase hex digits without padding (no "0x"). */
  hex(hi: number, lo: number): void {
    if (hi !== 0) {
      const zeros = Math.clz32(hi) >>> 2;
      const shift = zeros << 2;
      // The first digit goes to the top; what follows the last one is overwritten or left out.
      const high = shift === 0 ? hi : (hi << shift) | (lo >>> (32 - shift));
      this.#hexDigits(high);
      this.#length += 8;
      this.#hexDigits(lo << shift);
      this.#length += 8 - zeros;
    } else {
      const zeros = Math.min(Math.clz32(lo) >>> 2, 7);
      this.#hexDigits(lo << (zeros << 2));
      this.#length += 8 - zeros;
    }
  }

  /** The byte address of an offset in a 4 KiB frame, as hex digits. */
  address(frame: number, offset: number): void {
    this.hex((frame / 0x10_0000) | 0, (frame << 12) | offset);
  }

  /** A text of any length, as UTF-8. Not for the hot path. */
  text(text: string): void {
    this.reserve(text.length * 3);
    this.#length += this.#buffer.write(text, this.#length, "utf8");
  }

  /** Eight digits at the end of the text, without moving it. */
  #hexDigits(word: number): void {
    this.#view.setInt32(this.#length, fourDigits(word >>> 16), false);
    this.#view.setInt32(this.#length + 4, fourDigits(word & 0xffff), false);
  }
}

/** A 16-bit value as four hex digits, the first one in the top byte: all four are made at once. */
function fourDigits(value: number): number {
  const pairs = (value | (value << 8)) & 0x00ff_00ff;
  const digits = (pairs | (pairs << 4)) & 0x0f0f_0f0f;
  // A byte from 10 on carries into its upper half when 6 is added.
  const letters = ((digits + 0x0606_0606) >>> 4) & 0x0101_0101;
  return digits + 0x3030_3030 + Math.imul(letters, 0x27);
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
}
