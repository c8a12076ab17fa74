import type { Feed, FeedOptions } from "../trace/line-feed.ts";
import type { TraceHandler } from "../trace/record-source.ts";
import { LogCutter } from "./log-cutter.ts";
import { LogImport, type LogOptions } from "./log-import.ts";
import { HandlerSink } from "./record-sink.ts";
import { SimpleTrace } from "./simple-trace.ts";

/** A log instead of a trace: what reads it tells the handler the records that can be made of it. */
export function logFeed(
  layout: "log" | "simple-trace",
  handler: TraceHandler,
  options: FeedOptions,
  logOptions: LogOptions = {},
): Feed {
  const log = new ReplayedLog(handler, options, logOptions);
  return layout === "log" ? new LogCutter(log, log.needles) : new SimpleTrace(log);
}

/** A log that is replayed as it is. */
class ReplayedLog extends LogImport {
  readonly #handler: TraceHandler;

  constructor(handler: TraceHandler, { names }: FeedOptions, options: LogOptions) {
    super(new HandlerSink(handler, names), options);
    this.#handler = handler;
  }

  get stopped(): boolean {
    return this.#handler.stopped === true;
  }

  override finish(lines: number): void {
    super.finish(lines);
    if (this.formats.length === 0 && !this.stopped)
      this.#handler.error(
        lines,
        "schema",
        `expected a pasid-trace, or a log with lines about an IOMMU, found ${lines} lines of neither`,
      );
  }

  override breakOff(line: number, message: string): void {
    if (!this.stopped) this.#handler.error(line, "io", message);
  }
}
