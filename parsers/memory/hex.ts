/** Value of an ASCII hex digit; 0x80 for everything else. */
const DIGITS = new Uint8Array(256).fill(0x80);
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16);
  DIGITS[digit.charCodeAt(0)] = value;
  DIGITS[digit.toUpperCase().charCodeAt(0)] = value;
}

/** Decodes hex digits that stand as ASCII in a buffer into bytes of its own, which it uses again. */
export class HexDecoder {
  /** The first `count` bytes are those of the last `decode`. */
  bytes: Buffer = Buffer.alloc(FIRST_BYTES);
  count = 0;
  /** What was wrong, after `decode` returned false. */
  problem = "";

  /**
   * Decodes the digits from `start` to `end` - 1 of `text`.
   * @returns false for an odd number of digits, or something that is none
   */
  decode(text: Uint8Array, start: number, end: number): boolean {
    const digits = end - start;
    this.count = digits >>> 1;
    if ((digits & 1) !== 0) {
      this.problem = `expected an even number of hex digits, found ${digits}`;
      return false;
    }
    if (this.bytes.length < this.count)
      this.bytes = Buffer.alloc(Math.max(this.count, 2 * this.bytes.length));
    if (this.count >= NATIVE_BYTES) return this.#decodeLong(text, start, end);
    const bytes = this.bytes;
    let bad = 0;
    for (let from = start, to = 0; from < end; from += 2, to++) {
      const high = DIGITS[text[from]!]!;
      const low = DIGITS[text[from + 1]!]!;
      bad |= high | low;
      bytes[to] = (high << 4) | low;
    }
    if ((bad & 0x80) === 0) return true;
    this.problem = this.#firstBad(text, start, end);
    return false;
  }

  /** Node's own decoder stops at the first thing that is no digit. */
  #decodeLong(text: Uint8Array, start: number, end: number): boolean {
    const digits = Buffer.from(text.buffer, text.byteOffset + start, end - start).toString("latin1");
    if (this.bytes.write(digits, "hex") === this.count) return true;
    this.problem = this.#firstBad(text, start, end);
    return false;
  }

  #firstBad(text: Uint8Array, start: number, end: number): string {
    let at = start;
    while (at < end && DIGITS[text[at]!]! < 16) at++;
    const found = JSON.stringify(String.fromCharCode(text[at]!));
    return `expected hex digits, found ${found} in place of digit ${at - start}`;
  }
}

/** The longest common record, a page, fits without growing. */
const FIRST_BYTES = 4096;
/** From here on Node's decoder is faster, in spite of the string that it wants (test/bench/memory.ts). */
const NATIVE_BYTES = 256;
