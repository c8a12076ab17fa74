/**
 * Compressed dumps as makedumpfile and QEMU's `dump-guest-memory -z` write them ("KDUMP   "): a header block, a
 * sub-header, two bitmaps (pages that the machine has, pages that were dumped), page descriptors in the order of
 * the second bitmap, page data. Source: makedumpfile's IMPLEMENTATION and diskdump_mod.h; QEMU's dump.h
 * (DiskDumpHeader64, KdumpSubHeader64, PageDescriptor).
 */
import * as zlib from "node:zlib";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import { decompressZstd } from "../zstd.ts";
import { type Block, BlockCache } from "./block-cache.ts";
import { type ByteMask, popcount } from "./byte-mask.ts";
import type { DumpBytes } from "./kdump-flattened.ts";
import { decompressLzo1x } from "./lzo1x.ts";
import {
  ABSENT,
  BYTES,
  FAILED,
  type FrameKind,
  type MemoryError,
  type MemoryImage,
  ZERO,
} from "./memory-image.ts";
import { decompressSnappy } from "./snappy.ts";
import type { CacheOptions, SnapshotFile } from "./snapshot-file.ts";

export const KDUMP_MAGIC = "KDUMP   ";

/** Byte offsets in the header of a 64-bit dump. */
const HEADER = {
  bytes: 464,
  header_version: 8,
  block_size: 428,
  sub_hdr_size: 432,
  bitmap_blocks: 436,
  max_mapnr: 440,
} as const;
/** Byte offset of block_size in the header of a 32-bit dump, to tell one. */
const BLOCK_SIZE_32 = 416;
/** Byte offsets in the sub-header. */
const SUB_HEADER = { bytes: 104, dump_level: 8, split: 12, max_mapnr_64: 96 } as const;
/** Byte offsets in a page descriptor. */
const DESCRIPTOR = { bytes: 24, offset: 0, size: 8, flags: 12 } as const;

/** Dump level bit: pages of zeros were left out. */
const LEAVES_OUT_ZEROS = 1;
/** How a page's data is compressed: the descriptor's flags. */
interface Compression {
  readonly name: string;
  /** @throws Error where the data is damaged, or becomes more than `maxBytes` */
  readonly unpack: (packed: Uint8Array, maxBytes: number) => Uint8Array;
}

const COMPRESSIONS: Readonly<Record<number, Compression>> = {
  0: { name: "raw", unpack: (packed) => packed },
  1: { name: "zlib", unpack: (packed, maxBytes) => zlib.inflateSync(packed, { maxOutputLength: maxBytes }) },
  2: { name: "LZO", unpack: decompressLzo1x },
  4: { name: "snappy", unpack: decompressSnappy },
  32: { name: "zstd", unpack: decompressZstd },
};

/** 16 TiB of 4 KiB pages; bounds the time that a nonsensical file takes. */
const MAX_PAGES = 2 ** 32;
/** Pages whose dumped predecessors are counted together: a group of 512 bytes of the bitmap. */
const GROUP_BYTES = 512;
const GROUP_PAGES = 8 * GROUP_BYTES;
/** Decompressed blocks kept. */
const DEFAULT_CACHE_BYTES = 32 * 2 ** 20;

const NOT_DUMPED = -1;
const UNREADABLE = -2;

interface Geometry {
  readonly little: boolean;
  readonly blockBytes: number;
  /** Page numbers are below this. */
  readonly pages: number;
  /** Where the bitmaps are: of the machine's pages, and of the dumped ones. */
  readonly machineBitmap: number;
  readonly dumpedBitmap: number;
  readonly descriptors: number;
  readonly leavesOutZeros: boolean;
}

/**
 * Reads the headers and the bitmap of a compressed dump.
 * @param file the open file, for closing and its errors
 * @param source where the dump's bytes are: the file itself, or a flattened one
 * @returns the image, or a sentence that says what is wrong
 */
export function openKdump(file: SnapshotFile, source: DumpBytes, options: CacheOptions): KdumpImage | string {
  const geometry = readGeometry(source);
  if (typeof geometry === "string") return geometry;
  const before = countDumped(source, geometry);
  if (typeof before === "string") return before;
  return new KdumpImage(file, source, geometry, before, options.cacheBytes ?? DEFAULT_CACHE_BYTES);
}

