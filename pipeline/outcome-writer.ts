import type { DmaRecord } from "../parsers/trace/records.ts";
import { EXECUTE, READ, TABLE_MODELS, type TableModel, WRITE } from "../walkers/request.ts";
import { FAULT, MSI, NO_LEVEL, OK } from "../walkers/result.ts";
import { ascii, type ByteWriter } from "./byte-writer.ts";
import type { Outcome } from "./outcome.ts";

const TYPE_LINE = ascii('{"type":"outcome","line":');
const SEQ = ascii(',"seq":');
const TS = ascii(',"ts":');
const PASID = ascii(',"pasid":');
const ADDR = ascii(',"addr":"0x');
const LEN = ascii('","len":');
/** By access bits; only these four combinations are requests. */
const ACCESS: Uint8Array[] = [];
ACCESS[READ] = ascii(',"access":"r"');
ACCESS[WRITE] = ascii(',"access":"w"');
ACCESS[READ | WRITE] = ascii(',"access":"rw"');
ACCESS[EXECUTE] = ascii(',"access":"x"');
const PRIV_TRUE = ascii(',"priv":true');
const PRIV_FALSE = ascii(',"priv":false');
const MODEL = Object.fromEntries(
  TABLE_MODELS.map((model) => [model, ascii(`,"model":"${model}",`)]),
) as Readonly<Record<TableModel, Uint8Array>>;
const PA = ascii('"result":"ok","pa":"0x');
const PAGE = ascii(',"page":');
const PAGES = Array.from({ length: 64 }, (_, shift) => ascii(String(2 ** shift)));
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
const RESULT_MSI = ascii('"result":"msi"');
const RESULT_FAULT = ascii('"result":"fault","reason":"');
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

/**
 * Writes one `outcome` record, its fields in the contract's order.
 *
 * @param line line of the request in the input
 * @param names the `,"iommu":…,"dev":…` part, encoded once per pair
 */
export function writeOutcome(
  out: ByteWriter,
  line: number,
  names: Uint8Array,
  request: DmaRecord,
  o: Outcome,
): void {
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
  out.put(LEN);
  out.decimal(request.len);
  out.put(ACCESS[request.access]!);
  if (request.privGiven) out.put(request.priv ? PRIV_TRUE : PRIV_FALSE);
  out.put(MODEL[o.model]);
  if (o.status === OK) writeOk(out, o);
  else if (o.status === FAULT) writeFault(out, o);
  else if (o.status === MSI) out.put(RESULT_MSI);
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

function writeOk(out: ByteWriter, o: Outcome): void {
  out.put(PA);
  out.address(o.runFrame[0]!, o.runOffset[0]!);
  out.put(QUOTE);
  if (o.pageShift !== 0) {
    out.put(PAGE);
    out.put(PAGES[o.pageShift]!);
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

function writeFault(out: ByteWriter, o: Outcome): void {
  const fault = o.fault!;
  out.put(RESULT_FAULT);
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
