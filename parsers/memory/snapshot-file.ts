import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import type { MemoryError } from "./memory-image.ts";

/** How a snapshot file is read. */
export interface CacheOptions {
  /** Bytes of the file kept in memory. Default 40 MiB; at least 128 chunks are kept whatever this says. */
  readonly cacheBytes?: number;
  /** Bytes read at once: a power of two, at least 4096. Default 16 KiB: tables lie scattered. */
  readonly chunkBytes?: number;
}

const DEFAULT_CACHE_BYTES = 40 * 2 ** 20;
const DEFAULT_CHUNK_BYTES = 16 * 2 ** 10;
/**
 * Buffers of dropped chunks wait this long, counted in drops, before they are filled again: whoever still holds
 * a view on one finds its bytes unchanged for that many fetches.
 */
const QUARANTINE = 64;
/** A frame need not be aligned in the file, so every chunk is read with the beginning of its successor. */
const OVERLAP = FRAME_BYTES;

interface Chunk {
  readonly buffer: Buffer;
  readonly view: DataView;
  /** Bytes that the file really had. */
  length: number;
  /** Its number in the file; -1 while it waits for another one. */
  index: number;
  /** It was asked for since the hand passed it last. */
  used: boolean;
}

/**
 * A regular file that is read in chunks, of which a bounded number stays in memory. Nothing here throws for what
 * a file may do: trouble is kept for `takeError`, and the read fails.
 */
export class SnapshotFile {
  /** Name for messages. */
  readonly name: string;
  readonly size: number;
  /** After a successful `locate`. */
  view: DataView = NO_VIEW;
  at = 0;
  /** Chunks dropped: earlier views may change after QUARANTINE more of them. */
  evictions = 0;
  /** Reads from the file, for tests and statistics. */
  chunkReads = 0;

  readonly #fd: number;
  readonly #chunkBytes: number;
  readonly #maxChunks: number;
  readonly #chunks = new Map<number, Chunk>();
  /** The same chunks in a ring; the hand drops the first one that was not used since it passed last. */
  readonly #ring: Chunk[] = [];
  #hand = 0;
  readonly #dropped: Chunk[] = [];
  readonly #modified: number;
  #open = true;
  #error: MemoryError | null = null;
  /** Only the first failure is told: further ones are most likely the same. */
  #failures = 0;

