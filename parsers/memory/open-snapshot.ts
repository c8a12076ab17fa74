import { lstatSync, realpathSync } from "node:fs";
import { dirname, extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { contentOf } from "../magic.ts";
import { AVML_MAGIC, openAvml } from "./avml.ts";
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
  const folders = [traceFolder, ...allow].flatMap((folder) => [resolve(folder), realOf(folder) ?? []].flat());
  const inside = (place: string) => folders.some((folder) => isWithin(place, folder));
  const whole = resolve(traceFolder, path);
  let reason = "";
  try {
    const real = realpathSync(whole);
    if (inside(real)) return { ok: true, path: real };
  } catch (error) {
    reason = readFailure(error);
    const elsewhere = whole.length <= LONGEST_PATH && !inside(deepestReal(dirname(whole)));
    if (elsewhere || (isLink(whole) && !reason.endsWith("(ELOOP)"))) reason = "";
  }
  // Of what is elsewhere nothing is said, not even whether it is there.
  if (!inside(whole)) return { ok: false, error: `${path}: ${leadsOut(traceFolder, path)}` };
  if (reason !== "") return { ok: false, error: `${path}: expected ${expected}, found ${reason}` };
  return {
    ok: false,
    error: `${path}: ${INSIDE}, found a link that leads out of it; --allow-path with the folder that it leads to allows it`,
  };
}

const INSIDE = "expected a file in the trace's folder or in an allowed one";
/** No system takes a longer one. */
const LONGEST_PATH = 4096;

function leadsOut(traceFolder: string, path: string): string {
  const folder = dirname(isAbsolute(path) ? path : join(traceFolder, path));
  return `${INSIDE}, found a path that leads out of it; --allow-path ${folder} allows it`;
}

/** A path without symbolic links; null where it is not there. */
function realOf(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

/** What of a path is there, without symbolic links. */
function deepestReal(path: string): string {
  for (let at = path; ; at = dirname(at)) {
    const real = realOf(at);
    if (real !== null || dirname(at) === at) return real ?? at;
  }
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
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
      return openRanges(file, options);
    case "raw":
      return openRaw(file, options.baseHi ?? 0, options.baseLo ?? 0);
    case "kdump":
      return openDump(file, options);
    default:
      return openByContent(file, options);
  }
}

/** LiME's format, or AVML's compressed form of it. */
function openRanges(file: SnapshotFile, options: SnapshotOptions): MemoryImage | string {
  const head = Buffer.alloc(AVML_MAGIC.length);
  file.read(0, head);
  return head.toString("latin1") === AVML_MAGIC ? openAvml(file, options) : openLime(file);
}

/** A compressed dump, flattened or not. */
function openDump(file: SnapshotFile, options: SnapshotOptions): MemoryImage | string {
  const head = Buffer.alloc(FLATTENED_MAGIC.length);
  file.read(0, head);
  if (head.toString("latin1") !== FLATTENED_MAGIC) return openKdump(file, file, options);
  const dump = FlattenedDump.open(file);
  return typeof dump === "string" ? dump : openKdump(file, dump, options);
}

/** What names of files promise, which raw memory would not keep. */
const NAMED: Readonly<Record<string, string>> = {
  ".elf": "an ELF core",
  ".lime": "a LiME file",
  ".kdump": "a kdump",
};

function openByContent(file: SnapshotFile, options: SnapshotOptions): MemoryImage | string {
  const head = Buffer.alloc(16);
  const text = head.toString("latin1", 0, file.read(0, head));
  if (text.startsWith(ELF_MAGIC)) return openElfCore(file);
  if (text.startsWith(KDUMP_MAGIC) || text.startsWith(FLATTENED_MAGIC)) return openDump(file, options);
  if (head.readUInt32LE(0) === LIME_MAGIC || head.readUInt32BE(0) === LIME_MAGIC) return openLime(file);
  if (text.startsWith(AVML_MAGIC)) return openAvml(file, options);
  const content = contentOf(text);
  if (content !== undefined)
    return `${file.name}: expected guest memory (an ELF core, LiME, kdump or a raw image), found ${content}`;
  const named = NAMED[extname(file.name).toLowerCase()];
  if (named !== undefined)
    return `${file.name}: expected ${named}, as its name says, found no header of one; raw memory has another name, or "format":"raw"`;
  return openRaw(file, options.baseHi ?? 0, options.baseLo ?? 0);
}
