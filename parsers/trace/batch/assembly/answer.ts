/**
 * Answers the requests of a batch that the memo knows, and writes what they come to. The first one that it does not know,
 * and whatever is no plain request, is somebody else's: so all others behind it wait.
 */
import {
  ANSWER_ACCESS,
  ANSWER_FAULTS,
  ANSWER_PA_LO,
  ANSWER_SLOTS,
  ANSWER_TAIL,
  ANSWERS_AT,
  CONTEXT_CLASS,
  CONTEXT_DEVICE,
  CONTEXT_HEAD,
  CONTEXT_HEAD_BYTES,
  CONTEXT_IOMMU,
  CONTEXT_OWN_CLASS,
  CONTEXT_PASID,
  CONTEXT_PERIOD,
  CONTEXT_SLOTS,
  CONTEXTS_AT,
  FAULTED_AT,
  FIXED_END,
  FIXED_LEN,
  FIXED_LINE,
  FIXED_MATCH,
  FIXED_SEQ,
  FIXED_TS,
  HAS_FAULT,
  HAS_OBSERVED,
  HAS_PA,
  HAS_SEQ,
  MEMO_SLOT_BYTES,
  OUTCOME_BYTES,
  PERIOD_AT,
  PLAIN_REQUEST,
  PRIV_GIVEN,
  RECORD_ADDR,
  RECORD_ANSWER,
  RECORD_BYTES,
  RECORD_DEVICE,
  RECORD_FLAGS,
  RECORD_IOMMU,
  RECORD_LEN,
  RECORD_PA,
  RECORD_PASID,
  RECORD_SEQ,
  RECORD_TS,
  RECORD_TS_BYTES,
  REQUEST_ACCESS,
  REQUEST_PRIV,
  SELECT_FAULT_MATCHES,
  SELECT_FAULTS,
  SELECT_OK,
  SELECT_OK_MATCHES,
  TAIL_BYTES,
  TAIL_COUNT,
  TAIL_MATCHES,
  TAIL_MIDDLES,
  TAIL_OBSERVED,
  TAIL_TEXT,
  TAIL_TEXT_BYTES,
  TAILS_AT,
} from "../layout";
import { copy, decimal, fixed, hexDigits } from "./write";

/** Words of 4 bytes. */
const WORD: i32 = 4;
/** Requests whose answers are looked at together before any is needed: memory takes its time. */
const AHEAD: i32 = 32;

/** Where the next outcome goes. */
let end: usize = 0;
/** Faults so far. */
let faultCount: i32 = 0;
/** Keeps what was only looked at from being left out. */
let touched: u32 = 0;

/** After `answer`: where its text ends. */
export function written(): usize {
  return end;
}

/** After `answer`: how many records in FAULTED_AT it has answered with faults. */
export function faulted(): i32 {
  return faultCount;
}

/** What was looked at ahead: of no meaning. */
export function looked(): u32 {
  return touched;
}

/**
 * Answers records `from` to `to` - 1 of those at `records`, as far as it can.
 * @param line of the first one
 * @param out where the text goes, which ends before `limit`
 * @param select SELECT_OK and its like: what is written
 * @returns the first record that is not answered
 */
export function answer(
  records: usize,
  from: i32,
  to: i32,
  line: f64,
  out: usize,
  limit: usize,
  select: i32,
): i32 {
  end = out;
  faultCount = 0;
  const period = load<u32>(PERIOD_AT);
  let number = <u64>line;
  let i = from;
  while (i < to) {
    const last = min<i32>(i + AHEAD, to);
    lookAhead(records, i, last);
    for (; i < last; i++, number++) {
      const r = records + <usize>i * RECORD_BYTES;
      if (end + OUTCOME_BYTES > limit || !answered(i, r, period, number, select)) return i;
    }
  }
  return to;
}

/** Finds the contexts of records, and looks at where their answers are, if they are anywhere. */
function lookAhead(records: usize, from: i32, to: i32): void {
  for (let i = from; i < to; i++) {
    const r = records + <usize>i * RECORD_BYTES;
    const flags = load<u32>(r, RECORD_FLAGS);
    let context: usize = 0;
    if ((flags & PLAIN_REQUEST) !== 0) {
      context = contextOf(
        load<u32>(r, RECORD_IOMMU),
        load<u32>(r, RECORD_DEVICE),
        load<u32>(r, RECORD_PASID),
      );
      touched ^= load<u32>(firstAnswer(groupOf(context, flags), load<u64>(r, RECORD_ADDR)));
    }
    store<u32>(r, <u32>context, RECORD_ANSWER);
  }
}

