import { OK } from "../../walkers/result.ts";
import { hex } from "../../walkers/word64.ts";
import type { ExplainedGroup, ExplainedLogs } from "../explain-log/explain-logs.ts";
import { requestFaultRecords } from "./request-faults.ts";

/** What logs say of IOMMUs, as NDJSON: a record per kind of fault, then one of the logs. */
export function logJson(
  paths: readonly string[],
  { groups, facts, report, collect, requests }: ExplainedLogs,
): string {
  const records: object[] = [...groups.map(groupRecord), ...requests.flatMap(requestFaultRecords)];
  const replayed = requests.flatMap(({ faults }) => faults).reduce((sum, kind) => sum + kind.requests, 0);
  records.push({
    type: "logs",
    paths,
    lines: report.lines,
    formats: report.formats,
    faults: groups.reduce((sum, { group }) => sum + group.count, facts.ungrouped + replayed),
    queue_errors: [...facts.queueErrors.values()].map(({ text, count, first }) => ({
      text,
      count,
      line: first.line,
    })),
    losses: [...report.lost.values()].map(({ loss, count }) => ({
      what: loss.what,
      severity: loss.severity,
      count,
    })),
    collect,
  });
  return records.map((record) => `${JSON.stringify(record)}\n`).join("");
}

function groupRecord({ group, vendor, meanings, tables, causes }: ExplainedGroup): object {
  const { first, last } = group;
  const result = tables?.walk?.pages.at(-1)?.result;
  return {
    type: "fault-group",
    vendor,
    model: first.model,
    iommu: first.iommu,
    dev: first.dev,
    client: first.smmu?.client,
    count: group.count,
    first_line: first.at.line,
    first_ts: first.at.ts === "" ? undefined : JSON.parse(first.at.ts),
    last_line: last.line,
    last_ts: last.ts === "" ? undefined : JSON.parse(last.ts),
    accesses: [...group.accesses].map((access) => access ?? null),
    pasids: [...group.pasids].map((pasid) => pasid ?? null),
    addresses: group.addresses.map(hex),
    code: first.code === undefined ? undefined : hex(first.code),
    names: meanings.map(({ name }) => name),
    text: first.text,
    flags: first.amd?.flags === undefined ? undefined : hex(first.amd.flags),
    tables:
      result === undefined
        ? undefined
        : result.status === OK
          ? "allow this access"
          : result.fault?.code === first.code
            ? "give this fault"
            : `give ${result.fault?.name}`,
    history: Object.fromEntries([...group.histories].map(([cause, { count }]) => [cause, count])),
    causes,
  };
}
