/**
 * Reading the plain forms of JSON scalars from bytes: no escapes, nothing beyond ASCII, no exponents. Everything
 * else gives -1, "not plain", and is left to JSON.parse. All scans stop at a newline at the latest.
 */
import { NEWLINE, skipSpace } from "./json-syntax.ts";

export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;

/** Value of a hex digit, -1 for any other byte. */
const HEX_DIGIT = new Int8Array(256).fill(-1);
for (let d = 0; d < 16; d++) {
  const digit = d.toString(16);
  HEX_DIGIT[digit.charCodeAt(0)] = d;
  HEX_DIGIT[digit.toUpperCase().charCodeAt(0)] = d;
}

/** 1 for a byte that stands for itself in a string: printable ASCII but quote and backslash. */
const PLAIN = new Uint8Array(256);
for (let c = 0x20; c < 0x80; c++) PLAIN[c] = c === QUOTE || c === 0x5c ? 0 : 1;

/** Where a value is left that was read. */
export class Scalars {
  /** A 64-bit quantity. */
  hi = 0;
  lo = 0;
  number = 0;
  /** A range of bytes. */
  start = 0;
  end = 0;
  bytes: Uint8Array = new Uint8Array(0);

  /** Whether the range is this text, which is ASCII. */
  is(text: string): boolean {
    if (this.end - this.start !== text.length) return false;
    for (let i = 0; i < text.length; i++) if (this.bytes[this.start + i] !== text.charCodeAt(i)) return false;
    return true;
  }
}

/** The first four bytes of an ASCII text as a little-endian word; zeros behind a shorter one. */
export function wordOf(text: string): number {
  let word = 0;
  for (let i = 0; i < 4 && i < text.length; i++) word |= text.charCodeAt(i) << (8 * i);
  return word;
}

/**
 * Reads `"0x…"` into `out.hi` and `out.lo`.
 * @param at offset of the opening quote
 * @returns offset after the closing quote, or -1
 */
export function hex64At(bytes: Uint8Array, at: number, out: Scalars): number {
  if (bytes[at] !== QUOTE || bytes[at + 1] !== 0x30 || (bytes[at + 2]! | 0x20) !== 0x78) return -1;
  const first = at + 3;
  let p = first;
  let hi = 0;
  let lo = 0;
  for (;;) {
    const digit = HEX_DIGIT[bytes[p]!]!;
    if (digit < 0) break;
    hi = (hi << 4) | (lo >>> 28);
    lo = (lo << 4) | digit;
    p++;
  }
  if (bytes[p] !== QUOTE || p === first || p - first > 16) return -1;
  out.hi = hi;
  out.lo = lo;
  return p + 1;
}

/**
 * Reads an unsigned integer of up to 15 digits into `out.number`.
 * @returns offset after it, or -1. The caller's check of what follows refuses fractions and exponents
 */
export function integerAt(bytes: Uint8Array, at: number, out: Scalars): number {
  let digit = bytes[at]! - 0x30;
  if (digit < 0 || digit > 9) return -1;
  let p = at + 1;
  let value = digit;
  if (value !== 0) {
    for (;;) {
      digit = bytes[p]! - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      p++;
    }
    if (p - at > 15) return -1;
  }
  out.number = value;
  return p;
}

/**
 * Skips the plain text of a string.
 * @param at offset after the opening quote
 * @returns offset of the closing quote, or -1
 */
export function plainTextAt(bytes: Uint8Array, at: number): number {
  let p = at;
  while (PLAIN[bytes[p]!] === 1) p++;
  return bytes[p] === QUOTE ? p : -1;
}

/**
 * Skips `"…"` of an even number of hex digits.
 * @param at offset of the opening quote
 * @returns offset of the closing quote, or -1
 */
export function hexBytesAt(bytes: Uint8Array, at: number): number {
  if (bytes[at] !== QUOTE) return -1;
  let p = at + 1;
  while (HEX_DIGIT[bytes[p]!]! >= 0) p++;
  return bytes[p] === QUOTE && ((p - at) & 1) === 1 ? p : -1;
}

/** Whether bytes `start` to `end` (exclusive) are all ASCII. */
export function isAscii(bytes: Uint8Array, start: number, end: number): boolean {
  for (let p = start; p < end; p++) if (bytes[p]! >= 0x80) return false;
  return true;
}

/** Offset of the first byte that is not white space; most often there is none to skip. */
export function space(bytes: Uint8Array, at: number): number {
  const c = bytes[at]!;
  return c > 0x20 || c === NEWLINE ? at : skipSpace(bytes, at);
}
