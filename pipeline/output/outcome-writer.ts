import { ACCESS_NAMES, ADDRESS_TYPES, type AddressType } from "../../parsers/trace/accesses.ts";
import { isAscii } from "../../parsers/trace/bytes.ts";
import type { DmaRecord } from "../../parsers/trace/records.ts";
import { printable } from "../../parsers/trace/show.ts";
import { FRAMES } from "../../walkers/memory.ts";
import { EXECUTE, READ, WRITE } from "../../walkers/request.ts";
import { FAULT, MSI, NO_LEVEL, OK } from "../../walkers/result.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { ByteWriter, Piece, piece } from "./byte-writer.ts";
import { NameWriter } from "./name-writer.ts";
import { RESULTS } from "./outcome-record.ts";

const TYPE_LINE_TEXT = '{"type":"outcome","line":';
const TYPE_LINE = piece(TYPE_LINE_TEXT);
const SEQ_TEXT = ',"seq":';
const SEQ = piece(SEQ_TEXT);
const TS_TEXT = ',"ts":';
const TS = piece(TS_TEXT);
const LEN_TEXT = '","len":';
const LEN = piece(LEN_TEXT);
/** Not given, false, true. */
const PRIV = ["", ',"priv":false', ',"priv":true'];
/** By status: the result and what comes before its first value. */
const RESULT: string[] = [];
RESULT[OK] = '"result":"ok","pa":"0x';
RESULT[FAULT] = '"result":"fault","reason":"';
RESULT[MSI] = '"result":"msi"';
const MODEL = piece('"model":"');
const MODEL_END = piece('",');
const PAGE = piece(',"page":');
const PERM = Array.from({ length: 8 }, (_, perm) =>
  piece(`,"perm":"${perm & READ ? "r" : "-"}${perm & WRITE ? "w" : "-"}${perm & EXECUTE ? "x" : "-"}"`),
);
const QUOTE = piece('"');
const DOMAIN = piece(',"domain":');
const ASID = piece(',"asid":');
const PASSTHROUGH = piece(',"passthrough":true');
const SG = piece(',"sg":[["0x');
const SG_NEXT = piece('],["0x');
const SG_COMMA = piece('",');
const SG_END = piece("]]");
const CODE = piece('","code":"0x');
const NAME = piece('","name":"');
const STAGE = piece(',"stage":');
const LEVEL = piece(',"level":');
const CLASS = piece(',"class":"');
const ENTRY_ADDR = piece(',"entry_addr":"0x');
const ENTRY = piece('","entry":"0x');
const RECORDED_FALSE = piece(',"recorded":false');
const HOLE = piece(',"hole":true');
const OTHER_CODE = piece(',"other_code":"0x');
const FAULT_ADDR = piece(',"fault_addr":"0x');
const FLAGS = piece(',"flags":"0x');
const READS = piece(',"reads":');
const OTHER_RESULT: readonly Piece[] = RESULTS.map((result) => piece(`,"other_result":"${result}"`));
const VERDICT = piece(',"verdict":"');
const DIFF = piece('","diff":"');
const CHANGED_LINE = piece(',"changed_line":');
/** Bytes that end a record. */
export const END_BYTES = 2;
const END_TEXT = "}\n";
const END = piece(END_TEXT);
/** Texts that stand in every outcome, or before what does: up to line, `seq`, `ts` and length; the end, without a verdict and with a match. */
export const FIXED_TEXTS: readonly string[] = [
  TYPE_LINE_TEXT,
  SEQ_TEXT,
  TS_TEXT,
  LEN_TEXT,
  END_TEXT,
  `,"verdict":"match"${END_TEXT}`,
];

/** Bytes that an outcome needs at most, its texts and runs aside. */
const FIXED = 1024;
const PER_RUN = 48;

/** One cache of encoded constants: reasons, fault names, verdicts and models come from closed sets. */
const encoded = new Map<string, Piece>();
function constant(text: string): Piece {
  let known = encoded.get(text);
  if (known === undefined) {
    known = piece(text);
    encoded.set(text, known);
  }
  return known;
}

/** Slots of the memo of tails: a power of two. */
const TAILS = 1024;
/** Of so many tails that are not in the memo, one is taken in: a memo that is too small must not be all work. */
const TAIL_MISSES = 8;
/** Combinations of access, status and privilege. */
const MIDDLES = 8 * 4 * 4;

/**
 * Writes `outcome` records, their fields in the contract's order. Pieces that repeat from record to record are built
 * once and copied whole: a record of a translated request is six copies, two addresses and three numbers
 * (test/bench/outcome-writer.ts).
 */
export class OutcomeWriter {
  readonly #out: ByteWriter;
  /** What stands between length and result, by access, status and privilege: of the last model. */
  #middles: (Piece | undefined)[] = new Array(MIDDLES).fill(undefined);
  #model = "";
  readonly #middlesByModel = new Map<string, (Piece | undefined)[]>();
  readonly #tails: (Tail | undefined)[] = new Array(TAILS).fill(undefined);
  #misses = 0;
  /** By index of the names. */
  readonly #names: (NameWriter | undefined)[] = [];

