/**
 * The front door of trace reading: bytes in, records out to a handler, in order and without an allocation per
 * record. Line numbers count from 1.
 */

import type { ByteSource } from "./byte-source.ts";
import { isTraceError } from "./errors.ts";
import { type Feed, type FeedOptions, LineFeed } from "./line-feed.ts";
import type { TraceHandler } from "./line-reader.ts";
import { TraceNames } from "./records.ts";
import { type Layout, sniffLayout } from "./sniff.ts";

export type { ErrorCode } from "./field.ts";
export type { TraceHandler } from "./line-reader.ts";

/** Longest line (or record of a JSON document) that is read, in bytes, unless the caller says otherwise. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;
/** What the first read asks for. */
const HEAD_BYTES = 64 * 1024;

export interface ReadOptions {
  /** The numbers of names; give one to look them up in the handler. Default: a new one. */
  readonly names?: TraceNames;
  readonly maxLineBytes?: number;
  /**
   * Called after each chunk of about 1 MiB with the bytes of the input taken so far; the next chunk is read when
   * it has settled, so a caller drains its output here.
   */
  readonly onChunk?: (bytesRead: number) => void | Promise<void>;
}

export interface ReadTotals {
  /** Lines of the input, blank ones included. */
  readonly lines: number;
  /** Bytes of the input (before decompression). */
  readonly bytes: number;
}

/** How an input's records are laid out, and its first bytes, to decide what reads them. */
export type FeedChoice = (layout: Layout, head: Uint8Array) => Feed | Promise<Feed>;

/**
 * Reads a trace to its end: line-delimited JSON, or a JSON document (an array of records, or records over several
 * lines). A record that cannot be used goes to `handler.error` and reading goes on; so does an input that breaks
 * off ("io"), after all complete records before it. Closes the source.
 * @throws what the handler or `onChunk` throws
 */
export async function readTrace(
  source: ByteSource,
  handler: TraceHandler,
  options: ReadOptions = {},
): Promise<ReadTotals> {
  const feedOptions = {
    names: options.names ?? new TraceNames(),
    maxLineBytes: options.maxLineBytes ?? MAX_LINE_BYTES,
  };
  return readInput(source, (layout) => traceFeed(layout, handler, feedOptions), options);
}

/** As `readTrace`, for an input whose kind shows when its first bytes are there. */
export async function readInput(
  source: ByteSource,
  choose: FeedChoice,
  options: Omit<ReadOptions, "names"> = {},
): Promise<ReadTotals> {
  try {
    const head = new Head();
    const layout = await head.read(source, options.maxLineBytes ?? MAX_LINE_BYTES);
    const feed = await choose(layout, head.bytes);
    head.give(feed);
    await options.onChunk?.(source.consumed);
    while (!feed.done && head.end === null) {
      // Making room may replace the buffer.
      const at = feed.reserve();
      const n = await head.into(source, feed.buffer, at, feed.room);
      if (n === 0) break;
      feed.added(n);
      await options.onChunk?.(source.consumed);
    }
    if (head.end !== null) feed.breakOff(head.end);
    else if (!feed.done) feed.finish();
    return { lines: feed.lines, bytes: source.consumed };
  } finally {
    await source.close();
  }
}

/** What reads a trace of this layout, or a log as the trace that can be made of it. */
export async function traceFeed(layout: Layout, handler: TraceHandler, options: FeedOptions): Promise<Feed> {
  if (layout === "lines") return new LineFeed(handler, options);
  if (layout === "log" || layout === "simple-trace") {
    const { logFeed } = await import("../logs/log-feed.ts");
    return logFeed(layout, handler, options);
  }
  const { documentFeed } = await import("./document-feed.ts");
  return documentFeed(handler, options);
}

/** The start of the input, as much of it as it takes to tell how its records are laid out. */
class Head {
  /** Why the input broke off, where it did. */
  end: string | null = null;
  /** One byte more than is ever filled. */
  #bytes = new Uint8Array(HEAD_BYTES + 1);
  #fill = 0;

  /** What has been read. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#fill);
  }

  async read(source: ByteSource, maxLineBytes: number): Promise<Layout> {
    for (;;) {
      if (this.#fill === this.#bytes.length - 1) {
        if (this.#fill > maxLineBytes) return "lines";
        const larger = new Uint8Array(this.#bytes.length * 2);
        larger.set(this.#bytes);
        this.#bytes = larger;
      }
      const n = await this.into(source, this.#bytes, this.#fill, this.#bytes.length - 1 - this.#fill);
      this.#fill += n;
      const layout = sniffLayout(this.#bytes, this.#fill, n === 0);
      if (layout !== undefined) return layout;
    }
  }

  /** As `source.read`; where the input breaks off, keeps the reason and returns 0. */
  async into(source: ByteSource, target: Uint8Array, at: number, length: number): Promise<number> {
    try {
      return await source.read(target, at, length);
    } catch (error) {
      if (!isTraceError(error)) throw error;
      this.end = error.message;
      return 0;
    }
  }

  /** Hands what has been read to a feed, less a byte order mark. */
  give(feed: Feed): void {
    const b = this.#bytes;
    let at = this.#fill >= 3 && b[0] === 0xef && b[1] === 0xbb && b[2] === 0xbf ? 3 : 0;
    while (at < this.#fill && !feed.done) {
      const to = feed.reserve();
      const n = Math.min(feed.room, this.#fill - at);
      feed.buffer.set(b.subarray(at, at + n), to);
      feed.added(n);
      at += n;
    }
  }
}
