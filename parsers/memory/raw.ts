import { FRAME_MASK, frameOf } from "../../walkers/memory.ts";
import { addressText } from "../../walkers/word64.ts";
import { RangeSet } from "./range-set.ts";
import { endOf, SegmentImage } from "./segment-image.ts";
import type { SnapshotFile } from "./snapshot-file.ts";

/**
 * A raw image: the file's bytes, from a base address on.
 * @returns the image, or a sentence that says what is wrong
 */
export function openRaw(file: SnapshotFile, baseHi: number, baseLo: number): SegmentImage | string {
  if (file.size === 0) return `${file.name}: expected guest memory, found an empty file`;
  const startFrame = frameOf(baseHi, baseLo);
  const startOffset = baseLo & FRAME_MASK;
  const end = endOf(startFrame, startOffset, file.size);
  if (end.frame > 2 ** 52 || (end.frame === 2 ** 52 && end.offset !== 0))
    return `${file.name}: expected an end at 2^64 at most from base ${addressText(startFrame, startOffset)} on, found ${file.size} bytes`;
  const segment = {
    startFrame,
    startOffset,
    endFrame: end.frame,
    endOffset: end.offset,
    position: 0,
    index: 0,
  };
  return SegmentImage.build(file, "raw image", [segment], new RangeSet());
}
