import type { Transform } from "node:stream";

/** Takes compressed bytes and hands on what they become. */
export interface Decompressor {
  /** Says what is wrong with the data by rejecting; what `emit` got before stands. */
  push(bytes: Uint8Array): Promise<void>;
  /** The data has ended. */
  finish(): Promise<void>;
  close(): void;
}

export type MakeDecompressor = (emit: (bytes: Uint8Array) => void) => Decompressor;

export type ZlibStream = Transform & { readonly bytesWritten: number };

/** One of node:zlib's streams, a write at a time: all that a write becomes is there before the next one. */
export class ZlibWriter {
  readonly #stream: ZlibStream;
  #given = 0;
  #error: Error | null = null;
  /** Settles the promise of the step under way. */
  #settle: (() => void) | null = null;

  constructor(stream: ZlibStream, emit: (bytes: Uint8Array) => void) {
    this.#stream = stream;
    stream.on("data", emit);
    stream.on("error", (error) => {
      this.#error ??= error;
      this.#settle?.();
    });
    stream.on("end", () => this.#settle?.());
  }

  /** Returns how many of the bytes are left over, because they are behind the end of the compressed data. */
  async write(bytes: Uint8Array): Promise<number> {
    this.#given += bytes.length;
    await this.#until((done) => this.#stream.write(bytes, done));
    return this.#given - this.#stream.bytesWritten;
  }

  end(): Promise<void> {
    return this.#until(() => this.#stream.end());
  }

  close(): void {
    this.#stream.destroy();
  }

  async #until(start: (done: () => void) => void): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#settle = resolve;
      start(resolve);
    });
    this.#settle = null;
    if (this.#error !== null) throw this.#error;
  }
}
