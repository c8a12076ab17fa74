/**
 * AVML's compressed dumps (`avml --compress`): ranges with LiME's header under another magic and version, each followed by
 * its bytes as a framed snappy stream, and by 64 bits that say how long that is. Source: microsoft/avml, src/image.rs;
 * google/snappy, framing_format.txt.
 *
 * Blocks of 16 MiB of nothing but zeros AVML leaves out. Nothing tells them from addresses without memory, so that they are
 * not taken for memory.
 */
import { FRAME_BYTES, FRAME_MASK, frameOf } from "../../walkers/memory.ts";
import { addressText } from "../../walkers/word64.ts";
import { type Block, BlockCache } from "./block-cache.ts";
import { addBytes, type ByteMask } from "./byte-mask.ts";
import { LIME_HEADER } from "./lime.ts";
import {
  ABSENT,
  BYTES,
  FAILED,
  type FrameKind,
  type MemoryError,
  type MemoryImage,
  PIECES,
} from "./memory-image.ts";
import { endOf } from "./segment-image.ts";
import {
  blockLength,
  CHUNK_COMPRESSED,
  CHUNK_SKIPPABLE,
  CHUNK_UNCOMPRESSED,
  decompressSnappy,
  MAX_CHUNK,
  maskedChecksum,
  STREAM_IDENTIFIER,
} from "./snappy.ts";
import type { CacheOptions, SnapshotFile } from "./snapshot-file.ts";

export const AVML_MAGIC = "AVML";
const VERSION = 2;
const NOUN = "AVML range";
/** A chunk's header: type, and size in 24 bits; then a checksum, and of a compressed one the length in up to 5 bytes. */
const CHUNK_HEADER = 4;
const CHECKSUM = 4;
const LONGEST_LENGTH = 5;
/** The size of a range's stream, behind it. */
const TRAILER = 8;
/** What 256 GiB of memory are; bounds what a nonsensical file takes, as MAX_EMPTY does of those that hold none. */
const MAX_CHUNKS = 2 ** 22;
const MAX_EMPTY = 2 ** 20;
const DEFAULT_CACHE_BYTES = 32 * 2 ** 20;

/** What a part of memory is compressed to. */
interface Chunk {
  readonly startFrame: number;
  readonly startOffset: number;
  /** Bytes of memory: 1 to MAX_CHUNK. */
  readonly length: number;
  readonly compressed: boolean;
  /** Where its checksum is in the file, and how many bytes that and the data are. */
  readonly position: number;
  readonly size: number;
}

/**
 * Reads the headers of a compressed AVML dump, and those of the chunks in it.
 * @returns the image, or a sentence that says what is wrong with the file
 */
export function openAvml(file: SnapshotFile, options: CacheOptions): AvmlImage | string {
  const chunks: Chunk[] = [];
  const header = Buffer.alloc(LIME_HEADER.bytes);
  let position = 0;
  for (let index = 0; position < file.size || index === 0; index++) {
    const where = `${file.name}: ${NOUN} ${index} at offset ${position}`;
    const found = file.read(position, header);
    if (found < header.length)
      return `${where}: expected a header of ${header.length} bytes, found the end of the file after ${found}`;
    const magic = header.toString("latin1", 0, 4);
    if (magic !== AVML_MAGIC)
      return `${where}: magic: expected "${AVML_MAGIC}", found ${JSON.stringify(magic)}`;
    const version = header.readUInt32LE(LIME_HEADER.version);
    if (version !== VERSION) return `${where}: version: expected ${VERSION}, found ${version}`;
    const end = readStream(file, header, position + header.length, chunks);
    if (typeof end === "string") return `${where}: ${end}`;
    position = end;
  }
  chunks.sort((a, b) => a.startFrame - b.startFrame || a.startOffset - b.startOffset);
  return overlap(chunks, file.name) ?? new AvmlImage(file, chunks, options.cacheBytes ?? DEFAULT_CACHE_BYTES);
}

/**
 * Reads the headers of the chunks that a range consists of.
 * @returns where the next range begins, or what is wrong
 */
