import { ACCESS_NAMES, ADDRESS_TYPES } from "../../parsers/trace/accesses.ts";
import type { DmaRecord } from "../../parsers/trace/records.ts";
import { FAULT, NO_LEVEL, OK } from "../../walkers/result.ts";
import { hexHalves as hex } from "../../walkers/word64.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { permText } from "./perm-text.ts";
import type { OutcomeRecord } from "./records.ts";

/** By status. */
export const RESULTS: readonly OutcomeRecord["result"][] = ["ok", "fault", "msi"];
/** By permission bits. */
const PERMISSIONS = Array.from({ length: 8 }, (_, perm) => permText(perm));

/** A record while it is made: member by member, in the order of the line. */
type Draft = { -readonly [K in keyof OutcomeRecord]?: OutcomeRecord[K] };

/** An outcome as an object: what the line that `OutcomeWriter` writes of it parses to, its members in the same order. */
export function outcomeRecord(
  line: number,
  { iommu, device, trace }: RequestNames,
  request: DmaRecord,
  o: Outcome,
): OutcomeRecord {
  const record: Draft = { type: "outcome", line };
  if (!Number.isNaN(request.seq)) record.seq = request.seq;
  const ts = request.ts();
  if (ts !== undefined) record.ts = ts;
  if (trace !== undefined) record.trace = trace;
  if (iommu !== undefined) record.iommu = iommu;
  record.dev = device;
  if (request.pasid >= 0) record.pasid = request.pasid;
  record.addr = hex(request.addrHi, request.addrLo);
  record.len = request.len;
  record.access = ACCESS_NAMES[request.access]!;
  if (request.privGiven) record.priv = request.priv;
  if (request.atGiven) record.at = ADDRESS_TYPES[request.at]!;
  record.model = o.model;
  record.result = RESULTS[o.status]!;
  if (o.status === OK) addTranslation(record, o);
  else if (o.status === FAULT) addFault(record, o);
  record.reads = o.reads;
  if (o.otherStatus >= 0) record.other_result = RESULTS[o.otherStatus]!;
  if (o.verdict !== "") {
    record.verdict = o.verdict;
    if (o.difference !== "") record.diff = o.difference;
  }
  if (o.changedLine !== 0) record.changed_line = o.changedLine;
  return record as OutcomeRecord;
}

function addTranslation(record: Draft, o: Outcome): void {
  record.pa = address(o.runFrame[0]!, o.runOffset[0]!);
  if (o.pageShift !== 0) record.page = 2 ** o.pageShift;
  record.perm = PERMISSIONS[o.perm]!;
  if (o.domain >= 0) record.domain = o.domain;
  if (o.asid >= 0) record.asid = o.asid;
  if (o.passthrough) record.passthrough = true;
  if (o.runs > 1) record.sg = runsOf(o);
}

function runsOf(o: Outcome): [string, number][] {
  return Array.from({ length: o.runs }, (_, i) => [address(o.runFrame[i]!, o.runOffset[i]!), o.runBytes[i]!]);
}

function addFault(record: Draft, o: Outcome): void {
  const { code, name } = o.fault!;
  record.reason = o.reason;
  // A termination that has no event has no code either.
  if (code !== 0) record.code = hex(0, code);
  record.name = name;
  if (o.stage !== 0) record.stage = o.stage as 1 | 2;
  if (o.level !== NO_LEVEL) record.level = o.level;
  if (o.faultClass !== "") record.class = o.faultClass;
  if (o.entryFrame >= 0) {
    record.entry_addr = address(o.entryFrame, o.entryOffset);
    if (o.entryKnown) record.entry = hex(o.entryHi, o.entryLo);
  }
  if (!o.recorded) record.recorded = false;
  if (o.hole) record.hole = true;
  if (o.hasFaultAddr) record.fault_addr = hex(o.faultHi, o.faultLo);
  if (o.flags >= 0) record.flags = hex(0, o.flags);
  if (o.otherFault !== null) record.other_code = hex(0, o.otherFault.code);
}

function address(frame: number, offset: number): string {
  return hex((frame / 0x10_0000) | 0, (frame << 12) | offset);
}
