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

  close(): void {
    this.now.close();
    this.next.close();
  }
}
