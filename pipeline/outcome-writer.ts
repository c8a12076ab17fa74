import type { DmaRecord } from "../parsers/trace/records.ts";
import { EXECUTE, READ, WRITE } from "../walkers/request.ts";
import { FAULT, MSI, NO_LEVEL, OK } from "../walkers/result.ts";
import { ascii, ByteWriter } from "./byte-writer.ts";
import type { Outcome } from "./outcome.ts";

const TYPE_LINE = ascii('{"type":"outcome","line":');
const SEQ = ascii(',"seq":');
const TS = ascii(',"ts":');
const PASID = ascii(',"pasid":');
const ADDR = ascii(',"addr":"0x');
/** By access bits; only these four combinations are requests. */
const ACCESS: string[] = [];
ACCESS[READ] = "r";
ACCESS[WRITE] = "w";
ACCESS[READ | WRITE] = "rw";
ACCESS[EXECUTE] = "x";
/** Not given, false, true. */
const PRIV = ["", ',"priv":false', ',"priv":true'];
/** By status: the result and what comes before its first value. */
const RESULT: string[] = [];
RESULT[OK] = '"result":"ok","pa":"0x';
RESULT[FAULT] = '"result":"fault","reason":"';
RESULT[MSI] = '"result":"msi"';
const PAGE = ascii(',"page":');
const PERM = Array.from({ length: 8 }, (_, perm) =>
  ascii(`,"perm":"${perm & READ ? "r" : "-"}${perm & WRITE ? "w" : "-"}${perm & EXECUTE ? "x" : "-"}"`),
);
const QUOTE = ascii('"');
const DOMAIN = ascii(',"domain":');
const ASID = ascii(',"asid":');
const PASSTHROUGH = ascii(',"passthrough":true');
const SG = ascii(',"sg":[["0x');
const SG_NEXT = ascii('],["0x');
const SG_COMMA = ascii('",');
const SG_END = ascii("]]");
const CODE = ascii('","code":"0x');
const NAME = ascii('","name":"');
const STAGE = ascii(',"stage":');
const LEVEL = ascii(',"level":');
const CLASS = ascii(',"class":"');
const ENTRY_ADDR = ascii(',"entry_addr":"0x');
const ENTRY = ascii('","entry":"0x');
const RECORDED_FALSE = ascii(',"recorded":false');
const HOLE = ascii(',"hole":true');
const FAULT_ADDR = ascii(',"fault_addr":"0x');
const FLAGS = ascii(',"flags":"0x');
const READS = ascii(',"reads":');
const VERDICT = ascii(',"verdict":"');
const DIFF = ascii('","diff":"');
const CHANGED_LINE = ascii(',"changed_line":');
const END = ascii("}\n");

/** Bytes that an outcome needs at most, its texts and runs aside. */
const FIXED = 1024;
const PER_RUN = 48;

/** One cache of encoded constants: reasons, fault names, verdicts and models come from closed sets. */
const encoded = new Map<string, Uint8Array>();
function constant(text: string): Uint8Array {
  let bytes = encoded.get(text);
  if (bytes === undefined) {
    bytes = ascii(text);
    encoded.set(text, bytes);
  }
  return bytes;
}

/** Slots of the memos of pieces below: powers of two. */
const MIDDLES = 64;
const TAILS = 1024;

/**
 * Writes `outcome` records, their fields in the contract's order. Pieces that repeat from record to record are built
 * once and copied whole: a record of a translated request is five copies, two addresses and two numbers
 * (test/bench/outcome-writer.ts).
 */
export class OutcomeWriter {
  readonly #out: ByteWriter;
  readonly #middles: (Middle | undefined)[] = new Array(MIDDLES).fill(undefined);
  readonly #tails: (Tail | undefined)[] = new Array(TAILS).fill(undefined);

  constructor(out: ByteWriter) {
    this.#out = out;
  }

