/** Where the bytes of a trace come from. */
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
  };
}
