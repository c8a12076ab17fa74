import { RECORD_WORD_COUNT, RECORD_WORDS } from "../layout";
import { MAX_WORDS, MIN_WORDS } from "./cmd-field";
import { COMMA, hex, space, value } from "./text";

const OPEN_BRACKET: u32 = 0x5b;
const CLOSE_BRACKET: u32 = 0x5d;

/** The words of a command. */
export function commandWords(from: usize, r: usize): usize {
  let p = from;
  let count: u32 = 0;
  if (load<u8>(p) !== OPEN_BRACKET) return 0;
  do {
    p = hex(space(p + 1));
    if (p === 0 || count === MAX_WORDS) return 0;
    store<u64>(r + RECORD_WORDS + <usize>count * 8, value);
    count++;
    p = space(p);
  } while (load<u8>(p) === COMMA);
  store<u32>(r, count, RECORD_WORD_COUNT);
  return load<u8>(p) === CLOSE_BRACKET && count >= MIN_WORDS ? p + 1 : 0;
}
