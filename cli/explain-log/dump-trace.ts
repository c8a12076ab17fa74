import { FaultRecords } from "../../parsers/logs/fault-records.ts";
import type { LogOutput } from "../../parsers/logs/format.ts";
import type { IommuEvent, LoggedFault } from "../../parsers/logs/iommu-events.ts";
import { TraceSource } from "../../parsers/trace/reader.ts";
import { bytesSource } from "../../parsers/trace/source.ts";
import { replay } from "../../pipeline/library/replay-stream.ts";
import type { FindingRecord } from "../../pipeline/output/records.ts";
import { type InspectedRequest, inspectTrace } from "../../pipeline/walk/walk-trace.ts";

/** What the tables say that were printed with a fault. */
export interface DumpedTables {
  /** The walk of the request that faulted; undefined where the tables do not determine it. */
  readonly walk: InspectedRequest | undefined;
  /** What is wrong with the entries by themselves. */
  readonly findings: readonly FindingRecord[];
}

/** Rules that say nothing of tables of which a log shows a few entries only. */
const PARTIAL = new Set(["pointer-outside-memory", "logged-fault", "unexplained-fault"]);

/** Walks the request of a fault through the tables that were printed with it. */
export async function dumpedTables(
  fault: LoggedFault,
  units: readonly Extract<IommuEvent, { kind: "unit" }>[],
): Promise<DumpedTables> {
  const lines: string[] = [];
  let request = 0;
  const output: LogOutput = {
    memory: false,
    known: null,
    complete() {},
    hosts: [],
    line: fault.at.line,
    record(type, text) {
      lines.push(text);
      if (type === "dma") request = lines.length;
    },
    ignored() {},
    retract() {},
    follow() {},
    event() {},
    lost() {},
  };
  const records = new FaultRecords(output);
  for (const unit of units) records.take(unit);
  records.take(fault);
  const trace = Buffer.from(`${lines.join("\n")}\n`);
  const findings: FindingRecord[] = [];
  for await (const record of replay(trace, { only: ["findings"] }))
    if (record.type === "finding" && !PARTIAL.has(record.rule)) findings.push(record);
  const walk =
    request === 0 ? undefined : await inspectTrace(new TraceSource(bytesSource(trace)), { line: request });
  return { walk, findings };
}
