import { FRAME_BYTES, FRAME_SHIFT, frameOf } from "../../../walkers/memory.ts";
import { LINE_BYTES, LINE_SHIFT, LINE_WORDS, LineStore, type UnflushedWrite } from "./line-store.ts";

const LINES_PER_FRAME = FRAME_BYTES >> LINE_SHIFT;

const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Lines that are kept, at most. */
const MAX_LINES = 1 << 16;

/** Number of the line of memory that an address is in. */
export function lineAt(frame: number, offset: number): number {
  return frame * LINES_PER_FRAME + (offset >>> LINE_SHIFT);
}

/** Frame number and byte offset of a line's first byte. */
export function startOf(at: number): { readonly frame: number; readonly offset: number } {
  return { frame: Math.floor(at / LINES_PER_FRAME), offset: (at % LINES_PER_FRAME) << LINE_SHIFT };
}

interface Peeked {
  peek(frame: number, offset: number, bytes: number): boolean;
  readonly view: DataView;
  readonly at: number;
}

/**
 * Writes that an IOMMU whose walks are not coherent may not see yet: they stand in a processor's cache, or in a write
 * buffer, until something flushes them, or they go to memory by themselves. Kept is what was there before.
 */
export class UnflushedWrites {
  readonly #memory: Peeked;
  /** A line as it is. */
  readonly #now = new Int32Array(LINE_WORDS);
  /** Lines written lately, and those before them: when the ones are too many, they become the others. */
  #lines = new LineStore(MAX_LINES / 2);
  #earlier = new LineStore(MAX_LINES / 2);
  /** Some IOMMU's walks are not coherent: before, nothing is kept. */
  watching = false;
  /** Line of the first flush of the trace; 0: it records none. Of a later write without one it is known that there was none. */
  recordedLine = 0;

  constructor(memory: Peeked) {
    this.#memory = memory;
  }

  get any(): boolean {
    return this.#lines.size > 0 || this.#earlier.size > 0;
  }

  /** Bytes are about to be written, by a processor, in a line of the trace. */
  writing(addrHi: number, addrLo: number, bytes: number, line: number): void {
    if (bytes === 0) return;
    const first = lineOf(addrHi, addrLo);
    const last = first + Math.floor(((addrLo & (LINE_BYTES - 1)) + bytes - 1) / LINE_BYTES);
    // Of more than can be kept, the last. Counted, since neighbours at the end of the address space have one number.
    const count = Math.min(last - first + 1, MAX_LINES);
    for (let i = 1; i <= count; i++) this.#add(last - count + i, line);
  }

  #add(at: number, line: number): void {
    this.#read(at);
    if (this.#lines.add(at, line, this.#now, false) || this.#earlier.add(at, line, this.#now, false)) return;
    if (this.#lines.size === MAX_LINES / 2) {
      const oldest = this.#earlier;
      oldest.clear();
      this.#earlier = this.#lines;
      this.#lines = oldest;
    }
    this.#lines.add(at, line, this.#now, true);
  }

  /** Reads a line as it is into `#now`. What is nowhere in memory reads as zero. */
  #read(at: number): void {
    const now = this.#now;
    const memory = this.#memory;
    if (!memory.peek(Math.floor(at / LINES_PER_FRAME), (at % LINES_PER_FRAME) << LINE_SHIFT, LINE_BYTES)) {
      now.fill(0);
      return;
    }
    const { view, at: from } = memory;
    // Their bytes as they stand, whatever the order of this machine.
    for (let i = 0; i < LINE_WORDS; i++) now[i] = view.getInt32(from + 4 * i, IS_LITTLE_ENDIAN);
  }

  /** Contents of a line before the writes to it that nothing has flushed: the first, and the latest. */
  of(at: number): readonly UnflushedWrite[] {
    const lately = this.#lines.of(at);
    return lately.length > 0 ? lately : this.#earlier.of(at);
  }

  /** Lines of memory are flushed: those that hold any of these bytes. */
  flush(addrHi: number, addrLo: number, sizeHi: number, sizeLo: number): void {
    const first = lineOf(addrHi, addrLo);
    const size = (sizeHi >>> 0) * 2 ** 32 + (sizeLo >>> 0);
    const last = first + Math.floor(((addrLo & (LINE_BYTES - 1)) + size - 1) / LINE_BYTES);
    this.#lines.delete(first, last);
    this.#earlier.delete(first, last);
  }

  flushAll(): void {
    this.#lines.clear();
    this.#earlier.clear();
  }
}

function lineOf(addrHi: number, addrLo: number): number {
  return lineAt(frameOf(addrHi, addrLo), addrLo & ((1 << FRAME_SHIFT) - 1));
}
