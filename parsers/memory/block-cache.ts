/** A block that was decompressed, in a buffer that is used again and again. */
export interface Block {
  readonly bytes: Buffer;
  readonly view: DataView;
  /** Which one it is. */
  number: number;
}

/** A dropped block's buffer is filled again after this many others, as `MemoryImage.view` promises. */
const QUARANTINE = 64;

/** Blocks of a compressed dump that were decompressed last: a bounded number of buffers of one size. */
export class BlockCache {
  /** Blocks dropped. */
  evictions = 0;
  readonly #blockBytes: number;
  readonly #blocks = new Map<number, Block>();
  /** Buffers in the order of use: one is filled again when all the others have been. */
  readonly #ring: Block[] = [];
  readonly #ringSize: number;
  #next = 0;

  constructor(blockBytes: number, cacheBytes: number) {
    this.#blockBytes = blockBytes;
    this.#ringSize = Math.max(2 * QUARANTINE, Math.floor(cacheBytes / blockBytes));
  }

  get(number: number): Block | undefined {
    return this.#blocks.get(number);
  }

  /**
   * Keeps a copy of a block, in the buffer that was unused for the longest; the one whose turn comes after QUARANTINE more
   * is dropped.
   */
  add(number: number, bytes: Uint8Array): Block {
    const ring = this.#ring;
    const slot = this.#next;
    this.#next = (slot + 1) % this.#ringSize;
    const leaving = ring[(slot + QUARANTINE) % this.#ringSize];
    if (leaving !== undefined && this.#blocks.delete(leaving.number)) this.evictions++;
    let block = ring[slot];
    if (block === undefined) {
      const buffer = new ArrayBuffer(this.#blockBytes);
      block = { bytes: Buffer.from(buffer), view: new DataView(buffer), number };
      ring[slot] = block;
    }
    block.number = number;
    block.bytes.set(bytes);
    this.#blocks.set(number, block);
    return block;
  }

  clear(): void {
    this.#blocks.clear();
    this.#ring.length = 0;
  }
}
