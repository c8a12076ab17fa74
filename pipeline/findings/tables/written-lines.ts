import { FRAME_BYTES, FRAME_MASK, frameOf } from "../../../walkers/memory.ts";

/** Writes that are remembered, by frame: the latest. */
const REMEMBERED = 1 << 16;
/** Writes to one frame that are looked at for one entry. */
const MOST_STEPS = 1 << 12;
const SPAN = 2 * FRAME_BYTES;

/**
 * Which line of the trace wrote bytes: of the latest writes, since nobody knows before registers or an entry lead there
 * what will be a table. Frame by frame the writes are chained, from the latest to the first that is remembered.
 */
export class WrittenLines {
  // A write to a frame is at its number modulo `REMEMBERED`: the frame, first byte and end, line, write before it.
  readonly #frames: number[] = [];
  readonly #spans: number[] = [];
  readonly #lines: number[] = [];
  readonly #earlier: number[] = [];
  readonly #latest = new Map<number, number>();
  #writes = 0;

  /** A record has written bytes from an address on. */
  written(addrHi: number, addrLo: number, bytes: number, line: number): void {
    let from = addrLo & FRAME_MASK;
    for (let frame = frameOf(addrHi, addrLo), left = bytes; left > 0; frame++) {
      const to = Math.min(from + left, FRAME_BYTES);
      this.#note(frame, from, to, line);
      left -= to - from;
      from = 0;
    }
  }

  /** Line of the latest write to any of the bytes `from` to `to` - 1 of a frame; 0: none is remembered. */
  of(frame: number, from: number, to: number): number {
    const oldest = this.#writes - REMEMBERED;
    let write = this.#latest.get(frame) ?? -1;
    for (let steps = 0; write >= 0 && write >= oldest && steps < MOST_STEPS; steps++) {
      const slot = write % REMEMBERED;
      const span = this.#spans[slot]!;
      if (Math.floor(span / SPAN) < to && span % SPAN > from) return this.#lines[slot]!;
      write = this.#earlier[slot]!;
    }
    return 0;
  }

  /** All memory is another one. */
  clear(): void {
    for (const list of [this.#frames, this.#spans, this.#lines, this.#earlier]) list.length = 0;
    this.#latest.clear();
    this.#writes = 0;
  }

  #note(frame: number, from: number, to: number, line: number): void {
    const span = from * SPAN + to;
    const before = this.#latest.get(frame) ?? -1;
    // What is written again and again does not drive out the rest.
    if (before >= 0 && this.#spans[before % REMEMBERED] === span) {
      this.#lines[before % REMEMBERED] = line;
      return;
    }
    const slot = this.#writes % REMEMBERED;
    if (this.#writes >= REMEMBERED) {
      const gone = this.#frames[slot]!;
      if (this.#latest.get(gone) === this.#writes - REMEMBERED) this.#latest.delete(gone);
    }
    this.#frames[slot] = frame;
    this.#spans[slot] = span;
    this.#lines[slot] = line;
    this.#earlier[slot] = before;
    this.#latest.set(frame, this.#writes++);
  }
}
