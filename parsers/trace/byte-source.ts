/** A regular file that somebody else may read, too. */
export interface OpenFile {
  readonly descriptor: number;
  /** Goes on behind bytes that somebody else has read: `consumed` is the position of the next one. */
  skip(bytes: number): void;
}

/** Bytes of a trace, wherever they come from. */
export interface ByteSource {
  /** For messages: the file's path, or "-" for standard input. */
  readonly path: string;
  /** Bytes of the input taken so far (before decompression), for progress. */
  readonly consumed: number;
  /** Size of the input in bytes (before decompression), or undefined where it is not known. */
  readonly size: number | undefined;
  /** What the bytes are those of, as they are, where it is such a file. */
  readonly file?: OpenFile | undefined;
  /**
   * Puts up to `length` bytes into `target` from offset `at`.
   * @returns how many; 0 at the end
   * @throws TraceError where the input breaks off or cannot be read; what was returned before it stands
   */
  read(target: Uint8Array, at: number, length: number): Promise<number>;
  close(): Promise<void>;
  /** The same input from its start; undefined where it cannot be read twice. */
  reopen?(): Promise<ByteSource | undefined>;
}