  constructor(out: ByteWriter) {
    this.#out = out;
  }

  /** @param line line of the request in the input */
  write(line: number, requestNames: RequestNames, request: DmaRecord, o: Outcome): void {
    const out = this.#out;
    const names = this.#names[requestNames.index] ?? this.#newNames(requestNames);
    out.reserve(FIXED + names.room + (request.tsEnd - request.tsStart) + o.runs * PER_RUN);
    out.put(TYPE_LINE);
    out.decimal(line);
    if (!Number.isNaN(request.seq)) {
      out.put(SEQ);
      out.integer(request.seq);
    }
    if (request.tsEnd > request.tsStart) {
      out.put(TS);
      if (isAscii(request.bytes, request.tsStart, request.tsEnd))
        out.copy(request.bytes, request.tsStart, request.tsEnd);
      else {
        out.text(printable(request.tsText()));
        out.reserve(names.room + o.runs * PER_RUN);
      }
    }
    names.write(out, request.pasid);
    out.hex(request.addrHi, request.addrLo);
    out.put(LEN);
    out.decimal(request.len);
    out.put(this.#middle(request, o));
    this.#writeAnswer(o);
  }

  /** Writes what of an outcome is not about its request: the members that follow those, and the end of the record. */
  writeAnswer(o: Outcome): void {
    const out = this.#out;
    out.reserve(FIXED + o.runs * PER_RUN);
    out.put(MODEL);
    out.put(constant(o.model));
    out.put(MODEL_END);
    out.put(constant(RESULT[o.status]!));
    this.#writeAnswer(o);
  }

  /** From the first value of the result on. */
  #writeAnswer(o: Outcome): void {
    const out = this.#out;
    if (o.status === OK) {
      out.address(o.runFrame[0]!, o.runOffset[0]!);
      if (o.runs === 1 && o.changedLine === 0 && o.otherStatus < 0) {
        this.#writeTail(o);
        return;
      }
      writeTranslation(out, o);
      if (o.runs > 1) writeRuns(out, o);
    } else if (o.status === FAULT) writeFault(out, o);
    writeVerdict(out, o, o.otherStatus);
    if (o.changedLine !== 0) {
      out.put(CHANGED_LINE);
      out.decimal(o.changedLine);
    }
    out.put(END);
  }

  #newNames(names: RequestNames): NameWriter {
    const made = new NameWriter(names);
    this.#names[names.index] = made;
    return made;
  }

  /** From the access to the result, with what comes before its first value. */
  #middle(request: DmaRecord, o: Outcome): Piece {
    if (o.model !== this.#model) this.#useModel(o.model);
    const priv = request.privGiven ? (request.priv ? 2 : 1) : 0;
    if (request.atGiven) return piece(middleText(request.access, priv, o, ADDRESS_TYPES[request.at]));
    const slot = (request.access << 4) | (o.status << 2) | priv;
    const known = this.#middles[slot];
    if (known !== undefined) return known;
    const made = piece(middleText(request.access, priv, o));
    this.#middles[slot] = made;
    return made;
  }

  #useModel(model: string): void {
    this.#model = model;
    this.#middles = this.#middlesByModel.get(model) ?? new Array(MIDDLES).fill(undefined);
    this.#middlesByModel.set(model, this.#middles);
  }

  /** Writes what follows the address of a translated request in one run. */
  #writeTail(o: Outcome): void {
    const slot =
      (Math.imul(o.domain, 0x9e37_79b1) ^
        Math.imul(o.asid, 0x85eb_ca6b) ^
        (o.pageShift << 5) ^
        (o.reads << 2) ^
        o.perm) &
      (TAILS - 1);
    const known = this.#tails[slot];
    if (known?.isOf(o)) {
      this.#out.put(known.piece);
      return;
    }
    writeTail(this.#out, o);
    if (known === undefined || this.#misses++ % TAIL_MISSES === 0) this.#tails[slot] = new Tail(o);
  }
}

/**
 * What stands between the length and the result's first value.
 * @param priv not given, false, true
 * @param at undefined: not given
 */
export function middleText(
  access: number,
  priv: number,
  { model, status }: Outcome,
  at?: AddressType,
): string {
  const type = at === undefined ? "" : `,"at":"${at}"`;
  return `,"access":"${ACCESS_NAMES[access]}"${PRIV[priv]}${type},"model":"${model}",${RESULT[status]}`;
}

/** What follows the address of a translated request in one run, or what comes before the reason of one that faults, up to its verdict. */
export function tailText(o: Outcome): Buffer {
  const out = new ByteWriter(FIXED);
  if (o.status === OK) writeTranslation(out, o);
  else writeFault(out, o);
  out.put(READS);
  out.decimal(o.reads);
  return out.take();
}

