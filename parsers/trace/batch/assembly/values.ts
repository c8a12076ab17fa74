/** Reads values of fields, of the kinds that they may have: each gives the byte behind the value, or 0 where it is not plain. */
import { LONGEST_NAME, LONGEST_TS, NAME_BYTES, NAME_LENGTH, NAME_SLOTS, NAME_TEXT } from "../layout";
import { COLON, hex, hexDigitsFrom, integer, plainText, QUOTE, space, value } from "./text";

/** Of the object at hand: RECORD_FLAGS, which of the fields have been seen that may not be left out, and whether any was skipped. */
export let flags: u32 = 0;
export let seen: u32 = 0;
export let skipped: bool = false;

export function begin(first: u32): void {
  flags = first;
  seen = 0;
}

export function setBits(mask: u32, bits: u32): void {
  flags = (flags & ~mask) | bits;
}

export function see(field: u32): void {
  seen |= field;
}

export function skipNone(): void {
  skipped = false;
}

/** The value behind a name whose closing quote is at `quote`, or 0. */
export function behind(quote: usize): usize {
  // Quote and colon, and no white space, as nearly always.
  if (load<u8>(quote + 1) === COLON && load<u8>(quote + 2) > 0x20) return quote + 2;
  if (load<u8>(quote) !== QUOTE) return 0;
  const p = space(quote + 1);
  return load<u8>(p) === COLON ? space(p + 1) : 0;
}

export function hexTo(p: usize, to: usize): usize {
  const end = hex(p);
  store<u64>(to, value);
  return end;
}

export function integer32To(p: usize, to: usize, least: u64, most: u64): usize {
  const end = integer(p);
  store<u32>(to, <u32>value);
  return value < least || value > most ? 0 : end;
}

export function integer64To(p: usize, to: usize, least: u64, most: u64): usize {
  const end = integer(p);
  store<u64>(to, value);
  return value < least || value > most ? 0 : end;
}

/** @param bit of `flags` that it becomes */
export function truth(p: usize, bit: u32): usize {
  const word = load<u32>(p);
  // "true", and "fals".
  if (word === 0x65_7572_74) {
    flags |= bit;
    return p + 4;
  }
  if (word !== 0x736c_6166 || load<u8>(p + 4) !== 0x65) return 0;
  flags &= ~bit;
  return p + 5;
}

/** A text, or a number without an exponent. @param to where goes where it begins @param length where goes how long it is */
export function opaque(from: usize, to: usize, length: usize): usize {
  let p = from;
  if (load<u8>(p) === QUOTE) {
    p = plainText(p + 1);
    if (p === 0) return 0;
    p++;
  } else {
    const first = load<u8>(p) === 0x2d ? p + 1 : p;
    p = digits(first);
    if (p > first + 1 && load<u8>(first) === 0x30) return 0;
    if (p !== 0 && load<u8>(p) === 0x2e) p = digits(p + 1);
    if (p === 0) return 0;
  }
  if (p - from > <usize>LONGEST_TS) return 0;
  store<u32>(to, <u32>from);
  store<u32>(length, <u32>(p - from));
  return p;
}

/** An even number of hex digits. @param to where goes where they begin @param length where goes how many there are */
export function digitsTo(from: usize, to: usize, length: usize): usize {
  if (load<u8>(from) !== QUOTE) return 0;
  const end = hexDigitsFrom(from + 1);
  const count = <u32>(end - from - 1);
  store<u32>(to, <u32>from + 1);
  store<u32>(length, count);
  return load<u8>(end) === QUOTE && (count & 1) === 0 ? end + 1 : 0;
}

/** Skips one digit and those behind it. */
function digits(from: usize): usize {
  let p = from;
  while (isDigit(load<u8>(p))) p++;
  return p === from ? 0 : p;
}

function isDigit(c: u32): bool {
  return c - 0x30 <= 9;
}

/** Skips a plain value: what it says is somebody else's, who knows the text that it is in. */
export function asText(from: usize): usize {
  let p = from;
  skipped = true;
  if (load<u8>(p) === QUOTE) {
    p = plainText(p + 1);
    return p === 0 ? 0 : p + 1;
  }
  while (isDigit(load<u8>(p)) || <u32>load<u8>(p) - 0x61 <= 25) p++;
  return p === from ? 0 : p;
}

/** Looks up a name in a table. @param to where its number goes @returns the byte behind it, or 0 */
export function nameTo(from: usize, table: usize, to: usize): usize {
  if (load<u8>(from) !== QUOTE) return 0;
  const text = from + 1;
  const end = plainText(text);
  const length = <u32>(end - text);
  if (end === 0 || length === 0 || length > <u32>LONGEST_NAME) return 0;
  const a = v128.and(v128.load(text), lowBytes(length));
  const b = length > 16 ? v128.and(v128.load(text + 16), lowBytes(length - 16)) : i64x2.splat(0);
  let slot = nameHash(a, b) & (NAME_SLOTS - 1);
  while (true) {
    const at = table + <usize>slot * NAME_BYTES;
    const number = load<u32>(at);
    if (number === 0) return 0;
    const differs = v128.or(
      v128.xor(a, v128.load(at, NAME_TEXT)),
      v128.xor(b, v128.load(at + 16, NAME_TEXT)),
    );
    if (!v128.any_true(differs) && load<u32>(at, NAME_LENGTH) === length) {
      store<u32>(to, number - 1);
      return end + 1;
    }
    slot = (slot + 1) & (NAME_SLOTS - 1);
  }
}

function nameHash(a: v128, b: v128): u32 {
  const low = i64x2.extract_lane(a, 0) ^ (i64x2.extract_lane(b, 0) << 1) ^ (i64x2.extract_lane(b, 1) << 2);
  const hash = <u64>(low ^ (i64x2.extract_lane(a, 1) * 5)) * <u64>0x1b_8735_93cc_9e2d;
  return <u32>(hash >> 40);
}

/** Ones in so many low bytes, 1 to 16 or more. */
function lowBytes(count: u32): v128 {
  const bytes = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return i8x16.lt_u(bytes, i8x16.splat(<i8>min<u32>(count, 16)));
}

/**
 * Enters a name that stands at `text`, with zeros behind it, into a table that has a free slot.
 * @param number of the name
 */
export function enterName(table: usize, text: usize, length: u32, number: u32): void {
  const a = v128.load(text);
  const b = v128.load(text + 16);
  let slot = nameHash(a, b) & (NAME_SLOTS - 1);
  while (load<u32>(table + <usize>slot * NAME_BYTES) !== 0) slot = (slot + 1) & (NAME_SLOTS - 1);
  const at = table + <usize>slot * NAME_BYTES;
  store<u32>(at, number + 1);
  store<u32>(at, length, NAME_LENGTH);
  v128.store(at, a, NAME_TEXT);
  v128.store(at + 16, b, NAME_TEXT);
}