function readStream(file: SnapshotFile, header: Buffer, start: number, chunks: Chunk[]): number | string {
  const first = header.readBigUInt64LE(LIME_HEADER.s_addr);
  const last = header.readBigUInt64LE(LIME_HEADER.e_addr);
  if (last < first)
    return `e_addr: expected s_addr 0x${first.toString(16)} or more, found 0x${last.toString(16)}`;
  const wanted = last - first + 1n;
  const bytes = Number(wanted);
  const head = Buffer.alloc(CHUNK_HEADER + CHECKSUM + LONGEST_LENGTH);
  let frame = frameOf(Number(first >> 32n), Number(first & 0xffff_ffffn));
  let offset = Number(first & BigInt(FRAME_MASK));
  let position = start;
  let done = 0;
  let empty = 0;
  while (done < bytes) {
    const where = `chunk at offset ${position}`;
    const found = file.read(position, head);
    const size = found < CHUNK_HEADER ? 0 : head.readUIntLE(1, 3);
    const next = position + CHUNK_HEADER + size;
    if (found < CHUNK_HEADER || next > file.size)
      return `${where}: expected ${wanted - BigInt(done)} more bytes of memory, found the end of the file`;
    const chunk = readChunk(head.subarray(0, CHUNK_HEADER + Math.min(size, found - CHUNK_HEADER)), size);
    if (typeof chunk === "string") return `${where}: ${chunk}`;
    if (chunk === null || chunk.length === 0) {
      if (++empty > MAX_EMPTY) return `${where}: expected memory, found ${empty} chunks without`;
    } else {
      if (chunk.length > bytes - done)
        return `${where}: expected ${bytes - done} bytes of memory at most, found ${chunk.length}`;
      if (chunks.length === MAX_CHUNKS) return `${where}: expected at most ${MAX_CHUNKS} chunks, found more`;
      chunks.push({
        startFrame: frame,
        startOffset: offset,
        ...chunk,
        position: position + CHUNK_HEADER,
        size,
      });
      done += chunk.length;
      ({ frame, offset } = endOf(frame, offset, chunk.length));
    }
    position = next;
  }
  const trailer = Buffer.alloc(TRAILER);
  const found = file.read(position, trailer);
  if (found < TRAILER) return `size of the stream: expected ${TRAILER} bytes, found ${found}`;
  if (trailer.readBigUInt64LE() !== BigInt(position - start))
    return `size of the stream: expected ${position - start}, found ${trailer.readBigUInt64LE()}`;
  return position + TRAILER;
}

/**
 * Reads a chunk's header.
 * @param head the chunk's first bytes, as many as there are
 * @returns null where it has no data, or what is wrong
 */
function readChunk(head: Buffer, size: number): Pick<Chunk, "length" | "compressed"> | null | string {
  const type = head[0]!;
  if (type === STREAM_IDENTIFIER.charCodeAt(0))
    return head.toString("latin1").startsWith(STREAM_IDENTIFIER)
      ? null
      : `expected a stream identifier, found ${head.toString("hex")}`;
  if (type >= CHUNK_SKIPPABLE) return null;
  if (type !== CHUNK_COMPRESSED && type !== CHUNK_UNCOMPRESSED)
    return `type: expected 0 (compressed) or 1 (uncompressed), found ${type}`;
  if (size < CHECKSUM) return `expected ${CHECKSUM} bytes or more, found ${size}`;
  const compressed = type === CHUNK_COMPRESSED;
  const length = compressed
    ? (blockLength(head.subarray(CHUNK_HEADER + CHECKSUM))?.length ?? Number.NaN)
    : size - CHECKSUM;
  if (!(length <= MAX_CHUNK)) return `expected at most ${MAX_CHUNK} bytes of memory, found ${length}`;
  return { length, compressed };
}

/** A sentence on the first two chunks that are of the same memory. */
function overlap(chunks: readonly Chunk[], name: string): string | undefined {
  for (let i = 1; i < chunks.length; i++) {
    const { frame, offset } = endOfChunk(chunks[i - 1]!);
    const { startFrame, startOffset } = chunks[i]!;
    if (startFrame < frame || (startFrame === frame && startOffset < offset))
      return `${name}: ${NOUN}: expected memory that no other range holds, found ${addressText(startFrame, startOffset)} twice`;
  }
  return undefined;
}

