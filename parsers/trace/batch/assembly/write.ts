/** Writes numbers and pieces of text. What is written may reach 16 bytes behind its end. */
import { DIGIT_GROUP, DIGITS_AT, FIXED_AT, FIXED_BYTES, FIXED_LENGTH } from "../layout";

const GROUP: u64 = DIGIT_GROUP;

/** Makes the groups of digits. */
export function makeDigits(): void {
  for (let n: u32 = 0; n < <u32>DIGIT_GROUP; n++) {
    const word = (n / 1000) | (((n / 100) % 10) << 8) | (((n / 10) % 10) << 16) | ((n % 10) << 24);
    store<u32>(DIGITS_AT + 4 * n, 0x3030_3030 | word);
  }
}

/** Copies a text. @returns where the next one goes */
export function copy(out: usize, from: usize, length: usize): usize {
  let at: usize = 0;
  do {
    v128.store(out + at, v128.load(from + at));
    at += 16;
  } while (at < length);
  return out + length;
}

/** Writes one of the texts that every outcome has. */
export function fixed(out: usize, which: i32): usize {
  const from: usize = FIXED_AT + <usize>which * FIXED_BYTES;
  v128.store(out, v128.load(from));
  v128.store(out + 16, v128.load(from + 16));
  return out + load<u32>(from, FIXED_LENGTH);
}

/** Writes a number in decimal. */
export function decimal(out: usize, n: u64): usize {
  if (n < GROUP) return group(out, <u32>n);
  if (n < GROUP * GROUP) {
    const high = <u32>n / DIGIT_GROUP;
    const at = group(out, high);
    store<u32>(at, digitsOf(<u32>n - high * DIGIT_GROUP));
    return at + 4;
  }
  const high = n / (GROUP * GROUP);
  const low = <u32>(n - high * (GROUP * GROUP));
  const at = decimal(out, high);
  const middle = low / DIGIT_GROUP;
  store<u32>(at, digitsOf(middle));
  store<u32>(at + 4, digitsOf(low - middle * DIGIT_GROUP));
  return at + 8;
}

function digitsOf(n: u32): u32 {
  return load<u32>(DIGITS_AT + 4 * n);
}

/** One group, without leading zeros. */
function group(out: usize, n: u32): usize {
  const missing: u32 = n < 100 ? (n < 10 ? 3 : 2) : n < 1000 ? 1 : 0;
  store<u32>(out, digitsOf(n) >> (missing * 8));
  return out + 4 - missing;
}

/** Writes a number in hex digits, without leading zeros. */
export function hexDigits(out: usize, n: u64): usize {
  const zeros = <u32>clz(n | 1) >> 2;
  const bytes = i64x2.splat(bswap<u64>(n << (zeros * 4)));
  const low = v128.and(bytes, i8x16.splat(0x0f));
  const high = v128.and(i8x16.shr_u(bytes, 4), i8x16.splat(0x0f));
  const nibbles = i8x16.shuffle(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const letters = i8x16(48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 97, 98, 99, 100, 101, 102);
  v128.store(out, i8x16.swizzle(letters, nibbles));
  return out + 16 - zeros;
}
