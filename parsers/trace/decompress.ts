/**
 * Decompression of traces: gzip (RFC 1952) and zstd (RFC 8878). Damaged data gives everything that stands before the
 * damage, and then a TraceError.
 */
import zlib from "node:zlib";
import { zstd } from "../zstd.ts";
import type { ByteSource, OpenFile } from "./byte-source.ts";
import { type Decompressor, type MakeDecompressor, ZlibWriter } from "./decompressor.ts";
import { TraceError } from "./errors.ts";
import { FOREIGN_MAGIC_BYTES, foreignFile } from "./foreign-files.ts";

/** What one step of decompression takes: small, because gzip may make a thousand times as much of it. */
const STEP_BYTES = 64 * 1024;
/** The same for zstd, which may make 32 thousand times as much of it. */
const ZSTD_STEP_BYTES = 4 * 1024;
/** What a decompressor puts out at once. */
const CHUNK_BYTES = 256 * 1024;

/**
 * The source itself, or one that gives what it decompresses to.
 * @param chunkBytes what gzip puts out at once
 * @throws TraceError where only other tools read it
 */
export async function unpacked(raw: ByteSource, chunkBytes = CHUNK_BYTES): Promise<ByteSource> {
  const head = new Uint8Array(FOREIGN_MAGIC_BYTES);
  let n = 0;
  while (n < head.length) {
    const more = await raw.read(head, n, head.length - n);
    if (more === 0) break;
    n += more;
  }
  const start = head.subarray(0, n);
  if (head[0] === 0x1f && head[1] === 0x8b)
    return new UnpackedSource(raw, start, "gzip", STEP_BYTES, (emit) => new Gunzip(emit, chunkBytes));
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd)
    return new UnpackedSource(raw, start, "zstd", ZSTD_STEP_BYTES, await zstd());
  const wide = utf16Of(start);
  if (wide !== undefined)
    return new UnpackedSource(raw, start, "UTF-16", STEP_BYTES, (emit) => new Utf16(emit, wide));
  const foreign = foreignFile(raw.path, start);
  if (foreign !== undefined) throw new TraceError("unreadable", raw.path, foreign);
  return new PeekedSource(raw, start);
}

/**
 * What text begins with whose characters have two bytes, as Windows' shells write it: a byte order mark, or four
 * characters of ASCII.
 */
function utf16Of(head: Uint8Array): "utf-16le" | "utf-16be" | undefined {
  if (head[0] === 0xff && head[1] === 0xfe) return "utf-16le";
  if (head[0] === 0xfe && head[1] === 0xff) return "utf-16be";
  const isText = (parity: number) =>
    head.length === FOREIGN_MAGIC_BYTES &&
    head.every((byte, i) => (i % 2 === parity ? byte >= 0x09 && byte < 0x7f : byte === 0));
  if (isText(0)) return "utf-16le";
  return isText(1) ? "utf-16be" : undefined;
}

/** Text in UTF-16, as UTF-8. */
class Utf16 implements Decompressor {
  readonly #emit: (bytes: Uint8Array) => void;
  readonly #decoder: InstanceType<typeof TextDecoder>;

  constructor(emit: (bytes: Uint8Array) => void, encoding: "utf-16le" | "utf-16be") {
    this.#emit = emit;
    this.#decoder = new TextDecoder(encoding);
  }

  async push(bytes: Uint8Array): Promise<void> {
    this.#put(this.#decoder.decode(bytes, { stream: true }));
  }

  async finish(): Promise<void> {
    this.#put(this.#decoder.decode());
  }

  #put(text: string): void {
    if (text !== "") this.#emit(Buffer.from(text, "utf8"));
  }

  close(): void {}
}

/** A source whose first bytes have been read already. */
export class PeekedSource implements ByteSource {
  readonly path: string;
  readonly size: number | undefined;
  readonly file: OpenFile | undefined;
  readonly #raw: ByteSource;
  #head: Uint8Array;
  /** What the next read after the head throws, where reading on has failed already. */
  #failure: unknown;

