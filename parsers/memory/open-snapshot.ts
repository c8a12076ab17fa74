import { realpathSync } from "node:fs";
import { isAbsolute, relative, resolve, sep } from "node:path";
import { ELF_MAGIC, openElfCore } from "./elf-core.ts";
import { KDUMP_MAGIC, openKdump } from "./kdump.ts";
import { FLATTENED_MAGIC, FlattenedDump } from "./kdump-flattened.ts";
import { LIME_MAGIC, openLime } from "./lime.ts";
import type { MemoryImage } from "./memory-image.ts";
import { openRaw } from "./raw.ts";
import { type CacheOptions, readFailure, SnapshotFile } from "./snapshot-file.ts";
import type { SnapshotFormat } from "./snapshot-formats.ts";

export interface SnapshotOptions extends CacheOptions {
  /** Default `auto`: by content, and raw where nothing is recognised. */
  readonly format?: SnapshotFormat;
  /** Where a raw image begins; 0 by default. */
  readonly baseHi?: number;
  readonly baseLo?: number;
  /** Files, or folders with all that is in them, that may be opened though they are not beside the trace. */
  readonly allow?: readonly string[];
  /** What messages call the file that is not there; default "a file beside the trace". */
  readonly expected?: string;
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
  const { allow = [], expected = "a file beside the trace" } = options;
  const found = resolvePath(path, traceFolder, allow, expected);
  if (!found.ok) return found;
  const file = SnapshotFile.open(found.path, path, options);
  if (typeof file === "string") return { ok: false, error: file };
  const image = openFormat(file, options);
  const result = file.takeError()?.message ?? image;
  if (typeof result !== "string") return { ok: true, image: result };
  file.close();
  return { ok: false, error: result };
}

function resolvePath(
  path: string,
  traceFolder: string,
  allow: readonly string[],
  expected: string,
): { ok: true; path: string } | { ok: false; error: string } {
  let real: string;
  try {
    real = realpathSync(resolve(traceFolder, path));
    if (isWithin(real, realpathSync(traceFolder))) return { ok: true, path: real };
  } catch (error) {
    return { ok: false, error: `${path}: expected ${expected}, found ${readFailure(error)}` };
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
  switch (options.format ?? "auto") {
    case "elf":
      return openElfCore(file);
    case "lime":
      return openLime(file);
    case "raw":
      return openRaw(file, options.baseHi ?? 0, options.baseLo ?? 0);
    case "kdump":
      return openDump(file, options);
    default:
      return openByContent(file, options);
  }
}

/** First bytes of files that hold memory in a way that cannot be read at random, or that hold something else. */
const UNREADABLE: readonly (readonly [magic: string, what: string])[] = [
  ["\x1f\x8b", "gzip data: decompress it first"],
  ["\x28\xb5\x2f\xfd", "zstd data: decompress it first"],
  ["\xfd7zXZ\0", "xz data: decompress it first"],
  ["BZh", "bzip2 data: decompress it first"],
  ["\x04\x22\x4d\x18", "lz4 data: decompress it first"],
  ["PK\x03\x04", "a zip archive: unpack it first"],
  ["AVML", "an AVML dump: convert it to LiME's format first (avml-convert)"],
  ["QFI\xfb", "a qcow2 disk image"],
  ["QEVM", "a QEMU migration stream: use dump-guest-memory instead"],
  ["LibvirtQ", "a libvirt save image: use virsh dump --memory-only instead"],
];

/** A compressed dump, flattened or not. */
function openDump(file: SnapshotFile, options: SnapshotOptions): MemoryImage | string {
  const head = Buffer.alloc(FLATTENED_MAGIC.length);
  file.read(0, head);
  if (head.toString("latin1") !== FLATTENED_MAGIC) return openKdump(file, file, options);
  const dump = FlattenedDump.open(file);
  return typeof dump === "string" ? dump : openKdump(file, dump, options);
}

function openByContent(file: SnapshotFile, options: SnapshotOptions): MemoryImage | string {
  const head = Buffer.alloc(16);
  const text = head.toString("latin1", 0, file.read(0, head));
  if (text.startsWith(ELF_MAGIC)) return openElfCore(file);
  if (text.startsWith(KDUMP_MAGIC) || text.startsWith(FLATTENED_MAGIC)) return openDump(file, options);
  if (head.readUInt32LE(0) === LIME_MAGIC || head.readUInt32BE(0) === LIME_MAGIC) return openLime(file);
  for (const [magic, what] of UNREADABLE)
    if (text.startsWith(magic))
      return `${file.name}: expected guest memory (an ELF core, LiME, kdump or a raw image), found ${what}`;
  return openRaw(file, options.baseHi ?? 0, options.baseLo ?? 0);
}
