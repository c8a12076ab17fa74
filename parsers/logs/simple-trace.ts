/**
 * Traces of QEMU's "simple" backend, version 4 (trace/simple.c): events as their arguments. They become the lines that the
 * log backend prints, so that one reader serves both.
 */
import type { Feed } from "../trace/line-feed.ts";
import type { LineTaker } from "./log-cutter.ts";
import { EVENT_FORMATS } from "./qemu-event-formats.ts";

/** The file begins with the id of the header, a magic number and the version, 64 bits each. */
const HEADER_ID = 0xffff_ffff_ffff_ffffn;
const MAGIC = 0xf2b1_77cb_0aa4_29b4n;
export const MAGIC_BYTES = 16;
const HEADER_BYTES = 24;
const VERSION = 4n;
/** Types of records. */
const MAPPING = 0n;
const EVENT = 1n;
const TYPE_BYTES = 8;
/** A mapping: id, length of the name, name. */
const MAPPING_HEAD = 12;
/** An event: id, time, length with this head, process id, arguments. */
const EVENT_HEAD = 24;
/** The event of QEMU that says how many were dropped. */
const DROPPED = 0xffff_ffff_ffff_fffen;
/** Longest record, and most events, of a file that makes sense: QEMU's names and texts have up to 512 bytes. */
const MAX_RECORD = 64 * 1024;
const MAX_EVENTS = 1 << 16;
const CHUNK_BYTES = 256 * 1024;
const NANOSECONDS = 1_000_000_000n;

/** @param bytes at least MAGIC_BYTES of the start of a file */
export function isSimpleTrace(bytes: Uint8Array, length: number): boolean {
  if (length < MAGIC_BYTES) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  return view.getBigUint64(0, true) === HEADER_ID && view.getBigUint64(8, true) === MAGIC;
}

/** Reads a trace, record by record; an event's number is that of its line. */
export class SimpleTrace implements Feed {
  lines = 0;
  /** It makes no sense any more. */
  #broken = false;
  readonly buffer = new Uint8Array(CHUNK_BYTES + MAX_RECORD);
  readonly #view = new DataView(this.buffer.buffer);
  readonly #text = Buffer.from(this.buffer.buffer);
  readonly #taker: LineTaker;
  readonly #names = new Map<bigint, string>();
  #fill = 0;
  #begun = false;

  constructor(taker: LineTaker) {
    this.#taker = taker;
  }

  get done(): boolean {
    return this.#broken || this.#taker.stopped === true;
  }

  /** A piece is worked on at once: it takes some milliseconds. */
  get busy(): boolean {
    return false;
  }

  work(): void {}

  get room(): number {
    return this.buffer.length - this.#fill;
  }

  reserve(): number {
    return this.#fill;
  }

  added(n: number): void {
    this.#fill += n;
    let at = 0;
    while (!this.done) {
      const bytes = this.#begun ? this.#record(at) : this.#header();
      if (bytes === 0) break;
      at += bytes;
    }
    this.buffer.copyWithin(0, at, this.#fill);
    this.#fill -= at;
  }

  finish(): void {
    if (this.#fill > 0 && !this.done)
      this.breakOff(`expected a whole record, found ${this.#fill} bytes of one`);
    else this.#taker.finish(this.lines);
  }

  breakOff(message: string): void {
    this.#broken = true;
    this.#taker.finish(this.lines);
    this.#taker.breakOff(this.lines + 1, message);
  }

  /** @returns bytes read, 0 where more are needed */
  #header(): number {
    if (this.#fill < HEADER_BYTES) return 0;
    this.#begun = true;
    const version = this.#view.getBigUint64(16, true);
    if (version !== VERSION)
      this.breakOff(`expected version ${VERSION} of QEMU's simple trace, found ${version}`);
    return HEADER_BYTES;
  }

  #record(at: number): number {
    const view = this.#view;
    if (this.#fill - at < TYPE_BYTES + EVENT_HEAD && this.#fill - at < TYPE_BYTES + MAPPING_HEAD) return 0;
    const type = view.getBigUint64(at, true);
    const start = at + TYPE_BYTES;
    if (type === MAPPING) {
      const length = MAPPING_HEAD + view.getUint32(start + 8, true);
      if (!this.#whole(start, length)) return 0;
      if (this.#names.size < MAX_EVENTS)
        this.#names.set(
          view.getBigUint64(start, true),
          this.#text.toString("latin1", start + MAPPING_HEAD, start + length),
        );
      return TYPE_BYTES + length;
    }
    if (type !== EVENT) {
      this.breakOff(`record after ${this.lines} events: expected type 0 or 1, found ${type}`);
      return 0;
    }
    if (this.#fill - start < EVENT_HEAD) return 0;
    const length = view.getUint32(start + 16, true);
    if (length < EVENT_HEAD) {
      this.breakOff(`event ${this.lines + 1}: expected a length of at least ${EVENT_HEAD}, found ${length}`);
      return 0;
    }
    if (!this.#whole(start, length)) return 0;
    this.lines++;
    this.#event(start, start + length);
    return TYPE_BYTES + length;
  }

  #whole(start: number, length: number): boolean {
    if (length > MAX_RECORD)
      this.breakOff(
        `record after ${this.lines} events: expected at most ${MAX_RECORD} bytes, found ${length}`,
      );
    return !this.done && this.#fill - start >= length;
  }

  #event(start: number, end: number): void {
    const view = this.#view;
    const id = view.getBigUint64(start, true);
    if (id === DROPPED) {
      const count = end - start >= EVENT_HEAD + 8 ? view.getBigUint64(start + EVENT_HEAD, true) : 1n;
      this.#taker.dropped?.(this.lines, Number(count));
      return;
    }
    const name = this.#names.get(id) ?? `event ${id}`;
    const message = this.#message(name, start + EVENT_HEAD, end);
    const time = view.getBigUint64(start + 8, true);
    const fraction = (time % NANOSECONDS).toString().padStart(9, "0");
    const stamp = `${view.getUint32(start + 20, true)}@${time / NANOSECONDS}.${fraction}`;
    this.#taker.line(this.lines, `${stamp}:${name} ${message}`);
  }

  /** The message of the version whose arguments fill the record; "" where none does. */
  #message(name: string, start: number, end: number): string {
    for (const format of EVENT_FORMATS[name] ?? []) {
      const message = this.#fillIn(format, start, end);
      if (message !== undefined) return message;
    }
    return "";
  }

  #fillIn(format: string, start: number, end: number): string | undefined {
    let at = start;
    let fits = true;
    const view = this.#view;
    const message = format.replace(/%[xdsu24]/g, (spec) => {
      if (spec === "%s") {
        const length = end - at >= 4 ? view.getUint32(at, true) : end;
        fits &&= end - at - 4 >= length;
        if (!fits) return "";
        at += 4 + length;
        return this.#text.toString("utf8", at - length, at);
      }
      fits &&= end - at >= 8;
      if (!fits) return "";
      at += 8;
      return numberText(spec, view.getBigUint64(at - 8, true));
    });
    return fits && at === end ? message : undefined;
  }
}

function numberText(spec: string, value: bigint): string {
  switch (spec) {
    case "%x":
      return `0x${value.toString(16)}`;
    case "%2":
      return value.toString(16).padStart(2, "0");
    case "%4":
      return value.toString(16).padStart(4, "0");
    default:
      return BigInt.asIntN(64, value).toString();
  }
}
