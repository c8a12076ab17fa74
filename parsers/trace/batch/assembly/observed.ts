import { HAS_FAULT, HAS_OBSERVED, HAS_PA, RECORD_PA } from "../layout";
import { observedField } from "./observed-field";
import { CLOSE_BRACE, COMMA, OPEN_BRACE, QUOTE, space } from "./text";
import { flags, setBits, skipNone, skipped } from "./values";

/** What was observed: a translation, or a fault as text. */
export function observed(from: usize, r: usize): usize {
  let p = from;
  if (load<u8>(p) !== OPEN_BRACE) return 0;
  setBits(HAS_OBSERVED | HAS_PA | HAS_FAULT, 0);
  skipNone();
  do {
    const at = space(p + 1);
    if (load<u8>(at) !== QUOTE) return 0;
    p = observedField(at, r);
    if (p === 0) return 0;
    p = space(p);
  } while (load<u8>(p) === COMMA);
  if (load<u8>(p) !== CLOSE_BRACE) return 0;
  if ((flags & HAS_FAULT) !== 0) {
    if ((flags & HAS_PA) !== 0) return 0;
    store<u32>(r, <u32>from, RECORD_PA);
    store<u32>(r, <u32>(p + 1 - from), RECORD_PA + 4);
    return p + 1;
  }
  return (flags & HAS_OBSERVED) !== 0 && !skipped ? p + 1 : 0;
}