/**
 * What is written behind the address of a request in one run, and from what. Whoever writes it is given these fields
 * of an outcome and no others: what is to be written too becomes a field here, and with it part of the memo's key.
 */
class Tail {
  readonly pageShift: number;
  readonly perm: number;
  readonly domain: number;
  readonly asid: number;
  readonly passthrough: boolean;
  readonly reads: number;
  readonly verdict: Outcome["verdict"];
  readonly difference: Outcome["difference"];
  readonly piece: Piece;

  constructor(o: TailFields) {
    this.pageShift = o.pageShift;
    this.perm = o.perm;
    this.domain = o.domain;
    this.asid = o.asid;
    this.passthrough = o.passthrough;
    this.reads = o.reads;
    this.verdict = o.verdict;
    this.difference = o.difference;
    const scratch = new ByteWriter(FIXED);
    writeTail(scratch, this);
    this.piece = new Piece(scratch.take());
  }

  /** Whether an outcome is written the same; every field counts (test/outcome-writer.test.ts tries each). */
  isOf(o: TailFields): boolean {
    return (
      this.domain === o.domain &&
      this.asid === o.asid &&
      this.pageShift === o.pageShift &&
      this.perm === o.perm &&
      this.reads === o.reads &&
      this.passthrough === o.passthrough &&
      this.verdict === o.verdict &&
      this.difference === o.difference
    );
  }
}
type TailFields = Omit<Tail, "piece" | "isOf">;

function writeTail(out: ByteWriter, o: TailFields): void {
  writeTranslation(out, o);
  writeVerdict(out, o);
  out.put(END);
}

/** What follows the address of a translated request, up to its runs where it has several. */
function writeTranslation(out: ByteWriter, o: TailFields): void {
  out.put(QUOTE);
  if (o.pageShift !== 0) {
    out.put(PAGE);
    out.decimal(2 ** o.pageShift);
  }
  out.put(PERM[o.perm]!);
  if (o.domain >= 0) {
    out.put(DOMAIN);
    out.decimal(o.domain);
  }
  if (o.asid >= 0) {
    out.put(ASID);
    out.decimal(o.asid);
  }
  if (o.passthrough) out.put(PASSTHROUGH);
}

function writeRuns(out: ByteWriter, o: Outcome): void {
  for (let i = 0; i < o.runs; i++) {
    out.put(i === 0 ? SG : SG_NEXT);
    out.address(o.runFrame[i]!, o.runOffset[i]!);
    out.put(SG_COMMA);
    out.decimal(o.runBytes[i]!);
  }
  out.put(SG_END);
}

/** @param otherStatus as of Outcome */
function writeVerdict(
  out: ByteWriter,
  o: Pick<TailFields, "reads" | "verdict" | "difference">,
  otherStatus = -1,
): void {
  out.put(READS);
  out.decimal(o.reads);
  if (otherStatus >= 0) out.put(OTHER_RESULT[otherStatus]!);
  if (o.verdict === "") return;
  out.put(VERDICT);
  out.put(constant(o.verdict));
  if (o.difference !== "") {
    out.put(DIFF);
    out.put(constant(o.difference));
  }
  out.put(QUOTE);
}

function writeFault(out: ByteWriter, o: Outcome): void {
  const fault = o.fault!;
  out.put(constant(o.reason));
  // A termination that has no event has no code either.
  if (fault.code !== 0) {
    out.put(CODE);
    out.hex(0, fault.code);
  }
  out.put(NAME);
  out.put(constant(fault.name));
  out.put(QUOTE);
  if (o.stage !== 0) {
    out.put(STAGE);
    out.decimal(o.stage);
  }
  if (o.level !== NO_LEVEL) {
    out.put(LEVEL);
    out.integer(o.level);
  }
  if (o.faultClass !== "") {
    out.put(CLASS);
    out.put(constant(o.faultClass));
    out.put(QUOTE);
  }
  // An entry beyond 64 bits of address has none; that it could not be fetched stands below.
  if (o.entryFrame >= 0 && o.entryFrame < FRAMES) {
    out.put(ENTRY_ADDR);
    out.address(o.entryFrame, o.entryOffset);
    if (o.entryKnown) {
      out.put(ENTRY);
      out.hex(o.entryHi, o.entryLo);
    }
    out.put(QUOTE);
  }
  if (!o.recorded) out.put(RECORDED_FALSE);
  if (o.hole) out.put(HOLE);
  if (o.hasFaultAddr) {
    out.put(FAULT_ADDR);
    out.hex(o.faultHi, o.faultLo);
    out.put(QUOTE);
  }
  if (o.flags >= 0) {
    out.put(FLAGS);
    out.hex(0, o.flags);
    out.put(QUOTE);
  }
  if (o.otherFault !== null) {
    out.put(OTHER_CODE);
    out.hex(0, o.otherFault.code);
    out.put(QUOTE);
  }
}
