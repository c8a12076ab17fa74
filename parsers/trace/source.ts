/** Where the bytes of a trace come from: a file or standard input, compressed or not. */
import { type FileHandle, open } from "node:fs/promises";
import { unpacked } from "./decompress.ts";
import { systemError, TraceError } from "./errors.ts";

export interface ByteSource {
  /** For messages: the file's path, or "-" for standard input. */
  readonly path: string;
  /** Bytes of the input taken so far (before decompression), for progress. */
  readonly consumed: number;
  /** Size of the input in bytes (before decompression), or undefined where it is not known. */
  readonly size: number | undefined;
  /**
   * Puts up to `length` bytes into `target` from offset `at`.
   * @returns how many; 0 at the end
   * @throws TraceError where the input breaks off or cannot be read; what was returned before it stands
   */
  read(target: Uint8Array, at: number, length: number): Promise<number>;
  close(): Promise<void>;
  /** The same input from its start; undefined where it cannot be read twice. */
  reopen?(): Promise<ByteSource | undefined>;
}

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

/** What is read ahead of a regular file. */
const AHEAD_BYTES = 512 * 1024;

/** A file. Of a regular one the next bytes are read while those before them are used. */
class FileSource implements ByteSource {
  readonly path: string;
  readonly size: number | undefined;
  consumed = 0;
  readonly #file: FileHandle;
  /** The read under way: its bytes, or why there are none. It never rejects, since nobody may come to wait for it. */
  #ahead: Promise<Uint8Array | Error> | null = null;
  #buffer: Uint8Array | null = null;
  /** Bytes that were read ahead and not taken yet. */
  #rest: Uint8Array = new Uint8Array(0);

  constructor(path: string, file: FileHandle, size: number | undefined) {
    this.path = path;
    this.size = size;
    this.#file = file;
  }

  async read(target: Uint8Array, at: number, length: number): Promise<number> {
    // What comes from a terminal or a FIFO comes when it comes: nothing is gained by asking for it early.
    if (this.size === undefined) return this.#readNow(target, at, length);
    if (this.#rest.length === 0) {
      const read = await (this.#ahead ?? this.#readAhead());
      this.#ahead = null;
      if (read instanceof Error) throw systemError(this.path, read);
      this.#rest = read;
    }
    const n = Math.min(length, this.#rest.length);
    target.set(this.#rest.subarray(0, n), at);
    this.#rest = this.#rest.subarray(n);
    this.consumed += n;
    if (n > 0 && this.#rest.length === 0) this.#ahead = this.#readAhead();
    return n;
  }

  async #readNow(target: Uint8Array, at: number, length: number): Promise<number> {
    try {
      const { bytesRead } = await this.#file.read(target, at, length, null);
      this.consumed += bytesRead;
      return bytesRead;
    } catch (error) {
      throw systemError(this.path, error);
    }
  }

  #readAhead(): Promise<Uint8Array | Error> {
    const buffer = this.#buffer ?? new Uint8Array(AHEAD_BYTES);
    this.#buffer = buffer;
    return this.#file.read(buffer, 0, buffer.length, null).then(
      ({ bytesRead }) => buffer.subarray(0, bytesRead),
      (error: Error) => error,
    );
  }

  async close(): Promise<void> {
    await this.#ahead;
    await this.#file.close();
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
