/**
 * The front door of trace reading: bytes in, records out to a handler, in order and without an allocation per
 * record. Line numbers count from 1.
 */

import { loadLogFeed } from "../log-input.ts";
import { BatchFeed } from "./batch/batch-feed.ts";
import type { ReadAhead } from "./batch/read-ahead.ts";
import type { ByteSource } from "./byte-source.ts";
import { type Feed, type FeedOptions, LineFeed } from "./line-feed.ts";
import { type ReadTotals, type RecordSource, readRecords, type TraceHandler } from "./record-source.ts";
import { TraceNames } from "./records.ts";
import type { StreamLayout } from "./sniff.ts";
import { TextInput } from "./text-input.ts";

export type { ErrorCode } from "./field.ts";
export type { TraceHandler } from "./record-source.ts";

/** Longest line (or record of a JSON document) that is read, in bytes, unless the caller says otherwise. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;
/** Longest that the caller can ask for: a longer one is no string of JavaScript. */
export const LONGEST_LINE_BYTES = 2 ** 29 - 64;

export interface TraceOptions {
  /** The numbers of names; give one to look them up in the handler. Default: a new one. */
  readonly names?: TraceNames;
  readonly maxLineBytes?: number;
  /** A record with a name that the contract does not know is an error. */
  readonly strict?: boolean;
  /** Works ahead on the source; it is ended with it. */
  readonly ahead?: ReadAhead | null;
}

export interface ReadOptions extends TraceOptions {
  /** As for `readRecords`: after each chunk of up to about 1 MiB. */
  readonly onChunk?: (bytesRead: number) => void | Promise<void>;
}

/**
 * The records of a trace's text: line-delimited JSON, or a JSON document (an array of records, or records over several
 * lines). A record that cannot be used goes to `handler.error` and reading goes on; so does an input that breaks off
 * ("io"), after all complete records before it.
 */
export class TraceSource implements RecordSource {
  readonly names: TraceNames;
  readonly live: boolean;
  readonly #input: TextInput;
  #handler: TraceHandler | null = null;

  constructor(source: ByteSource, options: TraceOptions = {}) {
    const { names = new TraceNames(), strict = false, ahead = null } = options;
    const maxLineBytes = Math.min(options.maxLineBytes ?? MAX_LINE_BYTES, LONGEST_LINE_BYTES);
    this.names = names;
    this.live = source.size === undefined;
    const choose = (layout: StreamLayout) =>
      traceFeed(layout, this.#handler!, { names, maxLineBytes, strict });
    this.#input = new TextInput(source, choose, maxLineBytes, ahead);
  }

  get lines(): number {
    return this.#input.lines;
  }

  get consumed(): number {
    return this.#input.consumed;
  }

  next(handler: TraceHandler): Promise<boolean> {
    this.#handler = handler;
    return this.#input.next();
  }

  close(): Promise<void> {
    return this.#input.close();
  }
}

/**
 * Reads a trace to its end, or until the handler has stopped. Closes the source.
 * @throws what the handler or `onChunk` throws
 */
export function readTrace(
  source: ByteSource,
  handler: TraceHandler,
  options: ReadOptions = {},
): Promise<ReadTotals> {
  return readRecords(new TraceSource(source, options), handler, options.onChunk);
}

/** What reads a trace of this layout, or a log as the trace that can be made of it. */
export async function traceFeed(
  layout: StreamLayout,
  handler: TraceHandler,
  options: FeedOptions,
): Promise<Feed> {
  const { batches } = handler;
  if (layout === "lines" && batches) return new BatchFeed(handler, options, batches);
  if (layout === "lines") return new LineFeed(handler, options);
  if (layout === "log" || layout === "simple-trace") {
    const logFeed = await loadLogFeed();
    return logFeed(layout, handler, options);
  }
  const { documentFeed } = await import("./document-feed.ts");
  return documentFeed(handler, options);
}