function readGeometry(source: DumpBytes): Geometry | string {
  const where = (field: string) => `${source.name}: kdump ${field}`;
  const header = Buffer.alloc(HEADER.bytes);
  if (source.read(0, header) < HEADER.bytes || header.toString("latin1", 0, 8) !== KDUMP_MAGIC)
    return `${where("header")}: expected ${HEADER.bytes} bytes that begin with "${KDUMP_MAGIC}", found ${JSON.stringify(header.toString("latin1", 0, 8))}`;
  const view = new DataView(header.buffer, header.byteOffset);
  const little = view.getUint32(HEADER.header_version, true) < 0x1_0000;
  const version = view.getUint32(HEADER.header_version, little);
  const blockBytes = view.getUint32(HEADER.block_size, little);
  if (!isBlockSize(blockBytes)) {
    if (isBlockSize(view.getUint32(BLOCK_SIZE_32, little)))
      return `${where("header")}: expected a dump of a 64-bit machine, found one of a 32-bit machine`;
    return `${where("header block_size")}: expected a power of two from 4096 to 65536, found ${blockBytes}`;
  }
  const sub = Buffer.alloc(SUB_HEADER.bytes);
  if (source.read(blockBytes, sub) < SUB_HEADER.bytes)
    return `${where("sub-header")}: expected ${SUB_HEADER.bytes} bytes at ${blockBytes}, found the end of the file`;
  const subView = new DataView(sub.buffer, sub.byteOffset);
  if (version >= 2 && subView.getUint32(SUB_HEADER.split, little) !== 0)
    return `${where("sub-header split")}: expected a whole dump, found a part of a split one: join them with makedumpfile --reassemble`;
  const mapped =
    version >= 6
      ? subView.getBigUint64(SUB_HEADER.max_mapnr_64, little)
      : BigInt(view.getUint32(HEADER.max_mapnr, little));
  if (mapped === 0n || mapped > MAX_PAGES)
    return `${where("max_mapnr")}: expected 1 to ${MAX_PAGES}, found ${mapped}`;
  const pages = Number(mapped);
  const machineBitmap = (1 + view.getUint32(HEADER.sub_hdr_size, little)) * blockBytes;
  const bitmapBytes = view.getUint32(HEADER.bitmap_blocks, little) * blockBytes;
  if (bitmapBytes < 2 * Math.ceil(pages / 8) || machineBitmap + bitmapBytes > source.size)
    return (
      `${where("header bitmap_blocks")}: expected two bitmaps of ${pages} pages within ${source.size} bytes, ` +
      `found ${bitmapBytes} bytes from ${machineBitmap} on`
    );
  return {
    little,
    blockBytes,
    pages,
    machineBitmap,
    dumpedBitmap: machineBitmap + bitmapBytes / 2,
    descriptors: machineBitmap + bitmapBytes,
    leavesOutZeros:
      version >= 1 && (subView.getUint32(SUB_HEADER.dump_level, little) & LEAVES_OUT_ZEROS) !== 0,
  };
}

function isBlockSize(bytes: number): boolean {
  return bytes >= FRAME_BYTES && bytes <= 0x1_0000 && (bytes & (bytes - 1)) === 0;
}

/** For each group of pages, how many pages before it were dumped. */
function countDumped(source: DumpBytes, geometry: Geometry): Float64Array | string {
  const groups = Math.ceil(geometry.pages / GROUP_PAGES);
  const before = new Float64Array(groups);
  const group = Buffer.alloc(GROUP_BYTES * 2048);
  let count = 0;
  for (let first = 0; first < groups; first += 2048) {
    const wanted = Math.min(group.length, Math.ceil(geometry.pages / 8) - first * GROUP_BYTES);
    const bytes = group.subarray(0, wanted);
    const position = geometry.dumpedBitmap + first * GROUP_BYTES;
    // A few bytes can claim bitmaps of any size.
    if (source.isHole?.(position, wanted) === true) {
      before.fill(count, first, first + 2048);
      continue;
    }
    const found = source.read(position, bytes);
    if (found < wanted) return `${source.name}: kdump bitmap: expected ${wanted} more bytes, found ${found}`;
    for (let at = 0; at < wanted; at++) {
      if (at % GROUP_BYTES === 0) before[first + at / GROUP_BYTES] = count;
      count += popcount(bytes[at]!);
    }
  }
  const end = geometry.descriptors + count * DESCRIPTOR.bytes;
  if (end > source.size)
    return `${source.name}: kdump page descriptors: expected ${count} that end at ${end}, found a file of ${source.size} bytes`;
  return before;
}

/** Guest memory in a compressed dump; blocks are decompressed when they are asked for, and a number of them kept. */
export class KdumpImage implements MemoryImage {
  view: DataView = new DataView(new ArrayBuffer(0));
  at = 0;
  readonly #file: SnapshotFile;
  readonly #source: DumpBytes;
  readonly #geometry: Geometry;
  readonly #before: Float64Array;
  readonly #framesPerBlock: number;
  readonly #blocks: BlockCache;
  readonly #bitmap = Buffer.alloc(GROUP_BYTES);
  readonly #descriptor = Buffer.alloc(DESCRIPTOR.bytes);
  readonly #packed: Buffer;
  #error: MemoryError | null = null;
  #failed = false;

