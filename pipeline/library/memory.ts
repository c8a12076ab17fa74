import { constants } from "node:buffer";
import { dirname, resolve } from "node:path";
import { TraceMemory } from "../../parsers/memory/guest-memory.ts";
import type { MemoryError } from "../../parsers/memory/memory-image.ts";
import { openSnapshot } from "../../parsers/memory/open-snapshot.ts";
import { SNAPSHOT_FORMATS, type SnapshotFormat } from "../../parsers/memory/snapshot-formats.ts";
import { FRAME_BYTES, FRAME_MASK } from "../../walkers/memory.ts";
import { LibraryError, unknownName } from "./library-error.ts";
import { checkBytes } from "./stream-options.ts";

/** How a memory file is read. */
export interface MemoryFileOptions {
  /** Default "auto": by its content, and raw where nothing is recognised. */
  readonly format?: SnapshotFormat;
  /** Physical address of a raw file's first byte; default 0. */
  readonly base?: bigint;
  /** Bytes of the file kept in memory; default 48 MiB. */
  readonly cacheBytes?: number;
}

/**
 * The memory of a guest: files, RAM and written bytes, by physical address (0 to 2^64 - 1). What none of them
 * holds is a hole: reading it fails.
 */
export class Memory {
  /** For the walkers. */
  readonly guest = new TraceMemory();

  /**
   * The memory in a file (ELF core, LiME, kdump, raw image). It is read as it is needed, not all at once.
   * @throws LibraryError ("memory") where it cannot be read
   */
  static fromFile(path: string, options: MemoryFileOptions = {}): Memory {
    if (typeof path !== "string")
      throw new LibraryError("argument", `path: expected a string, found ${typeof path}`);
    const { format = "auto" } = options;
    if (options.cacheBytes !== undefined) checkBytes("cacheBytes", options.cacheBytes, 0);
    if (!SNAPSHOT_FORMATS.includes(format)) throw unknownName("format", SNAPSHOT_FORMATS, format);
    const memory = new Memory();
    const opened = openSnapshot(resolve(path), dirname(resolve(path)), {
      format,
      expected: "a memory file",
      ...halves("base", options.base ?? 0n),
      ...(options.cacheBytes === undefined ? {} : { cacheBytes: options.cacheBytes }),
    });
    if (!opened.ok) throw new LibraryError("memory", opened.error);
    memory.guest.replace(opened.image);
    return memory;
  }

  /** RAM exists here, zero until written; bytes that exist already stay. */
  addRam(address: bigint, bytes: bigint): void {
    const at = frameAndOffset("address", address);
    const size = frameAndOffset("bytes", bytes);
    check(this.guest.ram(at.hi, at.lo, size.hi, size.lo));
  }

  /** Writes bytes; they exist from then on. */
  write(address: bigint, data: Uint8Array): void {
    const at = frameAndOffset("address", address);
    if (!(data instanceof Uint8Array))
      throw new LibraryError("argument", `data: expected a Uint8Array, found ${typeof data}`);
    check(this.guest.write(at.hi, at.lo, data));
  }

  /**
   * Copies bytes out.
   * @returns null where any of them is in a hole
   */
  read(address: bigint, bytes: number): Uint8Array | null {
    frameAndOffset("address", address);
    if (!(Number.isInteger(bytes) && bytes >= 0 && bytes <= constants.MAX_LENGTH))
      throw new LibraryError("argument", `bytes: expected 0 to ${constants.MAX_LENGTH}, found ${bytes}`);
    if (bytes > 0) frameAndOffset("address + bytes - 1", address + BigInt(bytes) - 1n);
    const out = new Uint8Array(bytes);
    for (let done = 0; done < bytes; ) {
      const at = address + BigInt(done);
      const offset = Number(at & BigInt(FRAME_MASK));
      const count = Math.min(bytes - done, FRAME_BYTES - offset);
      if (!this.guest.fetch(Number(at >> 12n), offset, count)) return null;
      const { view } = this.guest;
      out.set(new Uint8Array(view.buffer, view.byteOffset + this.guest.at, count), done);
      done += count;
    }
    return out;
  }

  /** What went wrong in reading the file since this was last asked, or null: the reads in question were holes. */
  takeProblem(): string | null {
    return this.guest.takeError()?.message ?? null;
  }

  /** Closes the file. The memory is not to be used after it. */
  close(): void {
    this.guest.close();
  }
}

/** A 64-bit number as two int32 halves. */
export function frameAndOffset(name: string, value: bigint): { hi: number; lo: number } {
  if (typeof value !== "bigint")
    throw new LibraryError("argument", `${name}: expected a bigint, found ${typeof value}`);
  if (value < 0n || value >= 1n << 64n)
    throw new LibraryError("argument", `${name}: expected a 64-bit number, found ${value}`);
  return { hi: Number(BigInt.asIntN(32, value >> 32n)), lo: Number(BigInt.asIntN(32, value)) };
}

function halves(name: string, value: bigint): { baseHi: number; baseLo: number } {
  const { hi, lo } = frameAndOffset(name, value);
  return { baseHi: hi, baseLo: lo };
}

function check(problem: MemoryError | null): void {
  if (problem !== null) throw new LibraryError("memory", problem.message);
}
