/**
 * LiME memory dumps (Linux Memory Extractor, `format=lime`): a sequence of ranges, each a header and its bytes.
 * Header: lime_mem_range_header of LiME's doc/README.md, version 1, in the byte order of the dumped machine.
 */
import { FRAME_MASK, frameOf } from "../../walkers/memory.ts";
import { RangeSet } from "./range-set.ts";
import { endOf, type Segment, SegmentImage } from "./segment-image.ts";
import type { SnapshotFile } from "./snapshot-file.ts";

export const LIME_MAGIC = 0x4c69_4d45;
/** Byte offsets of the header's fields; `e_addr` is the address of the last byte. */
export const LIME_HEADER = { bytes: 32, magic: 0, version: 4, s_addr: 8, e_addr: 16 } as const;
const VERSION = 1;
const NOUN = "LiME range";
/** Far more than any dump has; bounds the time that a nonsensical file takes. */
const MAX_RANGES = 1 << 20;

/**
 * Reads the headers of a LiME dump.
 * @returns the image, or a sentence that says what is wrong with the file
 */
export function openLime(file: SnapshotFile): SegmentImage | string {
  const header = Buffer.alloc(LIME_HEADER.bytes);
  const view = new DataView(header.buffer, header.byteOffset, LIME_HEADER.bytes);
  const segments: Segment[] = [];
  let little = true;
  let position = 0;
  while (position < file.size || segments.length === 0) {
    const index = segments.length;
    const label = `${NOUN} ${index}`;
    if (segments.length === MAX_RANGES)
      return `${file.name}: ${label}: expected at most ${MAX_RANGES} ranges, found more`;
    const where = `${file.name}: ${label} at offset ${position}`;
    const found = file.read(position, header);
    if (found < LIME_HEADER.bytes)
      return `${where}: expected a header of ${LIME_HEADER.bytes} bytes, found the end of the file after ${found}`;
    if (segments.length === 0) little = view.getUint32(LIME_HEADER.magic, true) === LIME_MAGIC;
    const magic = view.getUint32(LIME_HEADER.magic, little);
    if (magic !== LIME_MAGIC)
      return `${where}: magic: expected 0x${hex32(LIME_MAGIC)}, found 0x${hex32(magic)}`;
    const version = view.getUint32(LIME_HEADER.version, little);
    if (version !== VERSION) return `${where}: version: expected ${VERSION}, found ${version}`;
    const segment = readRange(file, view, little, position + LIME_HEADER.bytes, index);
    if (typeof segment === "string") return `${where}: ${segment}`;
    segments.push(segment.segment);
    position = segment.next;
  }
  return SegmentImage.build(file, NOUN, segments, new RangeSet());
}

function readRange(
  file: SnapshotFile,
  view: DataView,
  little: boolean,
  position: number,
  index: number,
): { segment: Segment; next: number } | string {
  const first = view.getBigUint64(LIME_HEADER.s_addr, little);
  const last = view.getBigUint64(LIME_HEADER.e_addr, little);
  if (last < first)
    return `e_addr: expected s_addr 0x${first.toString(16)} or more, found 0x${last.toString(16)}`;
  const size = last - first + 1n;
  if (size > BigInt(file.size - position))
    return (
      `e_addr 0x${last.toString(16)} (s_addr 0x${first.toString(16)}): expected ${size} bytes to follow, ` +
      `found ${file.size - position}`
    );
  const startFrame = frameOf(Number(first >> 32n), Number(first & 0xffff_ffffn));
  const startOffset = Number(first & BigInt(FRAME_MASK));
  const end = endOf(startFrame, startOffset, Number(size));
  const segment = { startFrame, startOffset, endFrame: end.frame, endOffset: end.offset, position, index };
  return { segment, next: position + Number(size) };
}

function hex32(value: number): string {
  return value.toString(16).padStart(8, "0");
}
