/**
 * zstd (RFC 8878) as the reference decoder reads it: by node:zlib where it has it, else by the same decoder compiled to
 * WebAssembly. So every Node takes and refuses the same: a window of more than 128 MiB, a wrong checksum, a frame whose
 * size is not what its header says.
 */
import zlib from "node:zlib";
import type { ZSTDDecoder } from "zstddec";
import {
  type Decompressor,
  type MakeDecompressor,
  type ZlibStream,
  ZlibWriter,
} from "./trace/decompressor.ts";

type MakeStream = (options: { chunkSize: number }) => ZlibStream;
type DecompressSync = (bytes: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;

const native = zlib as {
  readonly createZstdDecompress?: MakeStream;
  readonly zstdDecompressSync?: DecompressSync;
};

/** `node --jitless` has none, for example. */
const hasWasm = "WebAssembly" in globalThis;

function withoutZstd(): never {
  throw new Error("a Node.js with neither zstd (22.15 has it) nor WebAssembly, or no memory for it");
}

/** What makes decompressors of streams. */
export async function zstd(): Promise<MakeDecompressor> {
  const { createZstdDecompress } = native;
  if (createZstdDecompress !== undefined) return (emit) => new NativeZstd(createZstdDecompress, emit);
  if (!hasWasm) return () => new NoZstd();
  const { WasmZstd, zstdExports } = await import("./zstd-wasm.ts");
  const exports = await zstdExports().catch(() => null);
  if (exports === null) return () => new NoZstd();
  return (emit) => new WasmZstd(exports, emit);
}

let wasm: ZSTDDecoder | null = null;

/** Awaited by whoever opens memory files, or reads records that name some: `decompressZstd` is ready then. */
export async function readyZstd(): Promise<void> {
  if (native.zstdDecompressSync !== undefined || wasm !== null || !hasWasm) return;
  const { ZSTDDecoder } = await import("zstddec");
  const decoder = new ZSTDDecoder();
  try {
    await decoder.init();
    wasm = decoder;
  } catch {
    // There is no address space for it (`ulimit -v`): who needs it is told.
  }
}

/**
 * Decompresses a whole frame of at most `maxBytes`.
 * @throws Error where it is none
 */
export function decompressZstd(bytes: Uint8Array, maxBytes: number): Uint8Array {
  if (native.zstdDecompressSync !== undefined)
    return native.zstdDecompressSync(bytes, { maxOutputLength: maxBytes });
  const out = (wasm ?? withoutZstd()).decode(bytes, maxBytes);
  // Where it fails, it gives nothing.
  if (out.length === 0) throw new Error("damaged data");
  return out;
}

class NoZstd implements Decompressor {
  async push(): Promise<void> {
    withoutZstd();
  }

  async finish(): Promise<void> {}

  close(): void {}
}

/** A frame (RFC 8878, 3.1.1) of one raw block of one byte. */
const ONE_BYTE_FRAME = new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x01, 0x09, 0x00, 0x00, 0x0a]);

/**
 * zstd by node:zlib, whose stream stops behind the first frame and does not mind where the last one is cut. So each
 * frame gets a stream of its own where they meet within a write, and at the end one more frame is decompressed, which
 * comes out as it should only behind a whole one.
 */
class NativeZstd implements Decompressor {
  readonly #make: MakeStream;
  readonly #emit: (bytes: Uint8Array) => void;
  #zlib: ZlibWriter;
  /** Output of the frame at the end. */
  #last: number[] | null = null;

  constructor(make: MakeStream, emit: (bytes: Uint8Array) => void) {
    this.#make = make;
    this.#emit = emit;
    this.#zlib = this.#open();
  }

  async push(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    for (let fresh = false; ; fresh = true) {
      const over = await this.#zlib.write(rest);
      if (over === 0) return;
      if (fresh && over === rest.length) throw new Error("other bytes behind the end of the compressed data");
      rest = rest.subarray(rest.length - over);
      this.#zlib.close();
      this.#zlib = this.#open();
    }
  }

  async finish(): Promise<void> {
    const last: number[] = [];
    this.#last = last;
    await this.push(ONE_BYTE_FRAME).catch(() => {});
    if (last.length !== 1 || last[0] !== ONE_BYTE_FRAME.at(-1)) throw new Error("unexpected end of file");
  }

  close(): void {
    this.#zlib.close();
  }

  #open(): ZlibWriter {
    return new ZlibWriter(this.#make({ chunkSize: CHUNK_BYTES }), (bytes) => {
      if (this.#last === null) this.#emit(bytes);
      else this.#last.push(...bytes.subarray(0, 2));
    });
  }
}

/** What a decompressor puts out at once. */
const CHUNK_BYTES = 256 * 1024;
