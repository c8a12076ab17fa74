import { randomUUID } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  realpathSync,
  renameSync,
  unlinkSync,
  write,
} from "node:fs";
import { Socket } from "node:net";
import { basename, dirname, join } from "node:path";
import type { Writable } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { isatty } from "node:tty";
import { printablePainted } from "../pipeline/words/paint.ts";
import { CliError, ClosedPipe, reasonOf, systemCode } from "./errors.ts";
import { NEVER } from "./signals.ts";

/** Where a command's output goes. What is given to one `write` is there as a whole, or not at all. */
export interface Output {
  /** For messages. */
  readonly name: string;
  /** Somebody sees it as it is written. */
  readonly terminal?: boolean;
  /**
   * @param file which one, where it is a folder
   * @throws ClosedPipe where nobody reads any more
   * @throws CliError where it cannot be written
   */
  write(data: Uint8Array | string, file?: string): Promise<void>;
  /** Everything is written: closes, and puts a file under its name. */
  finish(): Promise<void>;
  /** Something went wrong: closes, and leaves no half-written file. */
  abandon(): void;
  /** Lets the write under way end and takes no further one: settles when it is safe to leave the process. */
  halt(): Promise<void>;
}

const STDOUT = 1;

/** Standard output. */
export function standardOutput(): Output {
  const stat = fstatSync(STDOUT);
  const streamed = stat.isFIFO() || stat.isSocket() || isatty(STDOUT);
  // A file or device is written with our own loop: node's synchronous stream would lose the rest of a short write.
  const sink = streamed ? streamSink(process.stdout) : descriptorSink(STDOUT);
  return new SinkOutput("standard output", sink, {}, isatty(STDOUT));
}

/**
 * A file by its path, "-" for standard output. A regular file appears under its name, or replaces the one there,
 * only when all of it is written; until then it stands beside it as `.<name>.<random>.tmp`. Devices and FIFOs are
 * written directly.
 */
export function openOutput(path: string): Output {
  if (path === "-") return standardOutput();
  try {
    const target = targetOf(path);
    const existing = lstatSync(target, { throwIfNoEntry: false });
    if (existing?.isFIFO()) return new SinkOutput(path, pipeSink(target), {});
    if (existing !== undefined && !existing.isFile()) {
      const fd = openSync(target, constants.O_WRONLY);
      return new SinkOutput(path, descriptorSink(fd), { close: () => closeSync(fd) });
    }
    // A process of that number may have been killed over it, here or on another machine that shares the folder.
    const partial = join(dirname(target), `.${basename(target)}.${randomUUID()}.tmp`);
    const fd = openSync(partial, "wx", existing?.mode ?? 0o666);
    return new SinkOutput(path, descriptorSink(fd), {
      close: () => closeSync(fd),
      commit: () => {
        fsyncSync(fd);
        renameSync(partial, target);
      },
      remove: () => unlinkSync(partial),
    });
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

/** The file that a path leads to through symbolic links; the path itself where there is none yet. */
function targetOf(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return path;
    throw error;
  }
}

/** Writes all of a buffer; settles with what went wrong, or null. */
type Sink = (bytes: Buffer) => Promise<unknown>;

interface Ending {
  readonly close?: () => void;
  readonly commit?: () => void;
  readonly remove?: () => void;
}

class SinkOutput implements Output {
  readonly name: string;
  readonly terminal: boolean;
  readonly #sink: Sink;
  readonly #ending: Ending;
  #pending: Promise<unknown> = Promise.resolve();
  #halted = false;

  constructor(name: string, sink: Sink, ending: Ending, terminal = false) {
    this.name = name;
    this.terminal = terminal;
    this.#sink = sink;
    this.#ending = ending;
  }

  async write(data: Uint8Array | string): Promise<void> {
    if (this.#halted) return NEVER;
    // Text may quote an input, whose escape sequences are not for this terminal.
    const bytes = typeof data === "string" ? Buffer.from(printablePainted(data), "utf8") : viewOf(data);
    if (bytes.length === 0) return;
    const pending = this.#sink(bytes);
    this.#pending = pending;
    const error = await pending;
    if (error === null) return;
    if (systemCode(error) === "EPIPE") throw new ClosedPipe();
    throw cannotWrite(this.name, error);
  }

  async finish(): Promise<void> {
    if (this.#halted) return NEVER;
    try {
      this.#ending.commit?.();
      this.#ending.close?.();
    } catch (error) {
      throw cannotWrite(this.name, error);
    }
  }

  abandon(): void {
    try {
      this.#ending.close?.();
      this.#ending.remove?.();
    } catch {
      // The trouble that led here is what is reported.
    }
  }

  async halt(): Promise<void> {
    this.#halted = true;
    await this.#pending;
  }
}

function descriptorSink(fd: number): Sink {
  return (bytes) =>
    new Promise((settle) => {
      const go = (from: number): void => {
        write(fd, bytes, from, bytes.length - from, null, (error, written) => {
          if (error !== null && systemCode(error) === "EAGAIN") setTimeout(1).then(() => go(from));
          else if (error !== null) settle(error);
          else if (from + written < bytes.length) go(from + written);
          else settle(null);
        });
      };
      go(0);
    });
}

/** How often it is tried whether a FIFO has a reader yet, in milliseconds. */
const READER_INTERVAL = 20;

/** A FIFO: an open that waits for a reader, or a write to one that has stopped reading, must not keep us from leaving. */
function pipeSink(path: string): Sink {
  let sink: Promise<Sink> | undefined;
  return async (bytes) => {
    try {
      sink ??= pipeOpened(path);
      return await (await sink)(bytes);
    } catch (error) {
      return error;
    }
  };
}

async function pipeOpened(path: string): Promise<Sink> {
  for (;;)
    try {
      const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
      const socket = new Socket({ fd, readable: false, writable: true });
      // What is being written keeps the process; an open end alone does not.
      socket.unref();
      return streamSink(socket);
    } catch (error) {
      // No reader has opened it yet.
      if (systemCode(error) !== "ENXIO") throw error;
      await setTimeout(READER_INTERVAL);
    }
}

function streamSink(stream: Writable): Sink {
  // Without a listener a failed write would end the process; the callback says the same.
  stream.on("error", () => {});
  return (bytes) => new Promise((settle) => stream.write(bytes, (error) => settle(error ?? null)));
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function cannotWrite(name: string, error: unknown): CliError {
  return new CliError(`${name}: expected to write, found ${reasonOf(error)}`);
}