/** The slot of a context, or the free one where it belongs. */
function contextOf(iommu: u32, device: u32, pasid: u32): usize {
  const mixed = ((device ^ (iommu * 0x85eb_ca6b)) * 0x9e37_79b1) ^ (pasid * 0xc2b2_ae35);
  let slot = (mixed ^ (mixed >> 15)) & (CONTEXT_SLOTS - 1);
  let at = contextAt(slot);
  while (
    load<u32>(at, CONTEXT_OWN_CLASS * WORD) !== 0 &&
    (load<u32>(at, CONTEXT_DEVICE * WORD) !== device ||
      load<u32>(at, CONTEXT_PASID * WORD) !== pasid ||
      load<u32>(at, CONTEXT_IOMMU * WORD) !== iommu)
  ) {
    slot = (slot + 1) & (CONTEXT_SLOTS - 1);
    at = contextAt(slot);
  }
  return at;
}

function contextAt(slot: u32): usize {
  return CONTEXTS_AT + <usize>slot * MEMO_SLOT_BYTES;
}

function groupOf(context: usize, flags: u32): u32 {
  return (load<u32>(context, CONTEXT_CLASS * WORD) << 1) | ((flags & REQUEST_PRIV) !== 0 ? 1 : 0);
}

/** Where the answers for a page are looked for first. */
function firstAnswer(group: u32, addr: u64): usize {
  const page = <u32>addr >> 12;
  const mixed = ((page ^ (<u32>(addr >> 32) * 0x85eb_ca6b)) * 0x9e37_79b1) ^ (group * 0xc2b2_ae35);
  const slot = (mixed ^ (mixed >> 15)) & (ANSWER_SLOTS - 1);
  return ANSWERS_AT + <usize>slot * MEMO_SLOT_BYTES;
}

function answered(i: i32, r: usize, period: u32, line: u64, select: i32): bool {
  const context: usize = load<u32>(r, RECORD_ANSWER);
  if (context === 0 || load<u32>(context, CONTEXT_PERIOD * WORD) !== period) return false;
  const flags = load<u32>(r, RECORD_FLAGS);
  const addr = load<u64>(r, RECORD_ADDR);
  const length = load<u32>(r, RECORD_LEN);
  const head = load<u32>(context, CONTEXT_HEAD * WORD);
  if (<u64>(<u32>addr & 0xfff) + length > 0x1000 || head === 0) return false;
  const slot = find(groupOf(context, flags), addr, period, flags & REQUEST_ACCESS);
  if (slot === 0) return refused(i, r, context, period, line, select);
  const tail = tailOf(slot);
  const pa = load<u64>(slot, ANSWER_PA_LO * WORD) | (addr & 0xfff);
  if (load<u32>(tail, TAIL_TEXT * WORD) === 0 || (flags & HAS_FAULT) !== 0) return false;
  if ((flags & HAS_PA) !== 0 && pa !== load<u64>(r, RECORD_PA)) return false;
  const matches = (flags & HAS_OBSERVED) !== 0;
  count(tail, matches, length);
  if ((select & (matches ? SELECT_OK_MATCHES : SELECT_OK)) !== 0) {
    const at = hexDigits(request(r, context, tail, line), pa);
    finish(at, tail, matches);
  }
  return true;
}

/** As `answered`, where the page may be known to refuse the request. */
function refused(i: i32, r: usize, context: usize, period: u32, line: u64, select: i32): bool {
  const flags = load<u32>(r, RECORD_FLAGS);
  if ((select & ANSWER_FAULTS) === 0 || (flags & HAS_OBSERVED) !== 0) return false;
  const own = (load<u32>(context, CONTEXT_OWN_CLASS * WORD) << 1) | ((flags & REQUEST_PRIV) !== 0 ? 1 : 0);
  const slot = findRefusal(own, load<u64>(r, RECORD_ADDR), period, flags & REQUEST_ACCESS);
  if (slot === 0) return false;
  const tail = tailOf(slot);
  if (load<u32>(tail, TAIL_TEXT * WORD) === 0) return false;
  const matches = (flags & HAS_FAULT) !== 0;
  if (matches && !wasObserved(tail, load<u32>(r, RECORD_PA), load<u32>(r, RECORD_PA + 4))) return false;
  count(tail, matches, load<u32>(r, RECORD_LEN));
  if ((select & (matches ? SELECT_FAULT_MATCHES : SELECT_FAULTS)) !== 0)
    finish(request(r, context, tail, line), tail, matches);
  store<u32>(r, load<u32>(slot, ANSWER_TAIL * WORD), RECORD_ANSWER);
  store<i32>(FAULTED_AT + 4 * <usize>faultCount, i);
  faultCount++;
  return true;
}

