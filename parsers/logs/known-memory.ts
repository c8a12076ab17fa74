import { FRAME_BYTES, frameHi, frameLo } from "../../walkers/memory.ts";
import { TraceMemory } from "../memory/guest-memory.ts";
import type { MemoryImage } from "../memory/memory-image.ts";

/**
 * Guest memory as far as files beside the log and the log itself say what it is: now, and in the file that was taken next.
 */
export class KnownMemory {
  /** The last file before the line that is read, and what the log has shown since. */
  readonly now = new TraceMemory();
  /** The first file after it, where there is one. */
  readonly next = new TraceMemory();
  hasNow = false;
  hasNext = false;
  /** The log has every store to tables and queues: `now` is what they hold. */
  complete = false;
  /** Counts the files that have come. */
  files = 0;

  /** A file's turn has come. @param next the file after it */
  replace(image: MemoryImage | null, next: MemoryImage | null): void {
    this.files++;
    this.now.replace(image);
    this.hasNow = image !== null;
    this.expect(next);
  }

  /** The file that comes next. */
  expect(image: MemoryImage | null): void {
    this.next.replace(image);
    this.hasNext = image !== null;
  }

  /** The text of a `mem` record. */
  mem(text: string): void {
    const { addr, data } = JSON.parse(text) as { addr: string; data: string };
    const at = BigInt.asIntN(64, BigInt(addr));
    this.now.write(Number(at >> 32n), Number(BigInt.asIntN(32, at)), Buffer.from(data, "hex"));
  }

  /** A frame of zeros, where nothing was known. */
  zero(frame: number): void {
    this.now.ram(frameHi(frame), frameLo(frame), 0, FRAME_BYTES);
  }

  /** 64-bit words at an address, aligned to as many bytes as they have; null where they are not known. */
  words(address: bigint, count: number): string[] | null {
    if (!this.now.fetch(Number(address >> 12n), Number(address & 0xfffn), 8 * count)) return null;
    const { view, at } = this.now;
    return Array.from({ length: count }, (_, i) => `0x${view.getBigUint64(at + 8 * i, true).toString(16)}`);
  }

  close(): void {
    this.now.close();
    this.next.close();
  }
}
