import { realpathSync } from "node:fs";
import { isAbsolute, relative, resolve, sep } from "node:path";
import { ELF_MAGIC, openElfCore } from "./elf-core.ts";
import type { MemoryImage } from "./memory-image.ts";
import { openRaw } from "./raw.ts";
import { type CacheOptions, reasonOf, SnapshotFile } from "./snapshot-file.ts";

/** `format` of the trace contract's `snapshot` record. */
export const SNAPSHOT_FORMATS = ["auto", "elf", "raw", "lime", "kdump"] as const;
export type SnapshotFormat = (typeof SNAPSHOT_FORMATS)[number];

export interface SnapshotOptions extends CacheOptions {
  /** Default `auto`: by content, and raw where nothing is recognised. */
  readonly format?: SnapshotFormat;
  /** Where a raw image begins; 0 by default. */
  readonly baseHi?: number;
  readonly baseLo?: number;
  /** Files, or folders with all that is in them, that may be opened though they are not beside the trace. */
  readonly allow?: readonly string[];
}

export type OpenedSnapshot =
  | { readonly ok: true; readonly image: MemoryImage }
  | { readonly ok: false; readonly error: string };

/**
 * Opens the file of a `snapshot` record.
 *
 * The path is resolved beside the trace. It may not leave that folder, neither by `..`, nor as an absolute path,
 * nor through a symbolic link, unless `options.allow` says so.
 *
 * @param path as the record gives it
 * @param traceFolder folder of the trace; the working directory where the trace comes from standard input
 * @returns the image, to be given to `GuestMemory.replace`, or a sentence that names the file, what was expected
 *   and what was found
 */
export function openSnapshot(
  path: string,
  traceFolder: string,
  options: SnapshotOptions = {},
): OpenedSnapshot {
  const found = resolvePath(path, traceFolder, options.allow ?? []);
  if (!found.ok) return found;
  const file = SnapshotFile.open(found.path, path, options);
  if (typeof file === "string") return { ok: false, error: file };
  const image = openFormat(file, options);
  if (typeof image !== "string") return { ok: true, image };
  const io = file.takeError();
  file.close();
  return { ok: false, error: io === null ? image : io.message };
}

function resolvePath(
  path: string,
  traceFolder: string,
  allow: readonly string[],
): { ok: true; path: string } | { ok: false; error: string } {
  let real: string;
  try {
    real = realpathSync(resolve(traceFolder, path));
    if (isWithin(real, realpathSync(traceFolder))) return { ok: true, path: real };
  } catch (error) {
    return { ok: false, error: `${path}: expected a file beside the trace, found ${reasonOf(error)}` };
  }
  for (const allowed of allow) {
    try {
      if (isWithin(real, realpathSync(allowed))) return { ok: true, path: real };
    } catch {
      // What is not there allows nothing.
    }
  }
  return {
    ok: false,
    error: `${path}: expected a file in the trace's folder or in an allowed one, found that it leads to ${real}`,
  };
}

function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === "" || (way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}

function openFormat(file: SnapshotFile, options: SnapshotOptions): MemoryImage | string {
  let format = options.format ?? "auto";
  if (format === "auto") {
    const magic = Buffer.alloc(16);
    file.read(0, magic);
    if (magic.toString("latin1", 0, 4) === ELF_MAGIC) format = "elf";
    else format = "raw";
  }
  switch (format) {
    case "elf":
      return openElfCore(file);
    case "raw":
      return openRaw(file, options.baseHi ?? 0, options.baseLo ?? 0);
    default:
      return `${file.name}: format ${format} is not read yet`;
  }
}
