/**
 * Lines of trace events: tracefs `trace` and `trace_pipe`, `trace-cmd report`, `perf script`:
 *
 *     kworker/0:0H-10      [000] d..1.    11.322785: dma_map_phys: 0000:00:03.0 dir=…
 *               dd-411   (    411) [000] .....    25.705750: map:                  IOMMU: iova=…
 *               dd     411 [000]    25.705750:          iommu:map: IOMMU: iova=…
 *
 * Flags have 5 characters, 4 in old kernels, none in perf; the thread group stands in parentheses where it was asked
 * for.
 */

/** One event: where and when, and its own text. */
export interface TraceEventLine {
  /** "kworker/0:0H-10". */
  readonly task: string;
  readonly cpu: number;
  /** Seconds of the trace clock as written: by default the clock of the kernel log. */
  readonly time: string;
  /** "iommu" where the line gives it (perf), else undefined. */
  readonly system: string | undefined;
  readonly event: string;
  readonly text: string;
}

/** Events that a ring buffer lost before its reader came. */
export interface LostEvents {
  readonly cpu: number;
  readonly count: number;
}

const EVENT =
  /^\s*(\S.*?)(?:-|\s+)(\d+)(?:\/(\d+))?\s+(?:\(\s*[-\d]+\)\s+)?\[(\d{1,5})\]\s+(?:[A-Za-z0-9.#*+!@]{4,6}\s+)?(\d{1,12}\.\d{1,9}):\s+(?:([A-Za-z_]\w*):)?([A-Za-z_]\w*):\s*(.*?)\s*$/;
const LOST = /^CPU:(\d+) \[LOST (\d+) EVENTS\]\s*$/;
const HEADER = /^# (?:tracer: |entries-in-buffer|\s*TASK-PID)|^cpus=\d+\s*$|^version = \d+\s*$/;

/** A line of an event; undefined where it is something else. */
export function traceEventLine(text: string): TraceEventLine | undefined {
  // Most lines of a log have no such bracket: cheaper than the expression's backtracking.
  const bracket = text.indexOf("[");
  if (bracket < 0 || !/^\[\d{1,5}\]/.test(text.slice(bracket, bracket + 7))) return undefined;
  const found = EVENT.exec(text);
  if (found === null) return undefined;
  return {
    task: `${found[1]}-${found[3] ?? found[2]}`,
    cpu: Number(found[4]),
    time: found[5]!,
    system: found[6],
    event: found[7]!,
    text: found[8]!,
  };
}

export function lostEvents(text: string): LostEvents | undefined {
  const found = LOST.exec(text);
  return found === null ? undefined : { cpu: Number(found[1]), count: Number(found[2]) };
}

/** Whether a line opens such a trace, or is its heading. */
export function isTraceHeader(text: string): boolean {
  return HEADER.test(text);
}