function endOfChunk({ startFrame, startOffset, length }: Chunk): { frame: number; offset: number } {
  return endOf(startFrame, startOffset, length);
}

/** Guest memory in a compressed AVML dump; chunks are decompressed when they are asked for, and a number of them kept. */
export class AvmlImage implements MemoryImage {
  view: DataView = new DataView(new ArrayBuffer(0));
  at = 0;
  readonly #file: SnapshotFile;
  readonly #chunks: readonly Chunk[];
  /** Start frames of the chunks again, for a fast search. */
  readonly #starts: Float64Array;
  readonly #blocks: BlockCache;
  #error: MemoryError | null = null;
  #failed = false;

  constructor(file: SnapshotFile, chunks: readonly Chunk[], cacheBytes: number) {
    this.#file = file;
    this.#chunks = chunks;
    this.#starts = Float64Array.from(chunks, (chunk) => chunk.startFrame);
    this.#blocks = new BlockCache(MAX_CHUNK, cacheBytes);
  }

  get evictions(): number {
    return this.#blocks.evictions;
  }

  find(frame: number): FrameKind {
    const i = this.#lastStartingAtOrBefore(frame);
    const chunk = this.#chunks[i];
    if (chunk === undefined) return ABSENT;
    const end = endOfChunk(chunk);
    if (end.frame < frame || (end.frame === frame && end.offset === 0)) return ABSENT;
    const at = (frame - chunk.startFrame) * FRAME_BYTES - chunk.startOffset;
    if (at < 0 || end.frame === frame) return PIECES;
    const block = this.#block(i);
    if (block === null) return FAILED;
    this.view = block.view;
    this.at = at;
    return BYTES;
  }

  compose(frame: number, page: Uint8Array, at: number, mask: ByteMask): boolean {
    for (let i = this.#lastStartingAtOrBefore(frame); i >= 0; i--) {
      const chunk = this.#chunks[i]!;
      const end = endOfChunk(chunk);
      if (end.frame < frame || (end.frame === frame && end.offset === 0)) break;
      const block = this.#block(i);
      if (block === null) return false;
      const from = chunk.startFrame === frame ? chunk.startOffset : 0;
      const to = end.frame === frame ? end.offset : FRAME_BYTES;
      const first = (frame - chunk.startFrame) * FRAME_BYTES + from - chunk.startOffset;
      page.set(block.bytes.subarray(first, first + to - from), at + from);
      addBytes(mask, from, to);
    }
    return true;
  }

  takeError(): MemoryError | null {
    const error = this.#error ?? this.#file.takeError();
    this.#error = null;
    return error;
  }

  close(): void {
    this.#file.close();
    this.#blocks.clear();
  }

  #block(index: number): Block | null {
    return this.#blocks.get(index) ?? this.#load(index);
  }

  #load(index: number): Block | null {
    const { position, size, compressed, length } = this.#chunks[index]!;
    const where = `AVML chunk at offset ${position - CHUNK_HEADER}`;
    const chunk = Buffer.alloc(size);
    const found = this.#file.read(position, chunk);
    if (found < size) return this.#fail(`${where}: expected ${size} bytes, found ${found}`);
    const data = chunk.subarray(CHECKSUM);
    let bytes: Uint8Array;
    try {
      bytes = compressed ? decompressSnappy(data, length) : data;
    } catch (error) {
      return this.#fail(`${where}: expected snappy data, found ${(error as Error).message}`);
    }
    const checksum = chunk.readUInt32LE();
    const sum = maskedChecksum(bytes);
    if (sum !== checksum)
      return this.#fail(
        `${where}: expected data of checksum 0x${checksum.toString(16)}, found 0x${sum.toString(16)}`,
      );
    return this.#blocks.add(index, bytes);
  }

  /** Index of the last chunk that starts in a frame or before it; -1 where there is none. */
  #lastStartingAtOrBefore(frame: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= frame) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Keeps the first error to be told. */
  #fail(what: string): null {
    const io = this.#file.takeError();
    if (!this.#failed) this.#error = io ?? { code: "io", message: `${this.#file.name}: ${what}` };
    this.#failed = true;
    return null;
  }
}
