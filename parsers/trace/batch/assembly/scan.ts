/**
 * Finds the requests in a text: what RecordScanner does for one line, for many at once. It takes any order of fields and any
 * white space; a line with anything else that is unusual is left to that one.
 */
import {
  ACCESS_GIVEN,
  DEVICES_AT,
  HAS_FAULT,
  HAS_OBSERVED,
  HAS_PA,
  HAS_SEQ,
  IOMMUS_AT,
  LONGEST_NAME,
  LONGEST_TS,
  MAX_RECORDS,
  NAME_BYTES,
  NAME_LENGTH,
  NAME_SLOTS,
  NAME_TEXT,
  PLAIN_REQUEST,
  PRIV_GIVEN,
  RECORD_ADDR,
  RECORD_BYTES,
  RECORD_DEVICE,
  RECORD_END,
  RECORD_FLAGS,
  RECORD_IOMMU,
  RECORD_LEN,
  RECORD_PA,
  RECORD_PASID,
  RECORD_SEQ,
  RECORD_START,
  RECORD_TS,
  RECORD_TS_BYTES,
  RECORDS_AT,
  REQUEST_PRIV,
} from "../layout";
import { hex, integer, newlineFrom, plainText, QUOTE, space, value } from "./text";
import {
  ACCESS_VALUE_R,
  ACCESS_VALUE_RW,
  ACCESS_VALUE_W,
  ACCESS_VALUE_X,
  DMA_ACCESS,
  DMA_ACCESS_MASK,
  DMA_ADDR,
  DMA_ADDR_MASK,
  DMA_DEV,
  DMA_DEV_MASK,
  DMA_IOMMU,
  DMA_IOMMU_MASK,
  DMA_LEN,
  DMA_LEN_MASK,
  DMA_OBSERVED,
  DMA_PASID,
  DMA_PASID_MASK,
  DMA_PRIV,
  DMA_PRIV_MASK,
  DMA_SEQ,
  DMA_SEQ_MASK,
  DMA_TS,
  DMA_TS_MASK,
  DMA_TYPE,
  DMA_TYPE_MASK,
  MAX_LENGTH,
  MAX_PASID,
  OBSERVED_CLASS,
  OBSERVED_CLASS_MASK,
  OBSERVED_CODE,
  OBSERVED_CODE_MASK,
  OBSERVED_FAULT,
  OBSERVED_FAULT_MASK,
  OBSERVED_FLAGS,
  OBSERVED_FLAGS_MASK,
  OBSERVED_IPA,
  OBSERVED_IPA_MASK,
  OBSERVED_PA,
  OBSERVED_PA_MASK,
  OBSERVED_REASON,
  OBSERVED_REASON_MASK,
  OBSERVED_RECORDED,
  OBSERVED_RESULT,
  OBSERVED_RESULT_MASK,
  OBSERVED_STAGE,
  OBSERVED_STAGE_MASK,
  OBSERVED_VALUE_OK,
  TYPE_VALUE_DMA,
} from "./words";

const COMMA: u32 = 0x2c;
const COLON: u32 = 0x3a;
const OPEN_BRACE: u32 = 0x7b;
const CLOSE_BRACE: u32 = 0x7d;
const NEWLINE: u32 = 10;

/** Bits of the fields that a request must have. */
const SEEN_TYPE: u32 = 1;
const SEEN_DEV: u32 = 2;
const SEEN_ADDR: u32 = 4;
const REQUIRED: u32 = SEEN_TYPE | SEEN_DEV | SEEN_ADDR;

let seen: u32 = 0;
let flags: u32 = 0;

/**
 * Finds the records of lines.
 * @param start of the first line
 * @param last the newline that ends the last one
 * @param longest a line of more bytes is no plain request
 * @returns how many there are in RECORDS_AT, at most MAX_RECORDS
 */
export function scan(start: usize, last: usize, longest: usize): i32 {
  let p = start;
  let r: usize = RECORDS_AT;
  let count = 0;
  while (p <= last && count < MAX_RECORDS) {
    let end = request(p, r);
    if (end === 0) {
      end = newlineFrom(p);
      flags = 0;
    } else if (end - p > longest) flags = 0;
    store<u32>(r, <u32>p, RECORD_START);
    store<u32>(r, <u32>end, RECORD_END);
    store<u32>(r, flags, RECORD_FLAGS);
    p = end + 1;
    r += RECORD_BYTES;
    count++;
  }
  return count;
}