  private constructor(name: string, fd: number, size: number, modified: number, options: CacheOptions) {
    this.name = name;
    this.size = size;
    this.#fd = fd;
    this.#modified = modified;
    this.#chunkBytes = options.chunkBytes ?? DEFAULT_CHUNK_BYTES;
    const cacheBytes = options.cacheBytes ?? DEFAULT_CACHE_BYTES;
    const budget = Math.floor(cacheBytes / (this.#chunkBytes + OVERLAP));
    this.#maxChunks = Math.max(budget - QUARANTINE, QUARANTINE);
  }

  /**
   * Opens a regular file; it is not followed if it is a symbolic link.
   * @param name the file's name for messages
   * @returns the file, or a sentence that says why not
   */
  static open(path: string, name: string, options: CacheOptions = {}): SnapshotFile | string {
    let fd = -1;
    try {
      // Opening a FIFO would wait for a writer without O_NONBLOCK.
      fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
      const stat = fstatSync(fd);
      if (stat.isFile()) return new SnapshotFile(name, fd, stat.size, stat.mtimeMs, options);
      closeSync(fd);
      return `${name}: expected a regular file, found ${kindOf(stat)}`;
    } catch (error) {
      if (fd >= 0) closeQuietly(fd);
      return `${name}: expected a readable file, found ${readFailure(error)}`;
    }
  }

  /**
   * Makes up to 4096 bytes of the file readable through `view` and `at`.
   * @returns false where the file does not have them, or reading failed
   */
  locate(position: number, bytes: number): boolean {
    const index = Math.floor(position / this.#chunkBytes);
    const chunk = this.#chunks.get(index) ?? this.#load(index);
    if (chunk === null) return false;
    chunk.used = true;
    const at = position - index * this.#chunkBytes;
    if (at + bytes > chunk.length) {
      this.#fail(
        `expected ${bytes} bytes at offset ${position}, found the end of the file: it was truncated after it was opened`,
      );
      return false;
    }
    this.view = chunk.view;
    this.at = at;
    return true;
  }

  /**
   * Reads bytes past the cache: headers and tables.
   * @returns how many there were; fewer than asked for only at the end of the file or after an error
   */
  read(position: number, target: Uint8Array): number {
    let done = 0;
    try {
      while (this.#open && done < target.length) {
        const count = readSync(this.#fd, target, done, target.length - done, position + done);
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      this.#fail(`expected ${target.length} bytes at offset ${position}, found ${readFailure(error)}`);
    }
    return done;
  }

  takeError(): MemoryError | null {
    const error = this.#error;
    this.#error = null;
    return error;
  }

  close(): void {
    if (this.#open) closeQuietly(this.#fd);
    this.#open = false;
    this.#chunks.clear();
    this.#ring.length = 0;
    this.#dropped.length = 0;
    this.view = NO_VIEW;
  }

  #load(index: number): Chunk | null {
    if (!this.#open) return null;
    const slot = this.#ring.length < this.#maxChunks ? this.#ring.length : this.#drop();
    const chunk = this.#dropped.length > QUARANTINE ? this.#dropped.shift()! : this.#newChunk();
    this.#ring[slot] = chunk;
    this.chunkReads++;
    const failures = this.#failures;
    chunk.length = this.read(index * this.#chunkBytes, chunk.buffer);
    // A failed read is tried again when it is asked for again.
    chunk.index = this.#failures === failures ? index : -1;
    this.#checkUnchanged();
    if (chunk.index < 0) return null;
    this.#chunks.set(index, chunk);
    return chunk;
  }

  #newChunk(): Chunk {
    const bytes = new ArrayBuffer(this.#chunkBytes + OVERLAP);
    return { buffer: Buffer.from(bytes), view: new DataView(bytes), length: 0, index: -1, used: false };
  }

  /**
   * Makes room for a chunk.
   * @returns the place in the ring that is free now
   */
  #drop(): number {
    const ring = this.#ring;
    let hand = this.#hand;
    while (ring[hand]!.used) {
      ring[hand]!.used = false;
      hand = (hand + 1) % ring.length;
    }
    this.#hand = (hand + 1) % ring.length;
    const chunk = ring[hand]!;
    this.#chunks.delete(chunk.index);
    this.#dropped.push(chunk);
    this.evictions++;
    return hand;
  }

  #checkUnchanged(): void {
    if (this.#failures > 0) return;
    try {
      const now = fstatSync(this.#fd);
      if (now.size !== this.size)
        this.#fail(`expected ${this.size} bytes, as when it was opened, found ${now.size}`);
      else if (now.mtimeMs !== this.#modified) this.#fail("expected it not to change, found it written to");
    } catch (error) {
      this.#fail(`expected its status, found ${readFailure(error)}`);
    }
  }

  #fail(what: string): void {
    if (this.#failures++ > 0) return;
    this.#error = { code: "io", message: `${this.name}: ${what}` };
  }
}

const NO_VIEW = new DataView(new ArrayBuffer(0));

/** What a file is, where it is not a regular one. */
function kindOf(stat: {
  isDirectory(): boolean;
  isFIFO(): boolean;
  isSocket(): boolean;
  isSymbolicLink(): boolean;
  isCharacterDevice(): boolean;
  isBlockDevice(): boolean;
}): string {
  if (stat.isDirectory()) return "a directory";
  if (stat.isFIFO()) return "a FIFO";
  if (stat.isSocket()) return "a socket";
  if (stat.isSymbolicLink()) return "a symbolic link";
  if (stat.isCharacterDevice()) return "a character device";
  if (stat.isBlockDevice()) return "a block device";
  return "something else";
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  ENOTDIR: "no such file",
  EACCES: "no permission",
  EPERM: "no permission",
  ELOOP: "a symbolic link too many",
  EIO: "a read error",
  EISDIR: "a directory",
  ENXIO: "a device or FIFO",
  ENAMETOOLONG: "a name that is too long",
  ERR_INVALID_ARG_VALUE: "a name that no file can have",
};

/** The reason of a failed system call, in words and with its code. */
export function readFailure(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  if (typeof code !== "string") return error instanceof Error ? error.message : String(error);
  const words = REASONS[code];
  if (words === undefined) return code;
  // What Node itself says is no code of the system.
  return code.startsWith("ERR_") ? words : `${words} (${code})`;
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // Nothing is lost: the file was only read.
  }
}
