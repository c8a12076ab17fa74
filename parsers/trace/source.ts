/** Where the bytes of a trace come from: a file or standard input, compressed or not. */
import { readSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import type { ByteSource } from "./byte-source.ts";
import { unpacked } from "./decompress.ts";
import { systemError, TraceError } from "./errors.ts";

/**
 * Opens a trace. Whether it is gzip or zstd, its first bytes say, not its name.
 * @param path a file (or FIFO), or "-" for standard input
 * @throws TraceError where there is no such file or it cannot be read
 */
export async function openTrace(path: string): Promise<ByteSource> {
  const raw = path === "-" ? standardInput() : await openFile(path);
  try {
    return await unpacked(raw);
  } catch (error) {
    await raw.close();
    throw error;
  }
}

function standardInput(): ByteSource {
  return new ChunkSource("-", process.stdin, () => process.stdin.destroy());
}

async function openFile(path: string): Promise<ByteSource> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const stat = await file.stat();
    if (stat.isDirectory()) throw Object.assign(new Error("is a directory"), { code: "EISDIR" });
    return new FileSource(path, file, stat.isFile() ? stat.size : undefined);
  } catch (error) {
    await file?.close();
    throw systemError(path, error);
  }
}

/** Reads of a regular file between two turns of the event loop, which signals and progress need. */
const READS_PER_TURN = 16;

/**
 * A file. A regular one is read synchronously: its bytes are nearly always in memory already, and to hand them over from
 * another thread takes longer than to copy them.
 */
class FileSource implements ByteSource {
  readonly path: string;
  readonly size: number | undefined;
  consumed = 0;
  readonly #file: FileHandle;
  #reads = 0;

  constructor(path: string, file: FileHandle, size: number | undefined) {
    this.path = path;
    this.size = size;
    this.#file = file;
  }

  async read(target: Uint8Array, at: number, length: number): Promise<number> {
    try {
      const n = await this.#bytes(target, at, length);
      this.consumed += n;
      return n;
    } catch (error) {
      throw systemError(this.path, error);
    }
  }

  async #bytes(target: Uint8Array, at: number, length: number): Promise<number> {
    // What comes from a terminal or a FIFO comes when it comes.
    if (this.size === undefined) return (await this.#file.read(target, at, length, null)).bytesRead;
    if (++this.#reads % READS_PER_TURN === 0) await setImmediate();
    return readSync(this.#file.fd, target, at, length, null);
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async reopen(): Promise<ByteSource | undefined> {
    return this.size === undefined ? undefined : openFile(this.path);
  }
}

/**
 * Chunks of bytes, as a stream gives them, as a source.
 * @param path for messages
 * @param close called once nothing more is wanted
 */
export class ChunkSource implements ByteSource {
  readonly path: string;
  readonly size = undefined;
  consumed = 0;
  readonly #chunks: AsyncIterator<Uint8Array | string>;
  readonly #close: () => void;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(path: string, chunks: AsyncIterable<Uint8Array | string>, close: () => void) {
    this.path = path;
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#close = close;
  }

  async read(target: Uint8Array, at: number, length: number): Promise<number> {
    while (this.#rest.length === 0) {
      let next: IteratorResult<Uint8Array | string>;
      try {
        next = await this.#chunks.next();
      } catch (error) {
        throw systemError(this.path, error);
      }
      if (next.done === true) return 0;
      const chunk: unknown = next.value;
      if (typeof chunk !== "string" && !(chunk instanceof Uint8Array))
        throw new TraceError("unreadable", this.path, `expected bytes or text, found ${typeof chunk}`);
      this.#rest = typeof chunk === "string" ? Buffer.from(chunk, "utf8") : chunk;
    }
    const n = Math.min(length, this.#rest.length);
    target.set(this.#rest.subarray(0, n), at);
    this.#rest = this.#rest.subarray(n);
    this.consumed += n;
    return n;
  }

  async close(): Promise<void> {
    this.#close();
    // Not waited for: a generator that waits for its own next chunk ends only then.
    this.#chunks.return?.().catch(() => {});
  }
}

/** Bytes in memory as a source; `step` limits what one read gives (for tests of chunk boundaries). */
export function bytesSource(bytes: Uint8Array, step = Number.POSITIVE_INFINITY): ByteSource {
  let consumed = 0;
  return {
    path: "memory",
    size: bytes.length,
    get consumed() {
      return consumed;
    },
    async read(target, at, length) {
      const n = Math.min(length, step, bytes.length - consumed);
      target.set(bytes.subarray(consumed, consumed + n), at);
      consumed += n;
      return n;
    },
    async close() {},
    async reopen() {
      return bytesSource(bytes, step);
    },
  };
}
