/** Plain forms of JSON scalars, as parsers/trace/bytes.ts has them. Whatever is something else is 0: "not plain". */

export const QUOTE: u32 = 0x22;
export const COMMA: u32 = 0x2c;
export const COLON: u32 = 0x3a;
export const OPEN_BRACE: u32 = 0x7b;
export const CLOSE_BRACE: u32 = 0x7d;
export const NEWLINE: u32 = 10;

/** First byte from `p` on that is no white space. */
export function space(p: usize): usize {
  let c: u32 = load<u8>(p);
  if (c > 0x20 || c === NEWLINE) return p;
  while (c === 0x20 || c === 9 || c === 13) c = load<u8>(++p);
  return p;
}

/** The newline that ends a line; there is one. */
export function newlineFrom(from: usize): usize {
  let p = from;
  const newlines = i8x16.splat(<i8>NEWLINE);
  while (true) {
    const found = i8x16.bitmask(i8x16.eq(v128.load(p), newlines));
    if (found !== 0) return p + <usize>ctz(found);
    p += 16;
  }
}

/** The closing quote of a plain string, from the byte behind its opening one; or 0. */
export function plainText(from: usize): usize {
  let p = from;
  while (true) {
    const text = v128.load(p);
    // Printable ASCII but quote and backslash: as signed bytes, those beyond ASCII are below the blank.
    const other = v128.or(
      i8x16.lt_s(text, i8x16.splat(0x20)),
      v128.or(i8x16.eq(text, i8x16.splat(0x22)), i8x16.eq(text, i8x16.splat(0x5c))),
    );
    const found = i8x16.bitmask(other);
    if (found !== 0) {
      p += <usize>ctz(found);
      return load<u8>(p) === QUOTE ? p : 0;
    }
    p += 16;
  }
}

/** First byte from `p` on that is no hex digit. */
export function hexDigitsFrom(from: usize): usize {
  let p = from;
  while (true) {
    const text = v128.load(p);
    const isDigit = i8x16.lt_u(i8x16.sub(text, i8x16.splat(0x30)), i8x16.splat(10));
    const lower = v128.or(text, i8x16.splat(0x20));
    const isLetter = i8x16.lt_u(i8x16.sub(lower, i8x16.splat(0x61)), i8x16.splat(6));
    const others = ~i8x16.bitmask(v128.or(isDigit, isLetter)) & 0xffff;
    if (others !== 0) return p + <usize>ctz(others);
    p += 16;
  }
}

/** What `integer` and `hex` have read. */
export let value: u64 = 0;

/** Reads an unsigned integer of up to 15 digits. @returns the byte behind it, or 0 */
export function integer(from: usize): usize {
  let digit: u32 = <u32>load<u8>(from) - 0x30;
  if (digit > 9) return 0;
  let p = from + 1;
  let number: u64 = digit;
  if (digit !== 0) {
    while (true) {
      digit = <u32>load<u8>(p) - 0x30;
      if (digit > 9) break;
      number = number * 10 + digit;
      p++;
    }
    if (p - from > 15) return 0;
  }
  value = number;
  return p;
}

/** Reads `"0x…"`, from its opening quote. @returns the byte behind the closing one, or 0 */
export function hex(from: usize): usize {
  // Quote, 0, x or X.
  if ((load<u32>(from) & 0xdf_ffff) !== 0x58_3022) return 0;
  const p = from + 3;
  const text = v128.load(p);
  const digit = i8x16.sub(text, i8x16.splat(0x30));
  const letter = i8x16.sub(v128.or(text, i8x16.splat(0x20)), i8x16.splat(0x61));
  const isDigit = i8x16.lt_u(digit, i8x16.splat(10));
  const isLetter = i8x16.lt_u(letter, i8x16.splat(6));
  const count = ctz(~i8x16.bitmask(v128.or(isDigit, isLetter)));
  const end = p + <usize>count;
  if (count === 0 || load<u8>(end) !== QUOTE) return 0;
  const nibbles = v128.or(v128.and(digit, isDigit), v128.and(i8x16.add(letter, i8x16.splat(10)), isLetter));
  // The last digit to the end, zeros before the first: what is taken from beyond the sixteen is zero.
  const order = i8x16.add(
    i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    i8x16.splat(<i8>(count - 16)),
  );
  const right = i8x16.swizzle(nibbles, order);
  // Two digits are a word, the first one in its low byte.
  const pairs = v128.or(i16x8.shl(v128.and(right, i16x8.splat(0x0f)), 4), i16x8.shr_u(right, 8));
  value = bswap<u64>(i64x2.extract_lane(i8x16.narrow_i16x8_u(pairs, pairs), 0));
  return end + 1;
}
