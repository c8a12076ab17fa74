import { FRAME_BYTES, FRAME_SHIFT, frameOf } from "../../../walkers/memory.ts";

/** What processors' caches write back at once, in bytes. */
const LINE_SHIFT = 6;
const LINE_BYTES = 1 << LINE_SHIFT;
const LINE_WORDS = LINE_BYTES / 4;
const LINES_PER_FRAME = FRAME_BYTES >> LINE_SHIFT;

const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Lines that are kept, at most, and contents of each: the first, and the latest. */
const MAX_LINES = 1 << 16;
const MAX_VERSIONS = 4;

/** What a line of memory held before a write that nothing has flushed; not to be kept beyond the next write. */
export interface UnflushedWrite {
  /** Line of the `mem` record. */
  readonly line: number;
  /** Number of the line of memory, as `lineAt` gives it. */
  readonly at: number;
  readonly before: Uint8Array;
}

/** Number of the line of memory that an address is in. */
export function lineAt(frame: number, offset: number): number {
  return frame * LINES_PER_FRAME + (offset >>> LINE_SHIFT);
}

/** Frame number and byte offset of a line's first byte. */
export function startOf(at: number): { readonly frame: number; readonly offset: number } {
  return { frame: Math.floor(at / LINES_PER_FRAME), offset: (at % LINES_PER_FRAME) << LINE_SHIFT };
}

/** Its bytes serve again for a later write. */
interface Kept {
  line: number;
  readonly at: number;
  readonly before: Uint8Array;
  /** The same bytes. */
  readonly words: Int32Array;
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
  /**
   * By number of the line, the latest of them last: lines written lately, and those before them. Two maps that take
   * turns: one whose oldest are deleted again and again must step over all that it has deleted to find the next one.
   */
  #lines = new Map<number, Kept[]>();
  #earlier = new Map<number, Kept[]>();
  /** Some IOMMU's walks are not coherent: before, nothing is kept. */
  watching = false;
  /** The trace records flushes: a write without one is known to be without. */
  recorded = false;

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
    // Of more than can be kept, the last.
    for (let at = Math.max(first, last - MAX_LINES + 1); at <= last; at++) this.#add(at, line);
  }

  #add(at: number, line: number): void {
    this.#read(at);
    const writes = this.#lines.get(at) ?? this.#earlier.get(at);
    if (writes === undefined) {
      if (this.#lines.size === MAX_LINES / 2) {
        this.#earlier = this.#lines;
        this.#lines = new Map();
      }
      this.#lines.set(at, [kept(line, at, this.#now)]);
      return;
    }
    if (same(writes[writes.length - 1]!.words, this.#now)) return;
    if (writes.length < MAX_VERSIONS) {
      writes.push(kept(line, at, this.#now));
      return;
    }
    // The second goes, and its bytes serve again: to let go of it and make others would be most of what a write costs.
    const again = writes[1]!;
    for (let i = 2; i < MAX_VERSIONS; i++) writes[i - 1] = writes[i]!;
    again.line = line;
    for (let i = 0; i < LINE_WORDS; i++) again.words[i] = this.#now[i]!;
    writes[MAX_VERSIONS - 1] = again;
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

  /** Contents of a line before the writes to it that nothing has flushed. */
  of(at: number): readonly UnflushedWrite[] {
    return this.#lines.get(at) ?? this.#earlier.get(at) ?? [];
  }

  /** Lines of memory are flushed: those that hold any of these bytes. */
  flush(addrHi: number, addrLo: number, sizeHi: number, sizeLo: number): void {
    const first = lineOf(addrHi, addrLo);
    const size = (sizeHi >>> 0) * 2 ** 32 + (sizeLo >>> 0);
    const last = first + Math.floor(((addrLo & (LINE_BYTES - 1)) + size - 1) / LINE_BYTES);
    for (const lines of [this.#lines, this.#earlier])
      if (last - first < lines.size) for (let at = first; at <= last; at++) lines.delete(at);
      else for (const at of lines.keys()) if (at >= first && at <= last) lines.delete(at);
  }

  flushAll(): void {
    this.#lines.clear();
    this.#earlier.clear();
  }
}

function lineOf(addrHi: number, addrLo: number): number {
  return lineAt(frameOf(addrHi, addrLo), addrLo & ((1 << FRAME_SHIFT) - 1));
}

function kept(line: number, at: number, now: Int32Array): Kept {
  const words = now.slice();
  return { line, at, before: new Uint8Array(words.buffer), words };
}

function same(a: Int32Array, b: Int32Array): boolean {
  for (let i = 0; i < LINE_WORDS; i++) if (a[i] !== b[i]) return false;
  return true;
}
