import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TraceMemory } from "../../parsers/memory/guest-memory.ts";
import { openSnapshot, type SnapshotOptions } from "../../parsers/memory/open-snapshot.ts";

/** A temporary folder for snapshot files; `remove` it in the end. */
export class SnapshotFolder {
  readonly path = mkdtempSync(join(tmpdir(), "pasid-replay-"));

  write(name: string, bytes: Uint8Array): string {
    const path = join(this.path, name);
    writeFileSync(path, bytes);
    return path;
  }

  /** A file of `size` bytes, holes but for the given pieces. */
  writeSparse(
    name: string,
    size: number,
    pieces: readonly (readonly [at: number, bytes: Uint8Array])[],
  ): string {
    const path = join(this.path, name);
    const fd = openSync(path, "w");
    ftruncateSync(fd, size);
    for (const [at, bytes] of pieces) writeSync(fd, bytes, 0, bytes.length, at);
    closeSync(fd);
    return path;
  }

  /** Opens a file of it as guest memory. @returns what is wrong, where it cannot be */
  open(name: string, options: SnapshotOptions = {}): TraceMemory | string {
    const opened = openSnapshot(name, this.path, options);
    if (!opened.ok) return opened.error;
    const memory = new TraceMemory();
    memory.replace(opened.image);
    return memory;
  }

  /** The same of one that can be. */
  memoryOf(name: string, options: SnapshotOptions = {}): TraceMemory {
    const memory = this.open(name, options);
    if (typeof memory === "string") throw new Error(memory);
    return memory;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
