import { FRAME_BYTES, FRAME_MASK } from "../../walkers/memory.ts";
import { addBytes, type ByteMask } from "./byte-mask.ts";
import {
  ABSENT,
  BYTES,
  FAILED,
  type FrameKind,
  type MemoryError,
  type MemoryImage,
  PIECES,
  ZERO,
} from "./memory-image.ts";
import { EVERYTHING, isBefore, NOTHING, type RangeSet } from "./range-set.ts";
import type { SnapshotFile } from "./snapshot-file.ts";

/** A run of guest memory that lies in the file in one piece. Ends are exclusive; 2^64 is frame 2^52. */
export interface Segment {
  readonly startFrame: number;
  readonly startOffset: number;
  readonly endFrame: number;
  readonly endOffset: number;
  /** Where its first byte is in the file. */
  readonly position: number;
  /** What a person knows it by: "program header 3". */
  readonly label: string;
}

/** The end of a range of `bytes` bytes, as frame and offset. */
export function endOf(frame: number, offset: number, bytes: number): { frame: number; offset: number } {
  const inFrame = offset + (bytes % FRAME_BYTES);
  return {
    frame: frame + Math.floor(bytes / FRAME_BYTES) + (inFrame >>> 12),
    offset: inFrame & FRAME_MASK,
  };
}

/** A byte address as a person writes it. */
export function addressText(frame: number, offset: number): string {
  return `0x${(BigInt(frame) * BigInt(FRAME_BYTES) + BigInt(offset)).toString(16)}`;
}

/** Guest memory that lies in a file in segments: ELF cores, LiME, raw images. */
export class SegmentImage implements MemoryImage {
  view: DataView;
  at = 0;
  readonly file: SnapshotFile;
  /** Address ranges that exist and are zero, where no segment has bytes for them. */
  readonly #zero: RangeSet;
  readonly #segments: readonly Segment[];
  /** Start frames of the segments again, for a fast search. */
  readonly #starts: Float64Array;

  private constructor(file: SnapshotFile, segments: readonly Segment[], zero: RangeSet) {
    this.file = file;
    this.view = file.view;
    this.#zero = zero;
    this.#segments = segments;
    this.#starts = Float64Array.from(segments, (s) => s.startFrame);
  }

  /**
   * Sorts segments and joins what touches. Two segments may share memory where they take it from the same place
   * of the file, as QEMU's dumps of paged guests do.
   * @returns the image, or a sentence that says which segments disagree
   */
  static build(file: SnapshotFile, segments: Segment[], zero: RangeSet): SegmentImage | string {
    segments.sort((a, b) => a.startFrame - b.startFrame || a.startOffset - b.startOffset);
    const joined: Segment[] = [];
    for (const next of segments) {
      const last = joined[joined.length - 1];
      if (last === undefined || isBefore(last.endFrame, last.endOffset, next.startFrame, next.startOffset)) {
        joined.push(next);
        continue;
      }
      const distance =
        (next.startFrame - last.startFrame) * FRAME_BYTES + next.startOffset - last.startOffset;
      if (last.position + distance === next.position) {
        if (isBefore(last.endFrame, last.endOffset, next.endFrame, next.endOffset))
          joined[joined.length - 1] = { ...last, endFrame: next.endFrame, endOffset: next.endOffset };
      } else if (last.endFrame === next.startFrame && last.endOffset === next.startOffset) joined.push(next);
      else return overlap(file, last, next);
    }
    return new SegmentImage(file, joined, zero);
  }

  get evictions(): number {
    return this.file.evictions;
  }

  find(frame: number): FrameKind {
    const i = this.#lastStartingAtOrBefore(frame);
    const segment = this.#segments[i];
    if (segment === undefined || !isBefore(frame, 0, segment.endFrame, segment.endOffset)) {
      const zero = this.#zero.coverage(frame);
      return zero === NOTHING ? ABSENT : zero === EVERYTHING ? ZERO : PIECES;
    }
    const fromStart = segment.startFrame < frame || segment.startOffset === 0;
    if (!fromStart || segment.endFrame === frame) return PIECES;
    const position = segment.position + (frame - segment.startFrame) * FRAME_BYTES - segment.startOffset;
    if (!this.file.locate(position, FRAME_BYTES)) return FAILED;
    this.view = this.file.view;
    this.at = this.file.at;
    return BYTES;
  }

  compose(frame: number, page: Uint8Array, at: number, mask: ByteMask): boolean {
    this.#zero.markBytes(frame, mask);
    for (let i = this.#lastStartingAtOrBefore(frame); i >= 0; i--) {
      const segment = this.#segments[i]!;
      if (!isBefore(frame, 0, segment.endFrame, segment.endOffset)) break;
      const from = segment.startFrame === frame ? segment.startOffset : 0;
      const to = segment.endFrame === frame ? segment.endOffset : FRAME_BYTES;
      const position =
        segment.position + (frame - segment.startFrame) * FRAME_BYTES + from - segment.startOffset;
      if (!this.file.locate(position, to - from)) return false;
      const { view, at: start } = this.file;
      page.set(new Uint8Array(view.buffer, view.byteOffset + start, to - from), at + from);
      addBytes(mask, from, to);
    }
    return true;
  }

  takeError(): MemoryError | null {
    return this.file.takeError();
  }

  close(): void {
    this.file.close();
    this.view = this.file.view;
  }

  /** Index of the last segment that starts in a frame or before it; -1 where there is none. */
  #lastStartingAtOrBefore(frame: number): number {
    const starts = this.#starts;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= frame) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

function overlap(file: SnapshotFile, a: Segment, b: Segment): string {
  const aRange = `${addressText(a.startFrame, a.startOffset)} to ${addressText(a.endFrame, a.endOffset)}`;
  return (
    `${file.name}: ${b.label}: expected memory that no other segment holds, ` +
    `found ${addressText(b.startFrame, b.startOffset)} also in ${a.label} (${aRange}), elsewhere in the file`
  );
}
