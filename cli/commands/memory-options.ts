import type { Options } from "yargs";
import { once } from "../options.ts";
import { parseSize } from "../size.ts";

/** Options of every command that replays a trace: what it may read, and how much memory that may take. */
export const MEMORY_OPTIONS = {
  "memory-limit": {
    describe: "Bytes of snapshot files kept in memory, e.g. 512M",
    type: "string",
    requiresArg: true,
    default: "48M",
  },
  "max-line": {
    describe: "Longest line that is read, e.g. 64M; a longer one is an error record",
    type: "string",
    requiresArg: true,
    default: "16M",
  },
  "allow-path": {
    describe: "File or folder that snapshots may be read from beside the trace's own folder; repeatable",
    type: "string",
    requiresArg: true,
  },
} as const satisfies Record<string, Options>;

export interface MemoryArguments {
  memoryLimit: string;
  maxLine: string;
  allowPath?: string | string[];
}

export interface MemoryLimits {
  readonly snapshotCacheBytes: number;
  readonly maxLineBytes: number;
  readonly allowPaths: readonly string[];
}

export function memoryOptions(args: MemoryArguments): MemoryLimits {
  return {
    snapshotCacheBytes: parseSize("--memory-limit", once("--memory-limit", args.memoryLimit)),
    maxLineBytes: parseSize("--max-line", once("--max-line", args.maxLine)),
    allowPaths: args.allowPath === undefined ? [] : [args.allowPath].flat(),
  };
}
