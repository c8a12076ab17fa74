/**
 * Finds the requests, writes and commands in a text: what RecordScanner does for one line, for many at once. It takes any order of fields and any
 * white space, but the type first of what is no request; a line with anything else that is unusual is left to that one.
 */
import {
  PLAIN_COMMAND,
  PLAIN_REQUEST,
  PLAIN_WRITE,
  RECORD_BYTES,
  RECORD_END,
  RECORD_FLAGS,
  RECORD_IOMMU,
  RECORD_LEN,
  RECORD_PASID,
  RECORD_START,
  RECORD_TS_BYTES,
} from "../layout";
import { CMD_REQUIRED, cmdBegins, cmdField } from "./cmd-field";
import { DMA_REQUIRED, dmaField, READ } from "./dma-field";
import { MEM_REQUIRED, memBegins, memField } from "./mem-field";
import { CLOSE_BRACE, COMMA, NEWLINE, newlineFrom, OPEN_BRACE, QUOTE, space } from "./text";
import { begin, flags, seen } from "./values";

/**
 * Finds the records of lines.
 * @param start of the first line
 * @param last the newline that ends the last one
 * @param longest a line of more bytes is none of these
 * @param records where they go, at most so many
 * @returns how many there are
 */
export function scan(start: usize, last: usize, longest: usize, records: usize, most: i32): i32 {
  let p = start;
  let r = records;
  let count = 0;
  while (p <= last && count < most) {
    let end = record(p, r);
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

/** Reads a line into a record. @returns its newline, or 0 where it is none of these */
function record(start: usize, r: usize): usize {
  const brace = space(start);
  if (load<u8>(brace) !== OPEN_BRACE) return 0;
  store<i32>(r, -1, RECORD_IOMMU);
  if (memBegins(brace + 1)) return fields(brace, r, PLAIN_WRITE, MEM_REQUIRED);
  if (cmdBegins(brace + 1)) return fields(brace, r, PLAIN_COMMAND, CMD_REQUIRED);
  store<i32>(r, -1, RECORD_PASID);
  store<u32>(r, 1, RECORD_LEN);
  store<u32>(r, 0, RECORD_TS_BYTES);
  return fields(brace, r, PLAIN_REQUEST | READ, DMA_REQUIRED);
}

/** @param first RECORD_FLAGS at first, which say of what type it is @param required fields that it must have */
function fields(brace: usize, r: usize, first: u32, required: u32): usize {
  let p = brace;
  begin(first);
  do {
    const at = space(p + 1);
    if (load<u8>(at) !== QUOTE) return 0;
    if (first === PLAIN_WRITE) p = memField(at, r);
    else if (first === PLAIN_COMMAND) p = cmdField(at, r);
    else p = dmaField(at, r);
    if (p === 0) return 0;
    p = space(p);
  } while (load<u8>(p) === COMMA);
  if (load<u8>(p) !== CLOSE_BRACE) return 0;
  p = space(p + 1);
  return load<u8>(p) === NEWLINE && (seen & required) === required ? p : 0;
}
