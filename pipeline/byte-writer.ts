const HEX = new Uint8Array(Buffer.from("0123456789abcdef", "latin1"));

/** Numbers from here on are written in parts. */
const LARGE_DIGITS = 9;
const LARGE = 10 ** LARGE_DIGITS;

/** From here on a native copy beats a loop. */
const NATIVE_COPY = 24;

/** ASCII bytes of a constant, to be written with `put`. */
export function ascii(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

/** UTF-8 bytes of a text as a JSON string, quotes included. */
export function jsonBytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(JSON.stringify(text), "utf8"));
}

/**
 * Appends NDJSON to a growing buffer byte by byte. Half the cost of template literals and `latin1Write` on
 * outcome records (test/bench/outcome-writer.ts), because numbers never become strings.
 */
export class ByteWriter {
  #buffer: Buffer;
  #length = 0;
  /** The buffer of the last `take`, and one that may be used again. */
  #lent: Buffer | null = null;
  #spare: Buffer | null = null;
  /** Bytes handed out by `take` so far. */
  #taken = 0;

  constructor(capacity = 1 << 18) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  /** Bytes waiting to be taken. */
  get length(): number {
    return this.#length;
  }

  /** All bytes ever written. */
  get total(): number {
    return this.#taken + this.#length;
  }

  /** The waiting bytes, as a buffer of their own; the writer starts anew. */
  take(): Buffer {
    const buffer = this.#buffer;
    const out = buffer.subarray(0, this.#length);
    this.#taken += this.#length;
    const spare = this.#spare;
    this.#buffer = spare !== null ? spare : Buffer.allocUnsafe(buffer.length);
    this.#spare = null;
    this.#lent = buffer;
    this.#length = 0;
    return out;
  }

  /** What the last `take` gave is not needed any more: its memory may serve again. */
  recycle(): void {
    this.#spare = this.#lent;
    this.#lent = null;
  }

  /** Makes room for `bytes` more; the `put` family below does not check. */
  reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }

  /** A constant of at most a few dozen bytes. */
  put(bytes: Uint8Array): void {
    const buffer = this.#buffer;
    const at = this.#length;
    const n = bytes.length;
    if (n < NATIVE_COPY) for (let i = 0; i < n; i++) buffer[at + i] = bytes[i]!;
    else buffer.set(bytes, at);
    this.#length = at + n;
  }

  /** A non-negative integer below 2^53, in decimal. */
  decimal(n: number): void {
    const buffer = this.#buffer;
    if (n < 10) {
      buffer[this.#length++] = 48 + n;
      return;
    }
    if (n < LARGE) this.#small(n);
    else {
      // Two parts of which both are exact, and fit int32 arithmetic where it matters.
      const high = Math.floor(n / LARGE);
      this.decimal(high);
      this.#padded(n - high * LARGE);
    }
  }

  #small(n: number): void {
    const buffer = this.#buffer;
    const digits =
      n < 1e4 ? (n < 100 ? 2 : n < 1e3 ? 3 : 4) : n < 1e6 ? (n < 1e5 ? 5 : 6) : n < 1e7 ? 7 : n < 1e8 ? 8 : 9;
    const end = this.#length + digits;
    let rest = n;
    for (let i = end - 1; i >= this.#length; i--) {
      const quotient = (rest / 10) | 0;
      buffer[i] = 48 + rest - quotient * 10;
      rest = quotient;
    }
    this.#length = end;
  }

  /** With leading zeros, as the rest of a larger number. */
  #padded(n: number): void {
    const buffer = this.#buffer;
    let rest = n;
    for (let i = this.#length + LARGE_DIGITS - 1; i >= this.#length; i--) {
      const quotient = (rest / 10) | 0;
      buffer[i] = 48 + rest - quotient * 10;
      rest = quotient;
    }
    this.#length += LARGE_DIGITS;
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
      this.#hexDigits(hi, 8 - (Math.clz32(hi) >>> 2));
      this.#hexDigits(lo, 8);
    } else this.#hexDigits(lo, lo === 0 ? 1 : 8 - (Math.clz32(lo) >>> 2));
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

  #hexDigits(word: number, digits: number): void {
    const buffer = this.#buffer;
    let at = this.#length;
    for (let shift = (digits - 1) << 2; shift >= 0; shift -= 4) buffer[at++] = HEX[(word >>> shift) & 15]!;
    this.#length = at;
  }
}