  constructor(
    file: SnapshotFile,
    source: DumpBytes,
    geometry: Geometry,
    before: Float64Array,
    cacheBytes: number,
  ) {
    this.#file = file;
    this.#source = source;
    this.#geometry = geometry;
    this.#before = before;
    this.#framesPerBlock = geometry.blockBytes / FRAME_BYTES;
    this.#blocks = new BlockCache(geometry.blockBytes, cacheBytes);
    this.#packed = Buffer.alloc(geometry.blockBytes);
  }

  get evictions(): number {
    return this.#blocks.evictions;
  }

  find(frame: number): FrameKind {
    const page = Math.floor(frame / this.#framesPerBlock);
    if (page >= this.#geometry.pages) return ABSENT;
    let block = this.#blocks.get(page);
    if (block === undefined) {
      const number = this.#descriptorNumber(page);
      if (number === UNREADABLE) return FAILED;
      if (number === NOT_DUMPED) return this.#leftOut(page);
      const loaded = this.#load(page, number);
      if (loaded === null) return FAILED;
      block = loaded;
    }
    this.view = block.view;
    this.at = (frame - page * this.#framesPerBlock) * FRAME_BYTES;
    return BYTES;
  }

  /** A dump has whole frames: `find` never gives PIECES. */
  compose(_frame: number, _page: Uint8Array, _at: number, _mask: ByteMask): boolean {
    return false;
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

  /** Number of a page's descriptor, NOT_DUMPED or UNREADABLE. */
  #descriptorNumber(page: number): number {
    const group = Math.floor(page / GROUP_PAGES);
    const bit = page % GROUP_PAGES;
    const bytes = this.#bitmap.subarray(0, (bit >>> 3) + 1);
    if (!this.#read(this.#geometry.dumpedBitmap + group * GROUP_BYTES, bytes)) return UNREADABLE;
    const last = bytes[bit >>> 3]!;
    if ((last & (1 << (bit & 7))) === 0) return NOT_DUMPED;
    let count = this.#before[group]! + popcount(last & ((1 << (bit & 7)) - 1));
    for (let i = 0; i < bit >>> 3; i++) count += popcount(bytes[i]!);
    return count;
  }

  /**
   * A page that was not dumped. Where pages of zeros were left out, it is most likely one of them: what the other
   * levels leave out (page cache, user and free pages) holds no tables.
   */
  #leftOut(page: number): FrameKind {
    if (!this.#geometry.leavesOutZeros) return ABSENT;
    const byte = this.#bitmap.subarray(0, 1);
    if (!this.#read(this.#geometry.machineBitmap + Math.floor(page / 8), byte)) return FAILED;
    return (byte[0]! & (1 << (page % 8))) === 0 ? ABSENT : ZERO;
  }

  #load(page: number, number: number): Block | null {
    const { little, descriptors, blockBytes } = this.#geometry;
    if (!this.#read(descriptors + number * DESCRIPTOR.bytes, this.#descriptor)) return null;
    const view = new DataView(this.#descriptor.buffer, this.#descriptor.byteOffset, DESCRIPTOR.bytes);
    const position = Number(view.getBigUint64(DESCRIPTOR.offset, little));
    const size = view.getUint32(DESCRIPTOR.size, little);
    const flags = view.getUint32(DESCRIPTOR.flags, little);
    const where = `kdump descriptor ${number} (page 0x${page.toString(16)})`;
    if (size === 0 || size > blockBytes || position + size > this.#source.size)
      return this.#fail(
        `${where}: expected 1 to ${blockBytes} bytes within the file, found ${size} at ${position}`,
      );
    const packed = this.#packed.subarray(0, size);
    if (!this.#read(position, packed)) return null;
    const bytes = this.#unpack(packed, flags, where);
    if (bytes === null) return null;
    if (bytes.length !== blockBytes)
      return this.#fail(`${where}: expected ${blockBytes} bytes of data, found ${bytes.length}`);
    return this.#blocks.add(page, bytes);
  }

  #unpack(packed: Buffer, flags: number, where: string): Uint8Array | null {
    const compression = COMPRESSIONS[flags];
    if (compression === undefined) {
      const names = Object.values(COMPRESSIONS).map(({ name }) => name);
      return this.#fail(
        `${where}: expected ${names.slice(0, -1).join(", ")} or ${names.at(-1)} data, found flags 0x${flags.toString(16)}`,
      );
    }
    try {
      return compression.unpack(packed, this.#geometry.blockBytes);
    } catch (error) {
      return this.#fail(`${where}: expected ${compression.name} data, found ${(error as Error).message}`);
    }
  }

  #read(position: number, target: Uint8Array): boolean {
    const found = this.#source.read(position, target);
    if (found === target.length) return true;
    this.#fail(`expected ${target.length} bytes at ${position} of the dump, found ${found}`);
    return false;
  }

  /** Keeps the first error to be told. */
  #fail(what: string): null {
    const io = this.#file.takeError();
    if (!this.#failed) this.#error = io ?? { code: "io", message: `${this.#source.name}: ${what}` };
    this.#failed = true;
    return null;
  }
}
