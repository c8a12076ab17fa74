import { dirname, relative, resolve } from "node:path";
import type { KnownMemory } from "../../parsers/logs/known-memory.ts";
import type { LogImport } from "../../parsers/logs/log-import.ts";
import { recordText } from "../../parsers/logs/record-text.ts";
import type { MemoryImage } from "../../parsers/memory/memory-image.ts";
import { openSnapshot } from "../../parsers/memory/open-snapshot.ts";

/** A file of guest memory, and where in the log it was taken. */
export interface MemoryFile {
  readonly path: string;
  /** From this line on, or this byte of the log; neither: from the beginning. */
  readonly line?: number;
  readonly offset?: number;
}

/** A memory file that cannot be read. */
export class MemoryFileError extends Error {
  override readonly name = "MemoryFileError";
}

/** Puts memory files where they belong. */
export class MemoryFiles {
  readonly #log: LogImport;
  readonly #known: KnownMemory;
  readonly #folder: string;
  /** Files whose place has not come, in order of their places. */
  readonly #waiting: MemoryFile[];

  /**
   * @param folder that the trace will lie in: paths are relative to it
   * @throws MemoryFileError, as do `at` and `rest`
   */
  constructor(log: LogImport, known: KnownMemory, files: readonly MemoryFile[], folder: string) {
    this.#log = log;
    this.#known = known;
    this.#waiting = files.toSorted(
      (a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.offset ?? 0) - (b.offset ?? 0),
    );
    this.#folder = folder;
    known.expect(this.#next());
  }

  /** The log has come to this line and byte. */
  at(line: number, offset: number): void {
    while (this.#waiting.length > 0) {
      const { line: from = 0, offset: byte = 0 } = this.#waiting[0]!;
      if (from > line || byte > offset) return;
      this.#write(this.#waiting.shift()!);
    }
  }

  /** Memory that was taken after the last line. @returns files whose place is not in the log */
  rest(): string[] {
    const late = this.#waiting.splice(0);
    for (const file of late) this.#write(file);
    return late.map(({ path, line, offset }) =>
      line === undefined ? `${path}@${offset}B` : `${path}@${line}`,
    );
  }

  #write({ path }: MemoryFile): void {
    this.#known.replace(open(path), this.#next());
    this.#log.snapshot(recordText("snapshot", { path: relative(resolve(this.#folder), resolve(path)) }));
  }

  #next(): MemoryImage | null {
    return this.#waiting.length === 0 ? null : open(this.#waiting[0]!.path);
  }
}

function open(path: string): MemoryImage {
  const opened = openSnapshot(resolve(path), dirname(resolve(path)), { expected: "a memory file" });
  if (!opened.ok) throw new MemoryFileError(opened.error);
  return opened.image;
}
