/** Random bytes from seeds: what the mutators of all targets have in common. The same seed gives the same inputs. */
import type { Random } from "../../walkers/fuzz/random.ts";

/** Longest input: longer ones find no more, and take longer. */
const MOST_BYTES = 1 << 16;
const MOST_MUTATIONS = 6;

/** Numbers around which parsers go wrong. */
const NUMBERS: readonly number[] = [
  0,
  1,
  2,
  7,
  8,
  127,
  128,
  255,
  256,
  4095,
  4096,
  65_535,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];

/** Pieces of text around which parsers of text go wrong. */
const WORDS: readonly Uint8Array[] = [
  ...'{ } [ ] , : " \\ \\u0000 \\ud800 \\u2028 null true false 0 -0 1e999 0.5 1048576 4294967296 9007199254740993 0x 0xffffffffffffffff 0x10000000000000000'.split(
    " ",
  ),
  "\n",
  "\r\n",
  " ",
  "\t",
  "é",
  "😀",
  '"type":"dma"',
  '"__proto__":',
  '"addr":"0xfffffffffffff000"',
  '"pasid":1048575',
  '"len":4294967295',
  "\ufeff",
].map((text) => Buffer.from(text));

/** Changes an input in a few places, or splices it with another one. */
export function mutated(random: Random, seeds: readonly Uint8Array[]): Uint8Array {
  let bytes: Uint8Array = random.pick(seeds);
  for (let n = 1 + random.below(MOST_MUTATIONS); n > 0; n--) bytes = mutation(random, bytes, seeds);
  return bytes.slice(0, MOST_BYTES);
}

function mutation(random: Random, bytes: Uint8Array, seeds: readonly Uint8Array[]): Uint8Array {
  const at = random.below(bytes.length + 1);
  const length = random.below(Math.min(64, bytes.length - at) + 1);
  switch (random.below(9)) {
    case 0:
      return patched(bytes, at, (old) => old ^ (1 << random.below(8)));
    case 1:
      return patched(bytes, at, () => random.below(256));
    case 2:
      return spliced(bytes, at, at + length, new Uint8Array(0));
    case 3:
      return spliced(bytes, at, at, bytes.subarray(at, at + length));
    case 4:
      return spliced(bytes, at, at + length, random.pick(WORDS));
    case 5: {
      const other = random.pick(seeds);
      const from = random.below(other.length + 1);
      return spliced(bytes, at, at + length, other.subarray(from, from + random.below(256)));
    }
    case 6:
      return withNumber(random, bytes, at);
    case 7:
      return bytes.slice(0, at);
    default:
      return withDigits(random, bytes, at);
  }
}

function patched(bytes: Uint8Array, at: number, change: (old: number) => number): Uint8Array {
  // A Buffer's `slice` would be the seed itself.
  const out = new Uint8Array(bytes);
  if (at < out.length) out[at] = change(out[at]!);
  return out;
}

function spliced(bytes: Uint8Array, from: number, to: number, insert: Uint8Array): Uint8Array {
  return Buffer.concat([bytes.subarray(0, from), insert, bytes.subarray(to)]);
}

/** A number of 1, 2, 4 or 8 bytes, of either order. */
function withNumber(random: Random, bytes: Uint8Array, at: number): Uint8Array {
  const width = 1 << random.below(4);
  const number = Buffer.alloc(8);
  number.writeBigUInt64LE(BigInt(random.pick(NUMBERS)) << BigInt(random.below(2) * 32));
  const little = number.subarray(0, width);
  return spliced(bytes, at, at + width, random.below(2) === 0 ? little : Buffer.from(little).reverse());
}

/** Another number in place of digits. */
function withDigits(random: Random, bytes: Uint8Array, at: number): Uint8Array {
  let end = at;
  while (end < bytes.length && isDigit(bytes[end]!)) end++;
  const number = random.pick(NUMBERS);
  return spliced(bytes, at, end, Buffer.from(random.below(2) === 0 ? `${number}` : number.toString(16)));
}

function isDigit(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66);
}
