import { onlyTrace } from "../../parsers/recognize.ts";
import { TraceSource } from "../../parsers/trace/reader.ts";
import { openTrace } from "../../parsers/trace/source.ts";
import { DEFAULT_OPTIONS } from "../../pipeline/replay/options.ts";
import { replayRecords } from "../../pipeline/replay/run.ts";
import type { DistinctFault } from "../../pipeline/summary/distinct-faults.ts";
import { SummarySink } from "../../pipeline/summary/summary-sink.ts";

/** Formats of logs that have requests, and not only what was logged of them. */
const WITH_REQUESTS = /^(?:qemu|gem5|simple)/;

/** Faults of the requests in a log, by device, PASID and cause. */
export interface RequestFaults {
  readonly path: string;
  readonly faults: readonly DistinctFault[];
}

/** Whether logs of these formats have requests that can be replayed. */
export function haveRequests(formats: readonly string[]): boolean {
  return formats.some((format) => WITH_REQUESTS.test(format));
}

/** Replays the requests of a log, for those that fault: the most frequent kinds first. */
export async function requestFaults(path: string): Promise<RequestFaults> {
  const sink = new SummarySink(0);
  const source = new TraceSource(await onlyTrace(await openTrace(path)));
  await replayRecords(source, sink, { ...DEFAULT_OPTIONS, findings: false, caches: false }, () => {});
  const faults = [...sink.faults.all].sort((a, b) => b.requests - a.requests);
  return { path, faults };
}
