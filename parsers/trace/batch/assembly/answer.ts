/**
 * Answers the requests of a batch that the memo knows, and writes what they come to. The first one that it does not know,
 * and whatever is no plain request, is somebody else's: so all others behind it wait.
 */
import {
  ANSWER_ACCESS,
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
  FIXED_END,
  FIXED_LEN,
  FIXED_LINE,
  FIXED_MATCH,
  FIXED_SEQ,
  FIXED_TS,
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
  RECORDS_AT,
  REQUEST_ACCESS,
  REQUEST_PRIV,
  TAIL_BYTES,
  TAIL_COUNT,
  TAIL_MATCHES,
  TAIL_MIDDLES,
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
/** Keeps what was only looked at from being left out. */
let touched: u32 = 0;

/** After `answer`: where its text ends. */
export function written(): usize {
  return end;
}

/** What was looked at ahead: of no meaning. */
export function looked(): u32 {
  return touched;
}

/**
 * Answers records `from` to `to` - 1, as far as it can.
 * @param line of the first one
 * @param out where the text goes, which ends before `limit`
 * @param others outcomes without a verdict are written
 * @param matches and those that match
 * @returns the first record that is not answered
 */
export function answer(
  from: i32,
  to: i32,
  line: f64,
  out: usize,
  limit: usize,
  others: bool,
  matches: bool,
): i32 {
  end = out;
  const period = load<u32>(PERIOD_AT);
  let number = <u64>line;
  let i = from;
  while (i < to) {
    const last = min<i32>(i + AHEAD, to);
    lookAhead(i, last);
    for (; i < last; i++, number++) {
      const r: usize = RECORDS_AT + <usize>i * RECORD_BYTES;
      if (end + OUTCOME_BYTES > limit || !answered(r, period, number, others, matches)) return i;
    }
  }
  return to;
}

/** Finds the contexts of records, and looks at where their answers are, if they are anywhere. */
function lookAhead(from: i32, to: i32): void {
  for (let i = from; i < to; i++) {
    const r: usize = RECORDS_AT + <usize>i * RECORD_BYTES;
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

function answered(r: usize, period: u32, line: u64, others: bool, matches: bool): bool {
  const context: usize = load<u32>(r, RECORD_ANSWER);
  if (context === 0 || load<u32>(context, CONTEXT_PERIOD * WORD) !== period) return false;
  const flags = load<u32>(r, RECORD_FLAGS);
  const addr = load<u64>(r, RECORD_ADDR);
  const length = load<u32>(r, RECORD_LEN);
  if (<u64>(<u32>addr & 0xfff) + length > 0x1000) return false;
  const head = load<u32>(context, CONTEXT_HEAD * WORD);
  const slot = find(groupOf(context, flags), addr, period, flags & REQUEST_ACCESS);
  if (slot === 0 || head === 0) return false;
  const tail: usize = TAILS_AT + <usize>load<u32>(slot, ANSWER_TAIL * WORD) * MEMO_SLOT_BYTES;
  const text = load<u32>(tail, TAIL_TEXT * WORD);
  const pa = load<u64>(slot, ANSWER_PA_LO * WORD) | (addr & 0xfff);
  const observed = (flags & HAS_OBSERVED) !== 0;
  if (text === 0 || ((flags & HAS_PA) !== 0 && pa !== load<u64>(r, RECORD_PA))) return false;

  store<u32>(tail, load<u32>(tail, TAIL_COUNT * WORD) + 1, TAIL_COUNT * WORD);
  store<u32>(tail, load<u32>(tail, TAIL_MATCHES * WORD) + <u32>observed, TAIL_MATCHES * WORD);
  store<f64>(tail, load<f64>(tail, TAIL_BYTES * WORD) + <f64>length, TAIL_BYTES * WORD);
  if (observed ? !matches : !others) return true;

  let at = decimal(fixed(end, FIXED_LINE), line);
  if ((flags & HAS_SEQ) !== 0) at = decimal(fixed(at, FIXED_SEQ), load<u64>(r, RECORD_SEQ));
  const tsBytes = load<u32>(r, RECORD_TS_BYTES);
  if (tsBytes !== 0) at = copy(fixed(at, FIXED_TS), load<u32>(r, RECORD_TS), tsBytes);
  at = copy(at, head, load<u32>(context, CONTEXT_HEAD_BYTES * WORD));
  at = decimal(fixed(hexDigits(at, addr), FIXED_LEN), length);
  const privilege = (flags & PRIV_GIVEN) === 0 ? 0 : (flags & REQUEST_PRIV) !== 0 ? 2 : 1;
  const middle: usize =
    load<u32>(tail, TAIL_MIDDLES * WORD) + (((flags & REQUEST_ACCESS) << 2) | privilege) * 2 * <u32>WORD;
  at = copy(at, load<u32>(middle), load<u32>(middle, WORD));
  at = copy(hexDigits(at, pa), text, load<u32>(tail, TAIL_TEXT_BYTES * WORD));
  end = fixed(at, observed ? FIXED_MATCH : FIXED_END);
  return true;
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
