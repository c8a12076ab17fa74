/**
 * QEMU's trace events as its log backend prints them (scripts/tracetool/backend/log.py): the event's name, a blank, the
 * message. Names and messages differ from version to version: fields are found by what stands before them.
 */
import type { LogLine, LogOutput, LogReader } from "./format.ts";

/** Takes one event. `args` is the message. */
export type EventHandler = (args: string, line: LogLine) => void;

/** Reads lines of events by a table of handlers; an event without one says nothing that a trace holds. */
export class EventReader implements LogReader {
  readonly #output: LogOutput;
  readonly #handlers: ReadonlyMap<string, EventHandler>;

  constructor(output: LogOutput, handlers: Readonly<Record<string, EventHandler>>) {
    this.#output = output;
    this.#handlers = new Map(Object.entries(handlers));
  }

  line(line: LogLine): boolean {
    const { text } = line;
    const blank = text.indexOf(" ");
    const name = blank < 0 ? text : text.slice(0, blank);
    const handler = this.#handlers.get(name);
    if (handler === undefined) this.#output.ignored(name.slice(0, 60));
    else if (isTorn(() => handler(blank < 0 ? "" : text.slice(blank + 1), line)))
      this.#output.ignored(`${name}: torn, or of an unknown version`);
    return true;
  }
}

/** A line that lacks a field: torn by the end of the log or another line, or written by a version that we do not know. */
class MissingField extends Error {}
/** One for all: torn lines may come by the million, and nobody looks at where they were met. */
const missing = new MissingField();

/** Whether a line that is read lacks a field, or has a number that does not fit its field of a structure or command. */
export function isTorn(read: () => void): boolean {
  try {
    read();
    return false;
  } catch (error) {
    if (error instanceof MissingField || error instanceof RangeError) return true;
    throw error;
  }
}

/** The text behind `key` up to a blank, comma or bracket, or undefined. */
export function optionalField(args: string, key: string): string | undefined {
  const at = args.indexOf(key);
  if (at < 0) return undefined;
  const start = at + key.length;
  let end = start;
  for (; end < args.length; end++) {
    const c = args.charCodeAt(end);
    if (c === 0x20 || c === 0x2c || c === 0x29 || c === 0x28) break;
  }
  return args.slice(start, end);
}

const HEX = /^0x[0-9a-f]{1,16}$/i;
const NUMBER = /^(?:0x[0-9a-f]{1,13}|-?\d{1,15})$/i;

/** A number in hexadecimal with 0x behind `key`, as the contract writes it. */
export function hexField(args: string, key: string): string {
  return hexOf(optionalField(args, key));
}

/** A word of hexadecimal digits with 0x, as the contract writes it. */
export function hexOf(word: string | undefined): string {
  if (word === undefined || !HEX.test(word)) throw missing;
  return /^0x(?:0$|[1-9a-f])[0-9a-f]*$/.test(word) ? word : `0x${BigInt(word).toString(16)}`;
}

/** A number below 2^53, decimal or hexadecimal, behind `key`. */
export function numberField(args: string, key: string): number {
  return numberOf(optionalField(args, key));
}

export function optionalNumber(args: string, key: string): number | undefined {
  const word = optionalField(args, key);
  return word === undefined ? undefined : numberOf(word);
}

function numberOf(word: string | undefined): number {
  if (word === undefined || !NUMBER.test(word)) throw missing;
  return Number(word);
}

/** What a whole line says of itself must be so, or the line is torn. */
export function expectWhole(whole: boolean): void {
  if (!whole) throw missing;
}

/** The message must match: the parts that match, or the line is torn. */
export function partsOf(pattern: RegExp, args: string): RegExpExecArray {
  const parts = pattern.exec(args);
  if (parts === null) throw missing;
  return parts;
}

/** "ID NAME VALUE" of `iotab_register`: a register that was written, where the plugin of `record` tells of it. */
export function writtenRegister(args: string): { id: string; name: string; value: string } {
  const [, id, name, value] = partsOf(/^([\w().:-]+) (\w+) (0x[0-9a-f]{1,16})$/, args);
  return { id: id!, name: name!, value: hexOf(value) };
}
