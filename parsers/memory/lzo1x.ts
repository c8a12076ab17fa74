/**
 * LZO1X as liblzo2's lzo1x_1_compress writes it, which makedumpfile and QEMU use for the pages of a kdump.
 * Source: Linux's Documentation/staging/lzo.rst, bitstream version 0.
 */
import { copyWithin } from "./snappy.ts";

/** A first byte above this is a run of literals of that many more bytes. */
const FIRST_LITERALS = 17;
/** What was copied last, where it was neither nothing nor up to 3 literals behind a match. */
const LONG_LITERALS = 4;
/** The distance that ends the data. */
const END = 16_384;
/** Each instruction is followed by at least the end mark's other two bytes. */
const LEAST = 3;

/**
 * Decompresses a block of at most `maxBytes`.
 * @throws Error where it is none, or becomes more
 */
export function decompressLzo1x(block: Uint8Array, maxBytes: number): Uint8Array {
  const out = new Uint8Array(maxBytes);
  let from = 0;
  let to = 0;
  /** Literals behind the last instruction: 0 to 3, or LONG_LITERALS. */
  let state = 0;

  const cut = (): Error => new Error("the end of the data before its end mark");
  const literals = (length: number): void => {
    if (from + length > block.length) throw cut();
    if (to + length > maxBytes) throw new Error(`data larger than ${maxBytes} bytes`);
    out.set(block.subarray(from, from + length), to);
    from += length;
    to += length;
  };
  /** A length that its bits in the instruction hold, or that goes on in further bytes. */
  const lengthOf = (bits: number, mask: number): number => {
    if ((bits & mask) !== 0) return bits & mask;
    let length = mask;
    while (block[from] === 0) {
      length += 255;
      from++;
    }
    if (from >= block.length) throw cut();
    return length + block[from++]!;
  };
  const byte = (): number => {
    if (from >= block.length) throw cut();
    return block[from++]!;
  };

  if (block.length > 0 && block[0]! > FIRST_LITERALS) {
    const length = block[from++]! - FIRST_LITERALS;
    literals(length);
    state = Math.min(length, LONG_LITERALS);
  }
  for (;;) {
    if (from + LEAST > block.length) throw cut();
    const op = block[from++]!;
    let length: number;
    let distance: number;
    let behind = op & 3;
    if (op >= 64) {
      length = (op >>> 5) + 1;
      distance = 1 + ((op >>> 2) & 7) + (byte() << 3);
    } else if (op >= 16) {
      const near = op >= 32;
      length = 2 + lengthOf(op, near ? 31 : 7);
      const low = byte();
      const word = low | (byte() << 8);
      behind = word & 3;
      distance = near ? 1 + (word >>> 2) : END + ((op & 8) << 11) + (word >>> 2);
      if (!near && distance === END) break;
    } else if (state === 0) {
      literals(3 + lengthOf(op, 15));
      state = LONG_LITERALS;
      continue;
    } else {
      const long = state === LONG_LITERALS;
      length = long ? 3 : 2;
      distance = (long ? 2049 : 1) + (op >>> 2) + (byte() << 2);
    }
    if (distance > to) throw new Error(`a copy from ${distance} bytes before byte ${to}`);
    if (to + length > maxBytes) throw new Error(`data larger than ${maxBytes} bytes`);
    copyWithin(out, to, distance, length);
    to += length;
    literals(behind);
    state = behind;
  }
  if (from !== block.length) throw new Error(`${block.length - from} bytes behind the end mark`);
  return out.subarray(0, to);
}