/** Reads a line into a record. @returns its newline, or 0 where it is no plain request */
function request(start: usize, r: usize): usize {
  let p = space(start);
  if (load<u8>(p) !== OPEN_BRACE) return 0;
  seen = 0;
  flags = PLAIN_REQUEST | 1;
  store<i32>(r, -1, RECORD_IOMMU);
  store<i32>(r, -1, RECORD_PASID);
  store<u32>(r, 1, RECORD_LEN);
  store<u32>(r, 0, RECORD_TS_BYTES);
  do {
    p = member(space(p + 1), r);
    if (p === 0) return 0;
    p = space(p);
  } while (load<u8>(p) === COMMA);
  if (load<u8>(p) !== CLOSE_BRACE) return 0;
  p = space(p + 1);
  return load<u8>(p) === NEWLINE && (seen & REQUIRED) === REQUIRED ? p : 0;
}

/** The value behind a name whose closing quote is at `quote`, or 0. */
function behind(quote: usize): usize {
  // Quote and colon, and no white space, as nearly always.
  if (load<u8>(quote + 1) === COLON && load<u8>(quote + 2) > 0x20) return quote + 2;
  if (load<u8>(quote) !== QUOTE) return 0;
  const p = space(quote + 1);
  return load<u8>(p) === COLON ? space(p + 1) : 0;
}

/** Reads a field, from the opening quote of its name. @returns the byte behind its value, or 0 */
function member(at: usize, r: usize): usize {
  if (load<u8>(at) !== QUOTE) return 0;
  const word = load<u64>(at + 1);
  if ((word & DMA_ADDR_MASK) === DMA_ADDR) {
    const p = hex(behind(at + 5));
    store<u64>(r, value, RECORD_ADDR);
    seen |= SEEN_ADDR;
    return p;
  }
  if ((word & DMA_DEV_MASK) === DMA_DEV) {
    seen |= SEEN_DEV;
    return name(behind(at + 4), DEVICES_AT, r + RECORD_DEVICE);
  }
  if ((word & DMA_PASID_MASK) === DMA_PASID) {
    const p = integer(behind(at + 6));
    store<u32>(r, <u32>value, RECORD_PASID);
    return value > MAX_PASID ? 0 : p;
  }
  if ((word & DMA_LEN_MASK) === DMA_LEN) {
    const p = integer(behind(at + 4));
    store<u32>(r, <u32>value, RECORD_LEN);
    return value < 1 || value > MAX_LENGTH ? 0 : p;
  }
  if ((word & DMA_ACCESS_MASK) === DMA_ACCESS) return access(behind(at + 7));
  if ((word & DMA_SEQ_MASK) === DMA_SEQ) {
    const p = integer(behind(at + 4));
    store<u64>(r, value, RECORD_SEQ);
    flags |= HAS_SEQ;
    return p;
  }
  if ((word & DMA_IOMMU_MASK) === DMA_IOMMU) return name(behind(at + 6), IOMMUS_AT, r + RECORD_IOMMU);
  if ((word & DMA_TYPE_MASK) === DMA_TYPE) {
    const p = behind(at + 5);
    seen |= SEEN_TYPE;
    return p !== 0 && load<u8>(p) === QUOTE && load<u32>(p + 1) === TYPE_VALUE_DMA ? p + 5 : 0;
  }
  // The name fills the word.
  if (word === DMA_OBSERVED) return load<u8>(at + 9) === QUOTE ? observed(behind(at + 9), r) : 0;
  if ((word & DMA_TS_MASK) === DMA_TS) return timeStamp(behind(at + 3), r);
  if ((word & DMA_PRIV_MASK) === DMA_PRIV) return privilege(behind(at + 5));
  return 0;
}

function access(p: usize): usize {
  if (p === 0 || load<u8>(p) !== QUOTE) return 0;
  const word = load<u32>(p + 1);
  let bits: u32;
  let end = p + 3;
  if ((word & 0xffff) === ACCESS_VALUE_R) bits = 1;
  else if ((word & 0xffff) === ACCESS_VALUE_W) bits = 2;
  else if ((word & 0xffff) === ACCESS_VALUE_X) bits = 4;
  else if ((word & 0xff_ffff) === ACCESS_VALUE_RW) {
    bits = 3;
    end = p + 4;
  } else return 0;
  flags = (flags & ~7) | bits | ACCESS_GIVEN;
  return end;
}

