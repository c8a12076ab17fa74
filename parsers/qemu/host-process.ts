/** The process of a QEMU on this machine, as /proc shows it: to read guest memory where it lies, and how it was started. */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { resolve } from "node:path";

/** What can be known of the process behind a UNIX socket; undefined where it is not ours to look at. */
export function processBehind(socketPath: string): number | undefined {
  try {
    const inodes = inodesOf(readFileSync("/proc/net/unix", "latin1"), resolve(socketPath), socketPath);
    if (inodes.size === 0) return undefined;
    for (const pid of readdirSync("/proc"))
      if (/^\d+$/.test(pid) && holds(pid, (target) => inodes.has(target))) return Number(pid);
  } catch {
    // Not Linux, or /proc is hidden.
  }
  return undefined;
}

function inodesOf(table: string, ...paths: string[]): Set<string> {
  const found = new Set<string>();
  for (const line of table.split("\n")) {
    // Num RefCount Protocol Flags Type St Inode Path
    const columns = line.trim().split(/\s+/);
    if (columns.length >= 8 && paths.includes(columns.slice(7).join(" ")))
      found.add(`socket:[${columns[6]}]`);
  }
  return found;
}

/** Whether a process has a file open, as far as that can be seen. */
export function hasOpen(pid: number, path: string): boolean {
  return holds(String(pid), (target) => target === path);
}

function holds(pid: string, wanted: (target: string) => boolean): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return wanted(readlinkSync(`/proc/${pid}/fd/${fd}`));
      } catch {
        return false;
      }
    });
  } catch {
    return false;
  }
}

/** The words of a process's command line; none where they cannot be read. */
export function commandLineOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch {
    return [];
  }
}

/** Reads the memory of a process. */
export class ProcessMemory {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** @returns null where this is not allowed */
  static open(pid: number): ProcessMemory | null {
    try {
      return new ProcessMemory(openSync(`/proc/${pid}/mem`, "r"));
    } catch {
      return null;
    }
  }

  /** @returns null where it cannot be read */
  read(address: bigint, bytes: number): Uint8Array | null {
    const page = Buffer.alloc(bytes);
    try {
      return readSync(this.#fd, page, 0, bytes, address) === bytes ? page : null;
    } catch {
      return null;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
