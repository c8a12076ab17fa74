import { isUtf8 } from "node:buffer";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** How many bytes from `start` on (to `end`) are well-formed UTF-8: whole characters only. */
export function wellFormedLength(bytes: Uint8Array, start: number, end: number): number {
  if (isUtf8(bytes.subarray(start, end))) return end - start;
  let good = start;
  let bad = end + 1;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (beginsWell(bytes.subarray(start, middle))) good = middle;
    else bad = middle;
  }
  return good - start - cutCharacter(bytes, good);
}

function beginsWell(bytes: Uint8Array): boolean {
  try {
    strict.decode(bytes, { stream: true });
  } catch {
    return false;
  }
  try {
    strict.decode();
  } catch {
    // A sequence was cut; the decoder has forgotten it now.
  }
  return true;
}

/** How many bytes before `length` are the beginning of a character that goes on behind it. */
export function cutCharacter(bytes: Uint8Array, length: number): number {
  for (let n = 1; n <= 3 && n <= length; n++) {
    const c = bytes[length - n]!;
    if (c < 0x80) return 0;
    if (c >= 0xc0) return (c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2) > n ? n : 0;
  }
  return 0;
}

/** Offset behind a byte order mark at `at`; `at` where there is none. */
export function afterMark(bytes: Uint8Array, at: number): number {
  return bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf ? at + 3 : at;
}