function privilege(p: usize): usize {
  if (p === 0) return 0;
  const word = load<u32>(p);
  // "true", and "fals".
  if (word === 0x65_7572_74) {
    flags |= PRIV_GIVEN | REQUEST_PRIV;
    return p + 4;
  }
  if (word !== 0x736c_6166 || load<u8>(p + 4) !== 0x65) return 0;
  flags = (flags | PRIV_GIVEN) & ~REQUEST_PRIV;
  return p + 5;
}

/** A text, or a number without an exponent. */
function timeStamp(from: usize, r: usize): usize {
  if (from === 0) return 0;
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
  store<u32>(r, <u32>from, RECORD_TS);
  store<u32>(r, <u32>(p - from), RECORD_TS_BYTES);
  return p;
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

/** What was observed: a translation, or a fault as text. */
function observed(from: usize, r: usize): usize {
  let p = from;
  if (p === 0 || load<u8>(p) !== OPEN_BRACE) return 0;
  flags &= ~(HAS_OBSERVED | HAS_PA | HAS_FAULT);
  let others = false;
  do {
    const at = space(p + 1);
    if (load<u8>(at) !== QUOTE) return 0;
    const word = load<u64>(at + 1);
    if ((word & OBSERVED_RESULT_MASK) === OBSERVED_RESULT) {
      p = behind(at + 7);
      flags &= ~(HAS_OBSERVED | HAS_FAULT);
      if (p === 0 || load<u8>(p) !== QUOTE) return 0;
      if ((load<u32>(p + 1) & 0xff_ffff) === OBSERVED_VALUE_OK) {
        p += 4;
        flags |= HAS_OBSERVED;
      } else if ((load<u64>(p + 1) & OBSERVED_FAULT_MASK) === OBSERVED_FAULT) {
        p += 7;
        flags |= HAS_FAULT;
      } else return 0;
    } else if ((word & OBSERVED_PA_MASK) === OBSERVED_PA) {
      p = hex(behind(at + 3));
      if (p === 0) return 0;
      store<u64>(r, value, RECORD_PA);
      flags |= HAS_PA;
    } else {
      p = ofFault(at, word);
      if (p === 0) return 0;
      others = true;
    }
    p = space(p);
  } while (load<u8>(p) === COMMA);
  if (load<u8>(p) !== CLOSE_BRACE) return 0;
  if ((flags & HAS_FAULT) !== 0) {
    if ((flags & HAS_PA) !== 0) return 0;
    store<u32>(r, <u32>from, RECORD_PA);
    store<u32>(r, <u32>(p + 1 - from), RECORD_PA + 4);
    return p + 1;
  }
  return (flags & HAS_OBSERVED) !== 0 && !others ? p + 1 : 0;
}

/**
 * Skips a field of an observed fault that is known, with a plain value: what it says is somebody else's, who has read the
 * same text before. @returns the byte behind its value, or 0
 */
function ofFault(at: usize, word: u64): usize {
  let quote: usize = 0;
  if ((word & OBSERVED_CODE_MASK) === OBSERVED_CODE) quote = at + 5;
  else if ((word & OBSERVED_REASON_MASK) === OBSERVED_REASON) quote = at + 7;
  else if ((word & OBSERVED_STAGE_MASK) === OBSERVED_STAGE) quote = at + 6;
  else if ((word & OBSERVED_CLASS_MASK) === OBSERVED_CLASS) quote = at + 6;
  else if ((word & OBSERVED_FLAGS_MASK) === OBSERVED_FLAGS) quote = at + 6;
  else if ((word & OBSERVED_IPA_MASK) === OBSERVED_IPA) quote = at + 4;
  else if (word === OBSERVED_RECORDED && load<u8>(at + 9) === QUOTE) quote = at + 9;
  else return 0;
  let p = behind(quote);
  if (p === 0) return 0;
  if (load<u8>(p) === QUOTE) {
    p = plainText(p + 1);
    return p === 0 ? 0 : p + 1;
  }
  const first = p;
  while (isDigit(load<u8>(p)) || <u32>load<u8>(p) - 0x61 <= 25) p++;
  return p === first ? 0 : p;
}

/** Looks up a name in a table. @param to where its number goes @returns the byte behind it, or 0 */
function name(from: usize, table: usize, to: usize): usize {
  if (from === 0 || load<u8>(from) !== QUOTE) return 0;
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
