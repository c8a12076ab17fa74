import { FRAME_BYTES, FRAME_MASK } from "../../walkers/memory.ts";
import { addressText } from "../../walkers/word64.ts";
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

/** Bytes that segments may share under different positions in the file: a kernel's text, with room to spare. */
const MAX_COMPARED = 256 * 2 ** 20;
const COMPARED_AT_ONCE = 2 ** 20;

/** A run of guest memory that lies in the file in one piece. Ends are exclusive; 2^64 is frame 2^52. */
export interface Segment {
  readonly startFrame: number;
  readonly startOffset: number;
  readonly endFrame: number;
  readonly endOffset: number;
  /** Where its first byte is in the file. */
  readonly position: number;
  /** Number of its header in the file. */
  readonly index: number;
}

/** The end of a range of `bytes` bytes, as frame and offset. */
export function endOf(frame: number, offset: number, bytes: number): { frame: number; offset: number } {
  const inFrame = offset + (bytes % FRAME_BYTES);
  return {
    frame: frame + Math.floor(bytes / FRAME_BYTES) + (inFrame >>> 12),
    offset: inFrame & FRAME_MASK,
  };
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
   * Sorts segments and joins what touches. Two segments may share memory where they agree on it: they take it
   * from the same place of the file, as QEMU's dumps of paged guests do, or their bytes are the same, as those of
   * the kernel's text in a copied /proc/vmcore.
   * @param noun what the format calls a segment, for messages
   * @returns the image, or a sentence that says which segments disagree
   */
  static build(file: SnapshotFile, noun: string, segments: Segment[], zero: RangeSet): SegmentImage | string {
    segments.sort((a, b) => a.startFrame - b.startFrame || a.startOffset - b.startOffset);
    const joined: Segment[] = [];
    let toCompare = MAX_COMPARED;
    for (const next of segments) {
      const last = joined[joined.length - 1];
      if (last === undefined || !isBefore(next.startFrame, next.startOffset, last.endFrame, last.endOffset)) {
        joined.push(next);
        continue;
      }
      const longer = isBefore(last.endFrame, last.endOffset, next.endFrame, next.endOffset);
      const skipped = distance(last.startFrame, last.startOffset, next.startFrame, next.startOffset);
      const position = last.position + skipped;
      if (position === next.position) {
        if (longer)
          joined[joined.length - 1] = { ...last, endFrame: next.endFrame, endOffset: next.endOffset };
        continue;
      }
      const { endFrame, endOffset } = longer ? last : next;
      const shared = distance(next.startFrame, next.startOffset, endFrame, endOffset);
      toCompare -= shared;
      if (toCompare < 0 || !sameBytes(file, position, next.position, shared))
        return overlap(file, noun, last, next);
      if (longer)
        joined.push({
          ...next,
          startFrame: endFrame,
          startOffset: endOffset,
          position: next.position + shared,
        });
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

/** Bytes from one address up to another; exact where both lie in the same file's segments. */
function distance(fromFrame: number, fromOffset: number, toFrame: number, toOffset: number): number {
  return (toFrame - fromFrame) * FRAME_BYTES + toOffset - fromOffset;
}

function sameBytes(file: SnapshotFile, a: number, b: number, count: number): boolean {
  const left = Buffer.alloc(Math.min(count, COMPARED_AT_ONCE));
  const right = Buffer.alloc(left.length);
  for (let done = 0; done < count; done += left.length) {
    const size = Math.min(left.length, count - done);
    const ours = left.subarray(0, size);
    const theirs = right.subarray(0, size);
    if (file.read(a + done, ours) < size || file.read(b + done, theirs) < size) return false;
    if (!ours.equals(theirs)) return false;
  }
  return true;
}

function overlap(file: SnapshotFile, noun: string, a: Segment, b: Segment): string {
  const aRange = `${addressText(a.startFrame, a.startOffset)} to ${addressText(a.endFrame, a.endOffset)}`;
  return (
    `${file.name}: ${noun} ${b.index}: expected memory that no other segment holds, ` +
    `found ${addressText(b.startFrame, b.startOffset)} also in ${noun} ${a.index} (${aRange}), with other bytes`
  );
}
