import { setImmediate } from "node:timers/promises";
import { readyZstd } from "../zstd.ts";
import type { ReadAhead } from "./batch/read-ahead.ts";
import type { TextWindow } from "./batch/windows.ts";
import type { ByteSource } from "./byte-source.ts";
import { isTraceError } from "./errors.ts";
import type { Feed } from "./line-feed.ts";
import { LayoutSniffer, type StreamLayout } from "./sniff.ts";
import { afterMark } from "./utf8.ts";

/** What the first read asks for. */
const HEAD_BYTES = 64 * 1024;

/** How an input's records are laid out, and its first bytes, to decide what reads them. */
export type FeedChoice = (layout: StreamLayout, head: Uint8Array) => Feed | Promise<Feed>;

/** An input's text, given piece by piece to the feed that its first bytes call for. */
export class TextInput {
  readonly #source: ByteSource;
  readonly #choose: FeedChoice;
  readonly #maxLineBytes: number;
  #feed: Feed | null = null;
  /** What works ahead, as long as it does; and its window at hand, with the next of what is to be done with that. */
  #ahead: ReadAhead | null;
  #window: TextWindow | null = null;
  #step = 0;
  /** Why the input broke off, where it did. */
  #broken: string | null = null;

  constructor(source: ByteSource, choose: FeedChoice, maxLineBytes: number, ahead: ReadAhead | null = null) {
    this.#source = source;
    this.#choose = choose;
    this.#maxLineBytes = maxLineBytes;
    this.#ahead = ahead;
  }

  get lines(): number {
    return this.#feed?.lines ?? 0;
  }

  get consumed(): number {
    return this.#source.consumed;
  }

  /** Gives the next piece. @returns false where nothing comes after it */
  async next(): Promise<boolean> {
    let feed = this.#feed;
    let more: boolean;
    if (feed === null) {
      feed = await this.#begin();
      more = !feed.done && this.#broken === null;
    } else more = await this.#piece(feed);
    if (more) return true;
    if (this.#broken !== null) feed.breakOff(this.#broken);
    else if (!feed.done) feed.finish();
    return false;
  }

  async close(): Promise<void> {
    await this.#ahead?.close();
    await this.#source.close();
  }

  async #piece(feed: Feed): Promise<boolean> {
    if (feed.busy) {
      // Signals get in here.
      await setImmediate();
      feed.work();
      return feed.busy || !feed.done;
    }
    if (this.#ahead?.runs) {
      this.#window ??= await this.#windowOf(this.#ahead);
      if (this.#window !== null) {
        this.#useWindow(feed, this.#window);
        return !feed.done;
      }
      const { ended } = this.#ahead;
      await this.#alone();
      if (ended) return false;
    }
    // Making room may replace the buffer.
    const at = feed.reserve();
    const n = await this.#read(feed.buffer, at, feed.room);
    if (n === 0) return false;
    feed.added(n);
    return !feed.done;
  }

  /** Works on what is left of a window, as long as the feed has time. */
  #useWindow(feed: Feed, window: TextWindow): void {
    const { text, length, first, end } = window;
    while (!feed.busy && !feed.done)
      switch (this.#step++) {
        case 0:
          add(feed, text.subarray(0, first));
          break;
        case 1:
          if (end > first) feed.lend?.(window);
          break;
        default:
          add(feed, text.subarray(end, length));
          this.#window = null;
          this.#step = 0;
          return;
      }
  }

  /** Reads as much of the start as it takes to tell how the records are laid out, and gives it to their feed. */
  async #begin(): Promise<Feed> {
    // A record may name a memory file, which is opened while the record is told.
    await readyZstd();
    // One byte more than is ever filled.
    let bytes = new Uint8Array(HEAD_BYTES + 1);
    let fill = 0;
    const sniffer = new LayoutSniffer();
    let layout: StreamLayout | undefined;
    while (layout === undefined) {
      if (fill === bytes.length - 1) {
        if (fill > this.#maxLineBytes) {
          layout = "lines";
          break;
        }
        const larger = new Uint8Array(bytes.length * 2);
        larger.set(bytes);
        bytes = larger;
      }
      const n = await this.#read(bytes, fill, bytes.length - 1 - fill);
      fill += n;
      layout = sniffer.sniff(bytes, fill, n === 0);
    }
    const feed = await this.#choose(layout, bytes.subarray(0, fill));
    this.#feed = feed;
    if (feed.lend === undefined) await this.#alone();
    await give(feed, bytes, fill);
    return feed;
  }

  /** The next window; null where there are no more. */
  async #windowOf(ahead: ReadAhead): Promise<TextWindow | null> {
    try {
      return await ahead.next();
    } catch (error) {
      this.#breaks(error);
      return null;
    }
  }

  /** Nobody is to work ahead. */
  async #alone(): Promise<void> {
    await this.#ahead?.close();
    this.#ahead = null;
  }

  /** As `source.read`; where the input breaks off, keeps the reason and returns 0. */
  async #read(target: Uint8Array, at: number, length: number): Promise<number> {
    try {
      return await this.#source.read(target, at, length);
    } catch (error) {
      this.#breaks(error);
      return 0;
    }
  }

  /** Keeps why the input broke off. */
  #breaks(error: unknown): void {
    if (!isTraceError(error)) throw error;
    this.#broken = error.message;
  }
}

/** Adds a text that the feed has room for: what a window has is never more. */
function add(feed: Feed, bytes: Uint8Array): void {
  if (bytes.length === 0) return;
  const at = feed.reserve();
  feed.buffer.set(bytes, at);
  feed.added(bytes.length);
}

/** Hands the first bytes of an input to its feed, less a byte order mark. */
async function give(feed: Feed, bytes: Uint8Array, length: number): Promise<void> {
  let at = Math.min(afterMark(bytes, 0), length);
  while (at < length && !feed.done) {
    const to = feed.reserve();
    const n = Math.min(feed.room, length - at);
    feed.buffer.set(bytes.subarray(at, at + n), to);
    feed.added(n);
    while (feed.busy) {
      await setImmediate();
      feed.work();
    }
    at += n;
  }
}
