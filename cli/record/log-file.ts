import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readSync,
  realpathSync,
  statSync,
  writeSync,
} from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { hasOpen } from "../../parsers/qemu/host-process.ts";
import type { QmpClient } from "../../parsers/qemu/qmp.ts";
import { CliError, reasonOf } from "../errors.ts";
import type { GuestMachine } from "./machine.ts";

const CHUNK = 1 << 20;

/** Where the events of a recording are written. */
export interface EventLog {
  /** What has become different for whoever runs the QEMU, or "". */
  readonly note: string;
  /** What has become of it while it was written, or "". */
  taken(): string;
  /** QEMU writes no more: the log stands whole at the path that was asked for, and QEMU's is what it was. */
  end(client: QmpClient): Promise<void>;
}

/**
 * Has QEMU write its log to a file of ours. One that has a log already keeps it: what is added to it is copied.
 * @throws QmpError, CliError
 */
export async function openEventLog(machine: GuestMachine, path: string): Promise<EventLog> {
  const own = logOf(machine.commandLine);
  if (own !== null) return new CopiedLog(resolveOf(machine, own), path);
  const text = await machine.client.monitor(`logfile ${path}`);
  if (text.trim() !== "" || !existsSync(path))
    throw new CliError(
      `${path}: expected QEMU to write its log there (its user, AppArmor, SELinux or -sandbox may forbid it), found: ${text.trim() || "no file"}`,
    );
  return new OwnLog(machine, path);
}

/** The log file of a command line: of `-D`, or `file=` of `-trace`. */
function logOf(words: readonly string[]): string | null {
  let found: string | null = null;
  for (const [i, word] of words.entries()) {
    const next = words[i + 1] ?? "";
    if (/^--?D$/.test(word)) found = next;
    else if (/^--?trace$/.test(word)) found = /(?:^|,)file=([^,]+)/.exec(next)?.[1] ?? found;
  }
  return found;
}

function resolveOf({ pid }: GuestMachine, path: string): string {
  return isAbsolute(path) ? path : resolve(`/proc/${pid}/cwd`, path);
}

class OwnLog implements EventLog {
  readonly note: string;
  /** Whether QEMU writes to it still; null where that cannot be seen. */
  readonly #isOpen: (() => boolean) | null;

  constructor({ commandLine: words, pid }: GuestMachine, path: string) {
    const file = realpathSync(path);
    const isOpen = () => pid !== undefined && hasOpen(pid, file);
    this.#isOpen = isOpen() ? isOpen : null;
    const logging = words.length === 0 || words.some((word) => /^--?(?:d|trace)$/.test(word));
    // Opening standard error again would cut a file that it is off: that is no way to give it back.
    this.note = logging
      ? 'QEMU\'s log went to its standard error before, if anywhere, and goes to /dev/null now: "logfile /dev/stderr" in its monitor sends it there again'
      : "";
  }

  taken(): string {
    return this.#isOpen === null || this.#isOpen()
      ? ""
      : "somebody had QEMU write its log elsewhere while recording (another recorder, the monitor's logfile): events are missing";
  }

  async end(client: QmpClient): Promise<void> {
    await client.monitor("logfile /dev/null");
  }
}

/** Copies what a log has more at the end than it had at the beginning. */
class CopiedLog implements EventLog {
  readonly note = "";
  readonly taken = () => "";
  readonly #from: string;
  readonly #to: string;
  readonly #start: number;

  constructor(from: string, to: string) {
    this.#from = from;
    this.#to = to;
    try {
      this.#start = statSync(from).size;
    } catch (error) {
      throw new CliError(
        `${from}: expected the log of this QEMU, to read what is added to it, found ${reasonOf(error)}`,
      );
    }
  }

  async end(): Promise<void> {
    try {
      this.#copy();
    } catch (error) {
      throw new CliError(`${this.#to}: expected a copy of ${this.#from}, found ${reasonOf(error)}`);
    }
  }

  #copy(): void {
    const from = openSync(this.#from, "r");
    try {
      const to = openSync(this.#to, "w");
      try {
        copyBytes(from, to, this.#start);
      } finally {
        closeSync(to);
      }
    } finally {
      closeSync(from);
    }
  }
}

function copyBytes(from: number, to: number, start: number): void {
  const chunk = Buffer.alloc(CHUNK);
  const { size } = fstatSync(from);
  for (let at = start; at < size; ) {
    const bytes = readSync(from, chunk, 0, Math.min(CHUNK, size - at), at);
    if (bytes === 0) return;
    writeSync(to, chunk, 0, bytes);
    at += bytes;
  }
}