  constructor(raw: ByteSource, head: Uint8Array, failure?: unknown) {
    this.path = raw.path;
    this.size = raw.size;
    this.#raw = raw;
    this.#head = head;
    this.#failure = failure;
    const { file } = raw;
    if (file !== undefined && failure === undefined)
      this.file = { descriptor: file.descriptor, skip: (bytes) => this.#skip(file, bytes) };
  }

  #skip(file: OpenFile, bytes: number): void {
    const ofHead = Math.min(bytes, this.#head.length);
    this.#head = this.#head.subarray(ofHead);
    file.skip(bytes - ofHead);
  }

  get consumed(): number {
    return this.#raw.consumed - this.#head.length;
  }

  async read(target: Uint8Array, at: number, length: number): Promise<number> {
    const n = Math.min(length, this.#head.length);
    if (n === 0) {
      if (this.#failure !== undefined) throw this.#failure;
      return this.#raw.read(target, at, length);
    }
    target.set(this.#head.subarray(0, n), at);
    this.#head = this.#head.subarray(n);
    return n;
  }

  close(): Promise<void> {
    return this.#raw.close();
  }
}

class UnpackedSource implements ByteSource {
  readonly path: string;
  readonly size: number | undefined;
  readonly #input: PeekedSource;
  readonly #format: string;
  readonly #make: MakeDecompressor;
  readonly #decompressor: Decompressor;
  readonly #reopen: ByteSource["reopen"];
  readonly #chunk: Uint8Array;
  #output: Uint8Array[] = [];
  /** Bytes put out so far, and where in the input the step under way began. */
  #emitted = 0;
  #stepStart = 0;
  #ended = false;
  #failure: TraceError | null = null;
  /** The step that runs while the caller works on what the last one gave. */
  #ahead: Promise<void> | null = null;

  constructor(raw: ByteSource, head: Uint8Array, format: string, stepBytes: number, make: MakeDecompressor) {
    this.path = raw.path;
    this.#chunk = new Uint8Array(stepBytes);
    this.size = raw.size;
    this.#input = new PeekedSource(raw, head);
    this.#format = format;
    this.#reopen = raw.reopen?.bind(raw);
    this.#make = make;
    this.#decompressor = make((bytes) => {
      this.#output.push(bytes);
      this.#emitted += bytes.length;
    });
  }

  get consumed(): number {
    return this.#input.consumed;
  }

  async read(target: Uint8Array, at: number, length: number): Promise<number> {
    while (this.#output.length === 0) {
      if (this.#ahead === null) {
        if (this.#failure !== null) throw this.#failure;
        if (this.#ended) return 0;
        this.#ahead = this.#step();
      }
      await this.#ahead;
      this.#ahead = null;
    }
    let n = 0;
    while (n < length && this.#output.length > 0) {
      const first = this.#output[0]!;
      const part = Math.min(length - n, first.length);
      target.set(first.subarray(0, part), at + n);
      n += part;
      if (part < first.length) this.#output[0] = first.subarray(part);
      else this.#output.shift();
    }
    if (this.#output.length === 0 && !this.#ended && this.#failure === null) this.#ahead ??= this.#step();
    return n;
  }

  async close(): Promise<void> {
    await this.#ahead;
    this.#decompressor.close();
    await this.#input.close();
  }

  /** Decompresses the next bit of input. Never rejects: a failure is kept until all output has been taken. */
  async #step(): Promise<void> {
    try {
      this.#stepStart = this.consumed;
      const n = await this.#input.read(this.#chunk, 0, this.#chunk.length);
      if (n > 0) await this.#decompressor.push(this.#chunk.subarray(0, n));
      else {
        this.#ended = true;
        await this.#decompressor.finish();
      }
    } catch (error) {
      if (error instanceof TraceError) this.#failure = error;
      else {
        const message = `expected ${this.#format} data to its end, found: ${(error as Error).message}`;
        this.#failure = new TraceError("damaged", this.path, message);
        if (!this.#ended) await this.#salvage();
      }
    }
  }

  /**
   * zlib drops what it had made of a write that fails. Where the input can be read again, this gets it after all:
   * from the start once more, and the failing step byte by byte.
   */
  async #salvage(): Promise<void> {
    const input = await this.#reopen?.();
    if (input === undefined) return;
    let skip = this.#emitted;
    const decompressor = this.#make((bytes) => {
      if (bytes.length > skip) this.#output.push(bytes.subarray(skip));
      skip = Math.max(0, skip - bytes.length);
    });
    try {
      for (;;) {
        const whole = Math.min(this.#chunk.length, this.#stepStart - input.consumed);
        const n = await input.read(this.#chunk, 0, Math.max(whole, 1));
        if (n === 0) break;
        await decompressor.push(this.#chunk.subarray(0, n));
      }
    } catch {
      // The damage that has been reported already.
    } finally {
      decompressor.close();
      await input.close();
    }
  }
}

/** gzip: zlib goes from member to member by itself. Zeros may pad a file out; nothing else may follow. */
class Gunzip implements Decompressor {
  readonly #zlib: ZlibWriter;
  #ended = false;

  constructor(emit: (bytes: Uint8Array) => void, chunkSize: number) {
    this.#zlib = new ZlibWriter(zlib.createGunzip({ chunkSize }), emit);
  }

  async push(bytes: Uint8Array): Promise<void> {
    const over = this.#ended ? bytes.length : await this.#zlib.write(bytes);
    if (over === 0) return;
    this.#ended = true;
    if (bytes.subarray(bytes.length - over).some((byte) => byte !== 0))
      throw new Error("other bytes behind the end of the compressed data");
  }

  async finish(): Promise<void> {
    if (!this.#ended) await this.#zlib.end();
  }

  close(): void {
    this.#zlib.close();
  }
}
