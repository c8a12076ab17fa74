/** What generators of traces have in common. */

/** Text is handed out in pieces of whole lines of about this size. */
export const PIECE_CHARS = 256 * 1024;

/** Puts lines together into pieces. */
export function* inPieces(lines: Iterable<string>): Generator<string> {
  let piece = "";
  for (const line of lines) {
    piece += `${line}\n`;
    if (piece.length < PIECE_CHARS) continue;
    yield piece;
    piece = "";
  }
  yield piece;
}

/** A 64-bit word as `mem` records have it. */
export function littleEndianHex(word: bigint): string {
  let out = "";
  for (let i = 0n; i < 64n; i += 8n) out += ((word >> i) & 0xffn).toString(16).padStart(2, "0");
  return out;
}

/** Evenly distributed integers from 0 up to, not including, `below` (at most 2^32), the same for a seed everywhere. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    // Marsaglia's Weyl sequence through a finalizer of good avalanche.
    state = (state + 0x9e37_79b9) | 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0_aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
    return Math.floor((((z ^ (z >>> 15)) >>> 0) / 2 ** 32) * below);
  };
}
