/**
 * Finds the requests in a text: what RecordScanner does for one line, for many at once. It takes any order of fields and any
 * white space; a line with anything else that is unusual is left to that one.
 */
import {
  PLAIN_REQUEST,
  RECORD_BYTES,
  RECORD_END,
  RECORD_FLAGS,
  RECORD_IOMMU,
  RECORD_LEN,
  RECORD_PASID,
  RECORD_START,
  RECORD_TS_BYTES,
} from "../layout";
import { dmaField, READ, REQUIRED } from "./dma-field";
import { CLOSE_BRACE, COMMA, NEWLINE, newlineFrom, OPEN_BRACE, QUOTE, space } from "./text";
import { begin, flags, seen } from "./values";

/**
 * Finds the records of lines.
 * @param start of the first line
 * @param last the newline that ends the last one
 * @param longest a line of more bytes is no plain request
 * @param records where they go, at most so many
 * @returns how many there are
 */
export function scan(start: usize, last: usize, longest: usize, records: usize, most: i32): i32 {
  let p = start;
  let r = records;
  let count = 0;
  while (p <= last && count < most) {
    let end = request(p, r);
    if (end === 0) {
      end = newlineFrom(p);
      begin(0);
    } else if (end - p > longest) begin(0);
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
  begin(PLAIN_REQUEST | READ);
  store<i32>(r, -1, RECORD_IOMMU);
  store<i32>(r, -1, RECORD_PASID);
  store<u32>(r, 1, RECORD_LEN);
  store<u32>(r, 0, RECORD_TS_BYTES);
  do {
    const at = space(p + 1);
    if (load<u8>(at) !== QUOTE) return 0;
    p = dmaField(at, r);
    if (p === 0) return 0;
    p = space(p);
  } while (load<u8>(p) === COMMA);
  if (load<u8>(p) !== CLOSE_BRACE) return 0;
  p = space(p + 1);
  return load<u8>(p) === NEWLINE && (seen & REQUIRED) === REQUIRED ? p : 0;
}
