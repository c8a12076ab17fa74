import { FRAME_BYTES, FRAME_MASK, frameOf } from "../../../walkers/memory.ts";
import { larger } from "../../caches/history/changed-words.ts";

/** Writes that are remembered: the latest. Looking through all of them takes less than saying what was found. */
const REMEMBERED = 1 << 16;
const FIRST_CAPACITY = 1 << 8;

/**
 * Which line of the trace wrote bytes: of the latest writes, since nobody knows before registers or an entry lead there
 * what will be a table. Noting a write costs next to nothing, whoever asks looks through them.
 */
export class WrittenLines {
  #capacity = FIRST_CAPACITY;
  // Of write n, at n modulo `REMEMBERED`: first frame, first byte in it, number of bytes, line.
  #frames = new Float64Array(FIRST_CAPACITY);
  #offsets = new Int32Array(FIRST_CAPACITY);
  #bytes = new Float64Array(FIRST_CAPACITY);
  #lines = new Float64Array(FIRST_CAPACITY);
  #writes = 0;

  /** A record has written bytes from an address on. */
  written(addrHi: number, addrLo: number, bytes: number, line: number): void {
    const at = this.#writes++ % REMEMBERED;
    if (at === this.#capacity) this.#grow();
    this.#frames[at] = frameOf(addrHi, addrLo);
    this.#offsets[at] = addrLo & FRAME_MASK;
    this.#bytes[at] = bytes;
    this.#lines[at] = line;
  }

  /** Line of the latest write to any of the bytes `from` to `to` - 1 of a frame; 0: none is remembered. */
  of(frame: number, from: number, to: number): number {
    const oldest = Math.max(this.#writes - REMEMBERED, 0);
    for (let write = this.#writes - 1; write >= oldest; write--) {
      const at = write % REMEMBERED;
      // From the first byte that was written.
      const start = (frame - this.#frames[at]!) * FRAME_BYTES + from - this.#offsets[at]!;
      if (start < this.#bytes[at]! && start + to - from > 0) return this.#lines[at]!;
    }
    return 0;
  }

  /** All memory is another one. */
  clear(): void {
    this.#writes = 0;
  }

  #grow(): void {
    const capacity = 2 * this.#capacity;
    this.#frames = larger(this.#frames, new Float64Array(capacity));
    this.#offsets = larger(this.#offsets, new Int32Array(capacity));
    this.#bytes = larger(this.#bytes, new Float64Array(capacity));
    this.#lines = larger(this.#lines, new Float64Array(capacity));
    this.#capacity = capacity;
  }
}