  /**
   * @param line line of the request in the input
   * @param names the `,"iommu":…,"dev":…` part, encoded once per pair
   */
  write(line: number, names: Uint8Array, request: DmaRecord, o: Outcome): void {
    const out = this.#out;
    out.reserve(FIXED + names.length + (request.tsEnd - request.tsStart) + o.runs * PER_RUN);
    out.put(TYPE_LINE);
    out.decimal(line);
    if (!Number.isNaN(request.seq)) {
      out.put(SEQ);
      out.integer(request.seq);
    }
    if (request.tsEnd > request.tsStart) {
      out.put(TS);
      out.copy(request.bytes, request.tsStart, request.tsEnd);
    }
    out.put(names);
    if (request.pasid >= 0) {
      out.put(PASID);
      out.decimal(request.pasid);
    }
    out.put(ADDR);
    out.hex(request.addrHi, request.addrLo);
    out.put(this.#middle(request, o));
    if (o.status === OK) {
      out.address(o.runFrame[0]!, o.runOffset[0]!);
      if (o.runs === 1 && o.changedLine === 0) {
        out.put(this.#tail(o));
        return;
      }
      writeTranslation(out, o);
    } else if (o.status === FAULT) writeFault(out, o);
    writeEnd(out, o);
  }

  /** From `len` to the result, with what comes before its first value. */
  #middle(request: DmaRecord, o: Outcome): Uint8Array {
    const priv = request.privGiven ? (request.priv ? 2 : 1) : 0;
    const slot = (request.len ^ (request.access << 3) ^ (o.status << 4) ^ priv) & (MIDDLES - 1);
    const known = this.#middles[slot];
    if (
      known !== undefined &&
      known.len === request.len &&
      known.access === request.access &&
      known.priv === priv &&
      known.model === o.model &&
      known.status === o.status
    )
      return known.bytes;
    const text = `","len":${request.len},"access":"${ACCESS[request.access]}"${PRIV[priv]},"model":"${o.model}",${RESULT[o.status]}`;
    const made = {
      len: request.len,
      access: request.access,
      priv,
      model: o.model,
      status: o.status,
      bytes: ascii(text),
    };
    this.#middles[slot] = made;
    return made.bytes;
  }

  /** What follows the address of a translated request in one run. */
  #tail(o: Outcome): Uint8Array {
    const slot =
      (Math.imul(o.domain, 0x9e37_79b1) ^
        Math.imul(o.asid, 0x85eb_ca6b) ^
        (o.pageShift << 5) ^
        (o.reads << 2) ^
        o.perm) &
      (TAILS - 1);
    const known = this.#tails[slot];
    if (
      known !== undefined &&
      known.domain === o.domain &&
      known.asid === o.asid &&
      known.pageShift === o.pageShift &&
      known.perm === o.perm &&
      known.reads === o.reads &&
      known.passthrough === o.passthrough &&
      known.verdict === o.verdict &&
      known.difference === o.difference
    )
      return known.bytes;
    const scratch = new ByteWriter(FIXED);
    writeTranslation(scratch, o);
    writeEnd(scratch, o);
    const made = {
      domain: o.domain,
      asid: o.asid,
      pageShift: o.pageShift,
      perm: o.perm,
      reads: o.reads,
      passthrough: o.passthrough,
      verdict: o.verdict,
      difference: o.difference,
      bytes: new Uint8Array(scratch.take()),
    };
    this.#tails[slot] = made;
    return made.bytes;
  }
}

interface Middle {
  readonly len: number;
  readonly access: number;
  readonly priv: number;
  readonly model: string;
  readonly status: number;
  readonly bytes: Uint8Array;
}

interface Tail {
  readonly domain: number;
  readonly asid: number;
  readonly pageShift: number;
  readonly perm: number;
  readonly reads: number;
  readonly passthrough: boolean;
  readonly verdict: string;
  readonly difference: string;
  readonly bytes: Uint8Array;
}

/** What follows the address of a translated request, up to `reads`. */
function writeTranslation(out: ByteWriter, o: Outcome): void {
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
  if (o.runs > 1) {
    for (let i = 0; i < o.runs; i++) {
      out.put(i === 0 ? SG : SG_NEXT);
      out.address(o.runFrame[i]!, o.runOffset[i]!);
      out.put(SG_COMMA);
      out.decimal(o.runBytes[i]!);
    }
    out.put(SG_END);
  }
}

function writeEnd(out: ByteWriter, o: Outcome): void {
  out.put(READS);
  out.decimal(o.reads);
  if (o.verdict !== "") {
    out.put(VERDICT);
    out.put(constant(o.verdict));
    if (o.difference !== "") {
      out.put(DIFF);
      out.put(constant(o.difference));
    }
    out.put(QUOTE);
    if (o.changedLine !== 0) {
      out.put(CHANGED_LINE);
      out.decimal(o.changedLine);
    }
  }
  out.put(END);
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
  if (o.cls !== "") {
    out.put(CLASS);
    out.put(constant(o.cls));
    out.put(QUOTE);
  }
  if (o.entryFrame >= 0) {
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
}
