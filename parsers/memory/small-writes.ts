/** Bytes that are kept of a frame: an entry, or a few pieces. */
const MOST_BYTES = 96;
/** Before each piece: its first byte in the frame, and how many, of 2 bytes each. */
const HEAD_BYTES = 4;

/** A piece of a frame: bytes `from` to `to` - 1 of it are bytes `at` and following of `source`. */
export type PieceStore = (from: number, to: number, source: Uint8Array, at: number) => void;

/**
 * Frames of which a few bytes were written and none was ever read: a page for each takes fifty times the memory. They
 * become pages when they are read, or written to more often.
 */
export class SmallWrites {
  /** By frame its pieces, one after the other: a string is the least that so few bytes can be kept in. */
  readonly #pieces = new Map<number, string>();
  readonly #scratch = Buffer.alloc(MOST_BYTES);

  get size(): number {
    return this.#pieces.size;
  }

  has(frame: number): boolean {
    return this.#pieces.has(frame);
  }

  /** Keeps a piece; false: that would be too much. */
  add(frame: number, from: number, to: number, source: Uint8Array, at: number): boolean {
    const count = to - from;
    if (count > MOST_BYTES - HEAD_BYTES) return false;
    const before = this.#pieces.get(frame) ?? "";
    const start = before.length;
    const end = start + HEAD_BYTES + count;
    if (end > MOST_BYTES) return false;
    const scratch = this.#scratch;
    scratch.write(before, "latin1");
    scratch.writeUInt16LE(from, start);
    scratch.writeUInt16LE(count, start + 2);
    for (let i = 0; i < count; i++) scratch[start + HEAD_BYTES + i] = source[at + i]!;
    this.#pieces.set(frame, scratch.toString("latin1", 0, end));
    return true;
  }

  /** Gives a frame's pieces away, in the order of the writes. */
  take(frame: number, store: PieceStore): void {
    const bytes = Buffer.from(this.#pieces.get(frame) ?? "", "latin1");
    this.#pieces.delete(frame);
    for (let at = 0; at < bytes.length; ) {
      const from = bytes.readUInt16LE(at);
      const count = bytes.readUInt16LE(at + 2);
      at += HEAD_BYTES;
      store(from, from + count, bytes, at);
      at += count;
    }
  }

  clear(): void {
    this.#pieces.clear();
  }
}
