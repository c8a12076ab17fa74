/** Where the bytes of a trace come from: a file or standard input, compressed or not. */
import { constants, fstatSync, openSync, readSync } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import type { ByteSource, OpenFile } from "./byte-source.ts";
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

/** @throws TraceError for a folder, which Node takes for an empty input */
function standardInput(): ByteSource {
  if (isFolder(0)) throw new TraceError("directory", "-", "expected a trace, found a directory");
  return new ChunkSource("-", process.stdin, () => process.stdin.destroy());
}

function isFolder(fd: number): boolean {
  try {
    return fstatSync(fd).isDirectory();
  } catch {
    return false;
  }
}

async function openFile(path: string): Promise<ByteSource> {
  let file: FileHandle | undefined;
  try {
    if ((await stat(path)).isFIFO()) return openPipe(path);
    file = await open(path, "r");
    const found = await file.stat();
    if (found.isDirectory()) throw Object.assign(new Error("is a directory"), { code: "EISDIR" });
    return new FileSource(path, file, found.isFile() ? found.size : undefined);
  } catch (error) {
    await file?.close();
    throw systemError(path, error);
  }
}

/** A FIFO: as a stream, because an open or a read that waits for its other end keeps the process from leaving. */
function openPipe(path: string): ByteSource {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const socket = new Socket({ fd, readable: true, writable: false });
  return new ChunkSource(path, socket, () => socket.destroy());
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
  readonly file: OpenFile | undefined;
  consumed = 0;
  readonly #file: FileHandle;
  #reads = 0;

  constructor(path: string, file: FileHandle, size: number | undefined) {
    this.path = path;
    this.size = size;
    this.#file = file;
    if (size !== undefined)
      this.file = {
        descriptor: file.fd,
        skip: (bytes) => {
          this.consumed += bytes;
        },
      };
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
    return readSync(this.#file.fd, target, at, length, this.consumed);
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async reopen(): Promise<ByteSource | undefined> {
    return this.size === undefined ? undefined : openFile(this.path);
  }
}

/** Text that ends with the first half of a surrogate pair. */
const HIGH_SURROGATE = /[\ud800-\udbff]$/;

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
  /** The first half of a surrogate pair that the last chunk of text ended with. */
  #half = "";

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
      const chunk: unknown = next.done === true ? this.#half : next.value;
      if (next.done === true) {
        if (this.#half === "") return 0;
        this.#half = "";
        this.#rest = Buffer.from(chunk as string, "utf8");
        break;
      }
      if (typeof chunk !== "string" && !(chunk instanceof Uint8Array))
        throw new TraceError("unreadable", this.path, `expected bytes or text, found ${typeof chunk}`);
      this.#rest = typeof chunk === "string" ? this.#textBytes(chunk) : chunk;
    }
    const n = Math.min(length, this.#rest.length);
    target.set(this.#rest.subarray(0, n), at);
    this.#rest = this.#rest.subarray(n);
    this.consumed += n;
    return n;
  }

  #textBytes(chunk: string): Uint8Array {
    const text = this.#half + chunk;
    const split = HIGH_SURROGATE.test(text);
    this.#half = split ? text.slice(-1) : "";
    return Buffer.from(split ? text.slice(0, -1) : text, "utf8");
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
