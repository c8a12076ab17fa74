import { ACCESS_NAMES } from "../../parsers/trace/accesses.ts";
import type { DmaRecord } from "../../parsers/trace/records.ts";
import { EXECUTE, READ, WRITE } from "../../walkers/request.ts";
import { FAULT, NO_LEVEL, OK } from "../../walkers/result.ts";
import { hexHalves as hex } from "../../walkers/word64.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import type { OutcomeRecord } from "./records.ts";

const RESULTS: OutcomeRecord["result"][] = ["ok", "fault", "msi"];

/** An outcome as an object: what the line that `OutcomeWriter` writes of it parses to, its members in the same order. */
export function outcomeRecord(
  line: number,
  names: RequestNames,
  request: DmaRecord,
  o: Outcome,
): OutcomeRecord {
  const { seq, pasid } = request;
  const ts = request.ts();
  return {
    type: "outcome",
    line,
    ...(Number.isNaN(seq) ? {} : { seq }),
    ...(ts === undefined ? {} : { ts }),
    ...(names.iommu === undefined ? {} : { iommu: names.iommu }),
    dev: names.device,
    ...(pasid < 0 ? {} : { pasid }),
    addr: hex(request.addrHi, request.addrLo),
    len: request.len,
    access: ACCESS_NAMES[request.access]!,
    ...(request.privGiven ? { priv: request.priv } : {}),
    model: o.model,
    result: RESULTS[o.status]!,
    ...(o.status === OK ? translation(o) : {}),
    ...(o.status === FAULT ? fault(o) : {}),
    reads: o.reads,
    ...(o.verdict === "" ? {} : { verdict: o.verdict }),
    ...(o.verdict === "" || o.difference === "" ? {} : { diff: o.difference }),
    ...(o.changedLine === 0 ? {} : { changed_line: o.changedLine }),
  };
}

function translation(o: Outcome): Partial<OutcomeRecord> {
  return {
    pa: address(o.runFrame[0]!, o.runOffset[0]!),
    ...(o.pageShift === 0 ? {} : { page: 2 ** o.pageShift }),
    perm: `${o.perm & READ ? "r" : "-"}${o.perm & WRITE ? "w" : "-"}${o.perm & EXECUTE ? "x" : "-"}`,
    ...(o.domain < 0 ? {} : { domain: o.domain }),
    ...(o.asid < 0 ? {} : { asid: o.asid }),
    ...(o.passthrough ? { passthrough: true } : {}),
    ...(o.runs > 1 ? { sg: runsOf(o) } : {}),
  };
}

function runsOf(o: Outcome): [string, number][] {
  return Array.from({ length: o.runs }, (_, i) => [address(o.runFrame[i]!, o.runOffset[i]!), o.runBytes[i]!]);
}

function fault(o: Outcome): Partial<OutcomeRecord> {
  const { code, name } = o.fault!;
  return {
    reason: o.reason,
    // A termination that has no event has no code either.
    ...(code === 0 ? {} : { code: hex(0, code) }),
    name,
    ...(o.stage === 0 ? {} : { stage: o.stage as 1 | 2 }),
    ...(o.level === NO_LEVEL ? {} : { level: o.level }),
    ...(o.cls === "" ? {} : { class: o.cls }),
    ...(o.entryFrame < 0 ? {} : { entry_addr: address(o.entryFrame, o.entryOffset) }),
    ...(o.entryFrame >= 0 && o.entryKnown ? { entry: hex(o.entryHi, o.entryLo) } : {}),
    ...(o.recorded ? {} : { recorded: false }),
    ...(o.hole ? { hole: true } : {}),
    ...(o.hasFaultAddr ? { fault_addr: hex(o.faultHi, o.faultLo) } : {}),
    ...(o.flags < 0 ? {} : { flags: hex(0, o.flags) }),
  };
}

function address(frame: number, offset: number): string {
  return hex((frame / 0x10_0000) | 0, (frame << 12) | offset);
}