function tailOf(slot: usize): usize {
  return TAILS_AT + <usize>load<u32>(slot, ANSWER_TAIL * WORD) * MEMO_SLOT_BYTES;
}

/** Whether a text is what was observed of a fault before. */
function wasObserved(tail: usize, text: usize, length: u32): bool {
  const known: usize = load<u32>(tail, TAIL_OBSERVED * WORD);
  if (known === 0 || load<u32>(known) !== length) return false;
  return memory.compare(known + 4, text, length) === 0;
}

function count(tail: usize, matches: bool, length: u32): void {
  store<u32>(tail, load<u32>(tail, TAIL_COUNT * WORD) + 1, TAIL_COUNT * WORD);
  store<u32>(tail, load<u32>(tail, TAIL_MATCHES * WORD) + <u32>matches, TAIL_MATCHES * WORD);
  store<f64>(tail, load<f64>(tail, TAIL_BYTES * WORD) + <f64>length, TAIL_BYTES * WORD);
}

/** Writes what an outcome says of its request, up to the result's first value. @returns where that goes */
function request(r: usize, context: usize, tail: usize, line: u64): usize {
  const flags = load<u32>(r, RECORD_FLAGS);
  let at = decimal(fixed(end, FIXED_LINE), line);
  if ((flags & HAS_SEQ) !== 0) at = decimal(fixed(at, FIXED_SEQ), load<u64>(r, RECORD_SEQ));
  const tsBytes = load<u32>(r, RECORD_TS_BYTES);
  if (tsBytes !== 0) at = copy(fixed(at, FIXED_TS), load<u32>(r, RECORD_TS), tsBytes);
  at = copy(at, load<u32>(context, CONTEXT_HEAD * WORD), load<u32>(context, CONTEXT_HEAD_BYTES * WORD));
  at = decimal(fixed(hexDigits(at, load<u64>(r, RECORD_ADDR)), FIXED_LEN), load<u32>(r, RECORD_LEN));
  const privilege = (flags & PRIV_GIVEN) === 0 ? 0 : (flags & REQUEST_PRIV) !== 0 ? 2 : 1;
  const middle: usize =
    load<u32>(tail, TAIL_MIDDLES * WORD) + (((flags & REQUEST_ACCESS) << 2) | privilege) * 2 * <u32>WORD;
  return copy(at, load<u32>(middle), load<u32>(middle, WORD));
}

/** Writes the rest. */
function finish(at: usize, tail: usize, matches: bool): void {
  const text = copy(at, load<u32>(tail, TAIL_TEXT * WORD), load<u32>(tail, TAIL_TEXT_BYTES * WORD));
  end = fixed(text, matches ? FIXED_MATCH : FIXED_END);
}

/** The slot that says that a page refuses an access, in a period; or 0. */
function findRefusal(group: u32, addr: u64, period: u32, access: u32): usize {
  const low = <u64>group | ((<u64>((<u32>addr & ~0xfff) | access)) << 32);
  const high = (addr >> 32) | ((<u64>period) << 32);
  let at = firstAnswer(group, addr);
  while (true) {
    const own = load<u64>(at);
    if (own === low && load<u64>(at, 8) === high) return at;
    if (<u32>own === 0) return 0;
    at += MEMO_SLOT_BYTES;
    if (at === ANSWERS_AT + ANSWER_SLOTS * MEMO_SLOT_BYTES) at = ANSWERS_AT;
  }
}

/** The slot that says where a page leads and that it grants an access, in a period; or 0. */
function find(group: u32, addr: u64, period: u32, access: u32): usize {
  const low = <u64>group | ((<u64>(<u32>addr & ~0xfff)) << 32);
  const high = (addr >> 32) | ((<u64>period) << 32);
  let at = firstAnswer(group, addr);
  while (true) {
    const own = load<u64>(at);
    if (own === low && load<u64>(at, 8) === high && (load<u32>(at, ANSWER_ACCESS * WORD) & access) === access)
      return at;
    if (<u32>own === 0) return 0;
    at += MEMO_SLOT_BYTES;
    if (at === ANSWERS_AT + ANSWER_SLOTS * MEMO_SLOT_BYTES) at = ANSWERS_AT;
  }
}
