import { FRAME_BYTES } from "../../walkers/memory.ts";
import { LIME_HEADER, LIME_MAGIC } from "./lime.ts";

/** Frames of guest memory as a LiME dump, a range for each run of them: what `openLime` reads. */
export function limeFile(pages: ReadonlyMap<number, Uint8Array>): Buffer[] {
  const frames = [...pages.keys()].sort((a, b) => a - b);
  const chunks: Buffer[] = [];
  for (let from = 0, to = 0; from < frames.length; from = to) {
    for (to = from + 1; frames[to] === frames[to - 1]! + 1; ) to++;
    chunks.push(header(frames[from]!, to - from));
    for (const frame of frames.slice(from, to)) chunks.push(Buffer.from(pages.get(frame)!));
  }
  return chunks;
}

function header(frame: number, frames: number): Buffer {
  const bytes = Buffer.alloc(LIME_HEADER.bytes);
  const first = BigInt(frame) * BigInt(FRAME_BYTES);
  bytes.writeUInt32LE(LIME_MAGIC, LIME_HEADER.magic);
  bytes.writeUInt32LE(1, LIME_HEADER.version);
  bytes.writeBigUInt64LE(first, LIME_HEADER.s_addr);
  bytes.writeBigUInt64LE(first + BigInt(frames * FRAME_BYTES) - 1n, LIME_HEADER.e_addr);
  return bytes;
}
