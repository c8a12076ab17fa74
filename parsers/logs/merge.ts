import type { ByteSource } from "../trace/byte-source.ts";
import { isTraceError } from "../trace/errors.ts";
import { CarriedLine } from "./carriers.ts";
import { type Instant, instantOf } from "./log-clock.ts";
import { type LineTaker, LogCutter } from "./log-cutter.ts";

/** A line of one of several logs. */
export interface MergedLine {
  readonly number: number;
  /** Offset in its log. */
  readonly position: number;
  readonly raw: string;
  readonly instant: Instant | null;
}

/** The lines of one log, read ahead a chunk at a time. */
export class LogCursor implements LineTaker {
  /** Why the log broke off, "" where it did not. */
  broken = "";
  /** All lines: which ones follow others is known only when they are merged. */
  readonly wanted = Number.POSITIVE_INFINITY;
  readonly #source: ByteSource;
  readonly #cutter: LogCutter;
  readonly #carried = new CarriedLine();
  #lines: MergedLine[] = [];
  #next = 0;
  #ended = false;
  /** Where a line has no time of its own, it is that of the line before. */
  #instant: Instant | null = null;

  constructor(source: ByteSource) {
    this.#source = source;
    this.#cutter = new LogCutter(this, []);
  }

  get lines(): number {
    return this.#cutter.lines;
  }

  line(number: number, raw: string): void {
    this.#carried.take(number, raw);
    this.#instant = instantOf(this.#carried.ts) ?? this.#instant;
    this.#lines.push({ number, position: this.#cutter.position, raw, instant: this.#instant });
  }

  longLine(): void {}
  finish(): void {}
  breakOff(_line: number, message: string): void {
    this.broken = message;
  }

  /** The line that comes next, or null at the end. */
  async peek(): Promise<MergedLine | null> {
    while (this.#next === this.#lines.length) {
      if (this.#ended) return null;
      this.#lines = [];
      this.#next = 0;
      await this.#read();
    }
    return this.#lines[this.#next]!;
  }

  take(): void {
    this.#next++;
  }

  close(): Promise<void> {
    return this.#source.close();
  }

  async #read(): Promise<void> {
    const cutter = this.#cutter;
    try {
      const at = cutter.reserve();
      const n = await this.#source.read(cutter.buffer, at, cutter.room);
      if (n > 0) {
        cutter.added(n);
        return;
      }
      cutter.finish();
    } catch (error) {
      if (!isTraceError(error)) throw error;
      cutter.breakOff(error.message);
    }
    this.#ended = true;
  }
}

/**
 * Gives the lines of several logs in the order of their time. A log whose lines have no time goes before those that
 * have; of stamps that do not compare, those of the log that was named first go first.
 * @param chunk called now and then
 */
export async function mergeLines(
  cursors: readonly LogCursor[],
  take: (log: number, line: MergedLine) => void,
  chunk: () => Promise<void>,
): Promise<void> {
  for (let taken = 1; ; taken++) {
    let first = -1;
    let earliest: MergedLine | null = null;
    for (let i = 0; i < cursors.length; i++) {
      const line = await cursors[i]!.peek();
      if (line === null || (earliest !== null && !isBefore(line.instant, earliest.instant))) continue;
      first = i;
      earliest = line;
    }
    if (earliest === null) return;
    cursors[first]!.take();
    take(first, earliest);
    if (taken % LINES_PER_CHUNK === 0) await chunk();
  }
}

const LINES_PER_CHUNK = 4096;

function isBefore(a: Instant | null, b: Instant | null): boolean {
  if (a === null || b === null) return a === null && b !== null;
  return a.clock === b.clock && a.seconds < b.seconds;
}
