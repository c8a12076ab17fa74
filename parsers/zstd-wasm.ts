/**
 * zstd by WebAssembly, for Nodes without it: the streaming interface of the reference decoder, as zstddec has it compiled.
 * What a stream takes of the decoder's memory is given back however it ends: a batch of traces of which many are damaged
 * must not leave less of it to each that follows.
 */
import type { Decompressor } from "./trace/decompressor.ts";

/** What is used of the compiled decoder (zstd.h). Pointers are offsets in its memory. */
interface ZstdExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  malloc(bytes: number): number;
  free(pointer: number): void;
  ZSTD_createDCtx(): number;
  ZSTD_freeDCtx(context: number): number;
  ZSTD_DStreamOutSize(): number;
  ZSTD_decompressStream(context: number, output: number, input: number): number;
}

/** ZSTD_inBuffer and ZSTD_outBuffer: pointer, size and position, each a word of this many bytes. */
const WORD = 4;
const BUFFER_WORDS = 3;
/** Results above this are the negative of an error's number (zstd_errors.h: ZSTD_error_maxCode). */
const LAST_RESULT = 2 ** 32 - 120;

const ERRORS: Readonly<Record<number, string>> = {
  10: "other bytes than those of a frame",
  16: "a window of more than 128 MiB",
  22: "a wrong checksum",
  32: "data that needs a dictionary",
  64: "no memory for it",
};

let loaded: Promise<ZstdExports> | null = null;

/** The compiled decoder, loaded once. */
export function zstdExports(): Promise<ZstdExports> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<ZstdExports> {
  const { ZSTDDecoder } = await import("zstddec/stream");
  let exports: unknown;
  class Capturing extends ZSTDDecoder {
    // It is called without its object.
    override _init(result: Parameters<InstanceType<typeof ZSTDDecoder>["_init"]>[0]): void {
      ({ exports } = (result as { readonly instance: { readonly exports: unknown } }).instance);
      ZSTDDecoder.prototype._init(result);
    }
  }
  await new Capturing().init();
  return exports as ZstdExports;
}

export class WasmZstd implements Decompressor {
  readonly #zstd: ZstdExports;
  readonly #emit: (bytes: Uint8Array) => void;
  readonly #outBytes: number;
  /** Pointers: the decoder's state, what it puts out, and the two descriptions of buffers. 0: given back. */
  #context: number;
  readonly #out: number;
  readonly #output: number;
  readonly #input: number;
  /** What is left of the frame at hand, as the decoder guesses; 0: nothing. */
  #left = 0;

  constructor(zstd: ZstdExports, emit: (bytes: Uint8Array) => void) {
    this.#zstd = zstd;
    this.#emit = emit;
    this.#outBytes = zstd.ZSTD_DStreamOutSize();
    this.#context = zstd.ZSTD_createDCtx();
    this.#out = zstd.malloc(this.#outBytes);
    this.#output = zstd.malloc(2 * BUFFER_WORDS * WORD);
    this.#input = this.#output + BUFFER_WORDS * WORD;
  }

  async push(bytes: Uint8Array): Promise<void> {
    const zstd = this.#zstd;
    const at = zstd.malloc(bytes.length);
    if (this.#context === 0 || this.#out === 0 || this.#output === 0 || at === 0) throw new Error(ERRORS[64]);
    try {
      new Uint8Array(zstd.memory.buffer).set(bytes, at);
      this.#describe(this.#input, at, bytes.length);
      for (let full = false; full || this.#position(this.#input) < bytes.length; ) {
        this.#describe(this.#output, this.#out, this.#outBytes);
        this.#left = zstd.ZSTD_decompressStream(this.#context, this.#output, this.#input) >>> 0;
        if (this.#left > LAST_RESULT) throw new Error(ERRORS[2 ** 32 - this.#left] ?? "damaged data");
        const n = this.#position(this.#output);
        if (n > 0) this.#emit(new Uint8Array(zstd.memory.buffer.slice(this.#out, this.#out + n)));
        full = n === this.#outBytes;
      }
    } finally {
      zstd.free(at);
    }
  }

  async finish(): Promise<void> {
    if (this.#left !== 0) throw new Error("unexpected end of file");
  }

  close(): void {
    if (this.#context === 0) return;
    this.#zstd.ZSTD_freeDCtx(this.#context);
    this.#zstd.free(this.#out);
    this.#zstd.free(this.#output);
    this.#context = 0;
  }

  #describe(buffer: number, pointer: number, size: number): void {
    new Uint32Array(this.#zstd.memory.buffer, buffer, BUFFER_WORDS).set([pointer, size, 0]);
  }

  #position(buffer: number): number {
    return new Uint32Array(this.#zstd.memory.buffer, buffer, BUFFER_WORDS)[2]!;
  }
}
