import { statSync } from "node:fs";
import { dirname } from "node:path";
import type { Options } from "yargs";
import { CliError } from "../errors.ts";
import { once } from "../options.ts";
import { parseSize } from "../size.ts";

/** Options of every command that replays a trace: what it may read, and how much memory that may take. */
export const MEMORY_OPTIONS = {
  "memory-limit": {
    describe: "Memory for snapshots and for what caches may hold, e.g. 512M; past it the oldest goes",
    type: "string",
    requiresArg: true,
    default: "1G",
  },
  "max-line": {
    describe: "Longest line that is read, e.g. 64M, 512M at most; a longer one is an error record",
    type: "string",
    requiresArg: true,
    default: "16M",
  },
  "base-folder": {
    describe:
      "Folder that the paths of snapshots begin in [default: the trace's own, the working directory for -]",
    type: "string",
    requiresArg: true,
  },
  "allow-path": {
    describe: "File or folder that snapshots may be read from beside that folder; repeatable",
    type: "string",
    requiresArg: true,
  },
} as const satisfies Record<string, Options>;

export interface MemoryArguments {
  memoryLimit: string;
  maxLine: string;
  baseFolder?: string | string[];
  allowPath?: string | string[];
}

export interface MemoryLimits {
  readonly snapshotCacheBytes: number;
  readonly memoryLimit: number;
  readonly maxLineBytes: number;
  readonly allowPaths: readonly string[];
  /** Undefined: the trace's own. */
  readonly baseFolder: string | undefined;
}

/** The folder that the paths of a trace's snapshots begin in. */
export function folderOf(trace: string, { baseFolder }: MemoryLimits): string {
  return baseFolder ?? (trace === "-" ? "." : dirname(trace));
}

function folder(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory() === true) return path;
  const found = stat === undefined ? "no such folder" : "a file";
  throw new CliError(`--base-folder: expected a folder, found ${found}: ${path}`, true);
}

/** What of the memory limit caches a snapshot's file: 48 MiB of 1 GiB; the rest is for the caches' model. */
const SNAPSHOT_SHARE = 48 / 1024;

export function memoryOptions(args: MemoryArguments): MemoryLimits {
  const limit = parseSize("--memory-limit", once("--memory-limit", args.memoryLimit));
  const snapshotCacheBytes = Math.floor(limit * SNAPSHOT_SHARE);
  return {
    snapshotCacheBytes,
    memoryLimit: limit - snapshotCacheBytes,
    maxLineBytes: parseSize("--max-line", once("--max-line", args.maxLine)),
    allowPaths: args.allowPath === undefined ? [] : [args.allowPath].flat(),
    baseFolder: args.baseFolder === undefined ? undefined : folder(once("--base-folder", args.baseFolder)),
  };
}
