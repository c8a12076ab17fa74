/**
 * Cuts text into records that are not one a line: the elements of an array, or objects over several lines or behind one
 * another. It follows brackets and strings only, a byte at a time, and has each record's text checked as a whole, so that
 * a mistake is told by line and column. What stands behind a mistake is found again: where a bracket is missing, at the
 * one that closes what is around it or at an object that begins a line where none may; else at the next such line.
 */
import { isUtf8 } from "node:buffer";
import { JsonSyntax, NEWLINE } from "./json-syntax.ts";
import { SLACK_BYTES, tooLong } from "./line-feed.ts";
import { quote } from "./show.ts";
import { wellFormedLength } from "./utf8.ts";

export interface CutHandler {
  /**
   * A value, without white space between its tokens: bytes 0 to `end` (exclusive), where a newline is and bytes to spare.
   * @param line the line that it begins on
   */
  value(line: number, bytes: Uint8Array, end: number): void;
  wrong(line: number, message: string): void;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Levels of nesting beyond which a record is given up. */
const MAX_DEPTH = 1_000_000;

/** Between records; in one that is a string, a number or a word; in one with brackets; behind a mistake. */
type Place = "between" | "scalar" | "nested" | "lost";

export class RecordCutter {
  /** The line at hand, from 1. */
  line = 1;
  readonly #handler: CutHandler;
  readonly #maxBytes: number;
  readonly #syntax = new JsonSyntax();
  #place: Place = "between";
  /** Bytes of the line at hand that have been taken, and whether they are white space. */
  #column = 0;
  #fresh = true;
  /** The line that the array of records begins on; 0 outside of one. What its next record waits for. */
  #array = 0;
  #due: "first" | "value" | "comma" = "first";
  /** The record at hand, with newlines as blanks, and where in it lines begin. */
  #bytes: Uint8Array = new Uint8Array(4096);
  #length = 0;
  #tooLong = false;
  readonly #breaks: number[] = [];
  #startLine = 0;
  #startColumn = 0;
  /** Column at which records that begin a line do, as far as the last one told. */
  #indent = Number.POSITIVE_INFINITY;
  /** Its brackets that are open, its last byte that is no white space, and whether a string is open there. */
  #nesting = new Uint8Array(64);
  #depth = 0;
  #last = 0;
  #inString = false;
  #escaped = false;
  /** The first mistake in the record at hand. */
  #mistake: { readonly line: number; readonly message: string } | null = null;
  /** The line of the last mistake that was told: one of a line is enough. */
  #told = 0;

  /** @param maxBytes longest record that is kept */
  constructor(handler: CutHandler, maxBytes: number) {
    this.#handler = handler;
    this.#maxBytes = maxBytes;
  }

  /** Takes bytes `from` to `to` (exclusive), or those up to the end of a record. @returns offset of the first not taken */
  push(bytes: Uint8Array, from: number, to: number): number {
    for (let p = from; p < to; p++) {
      const byte = bytes[p]!;
      if (byte === NEWLINE) {
        const ended = this.#newline();
        this.line++;
        this.#column = 0;
        this.#fresh = true;
        if (ended) return p + 1;
        continue;
      }
      const ended = this.#byte(byte);
      this.#column++;
      if (!isSpace(byte)) this.#fresh = false;
      if (ended) return p + 1;
    }
    return to;
  }

  /** The end of the input. */
  finish(): void {
    if (this.#place === "scalar" && !this.#inString) this.#end();
    const found = "found the end of the input";
    if (this.#place === "scalar" || this.#place === "nested") {
      this.#array = 0;
      this.#giveUp(`expected the end of the record that began on line ${this.#startLine}, ${found}`);
    }
    if (this.#array > 0) this.#wrong(`expected "]" of the array that began on line ${this.#array}, ${found}`);
  }

  /** @returns whether a record has ended */
  #byte(byte: number): boolean {
    switch (this.#place) {
      case "between":
        this.#between(byte);
        return false;
      case "lost":
        if (byte === OPEN_BRACE && this.#fresh && this.#column <= this.#indent) this.#begin(byte);
        return false;
      case "scalar":
        return this.#scalar(byte);
      case "nested":
        return this.#nested(byte);
    }
  }

  #newline(): boolean {
    if (this.#inString) {
      this.#giveUp("expected the string's closing quote, found the end of the line");
      return true;
    }
    if (this.#place === "scalar") {
      this.#end();
      return true;
    }
    if (this.#place === "nested") {
      this.#append(0x20);
      this.#breaks.push(this.#length);
    }
    return false;
  }

  #between(byte: number): void {
    if (isSpace(byte)) return;
    if (this.#array === 0) {
      if (byte === OPEN_BRACKET) {
        this.#array = this.line;
        this.#due = "first";
      } else if (isPunctuation(byte)) this.#wrong(`expected a record, found ${named(byte)}`);
      else this.#begin(byte);
      return;
    }
    const due = this.#due;
    if (byte === CLOSE_BRACKET) {
      if (due === "value") this.#wrong('expected a value, found "]"');
      this.#array = 0;
    } else if (byte === COMMA) {
      if (due !== "comma") this.#wrong('expected a value, found ","');
      this.#due = "value";
    } else {
      if (due === "comma") this.#wrong(`expected "," or "]", found ${named(byte)}`);
      if (!isPunctuation(byte)) this.#begin(byte);
      else if (due !== "comma") this.#wrong(`expected a value, found ${named(byte)}`);
    }
  }

  #begin(byte: number): void {
    this.#length = 0;
    this.#breaks.length = 0;
    this.#tooLong = false;
    this.#mistake = null;
    this.#depth = 0;
    this.#startLine = this.line;
    this.#startColumn = this.#column;
    if (this.#fresh) this.#indent = this.#column;
    this.#place = byte === OPEN_BRACE || byte === OPEN_BRACKET ? "nested" : "scalar";
    this.#inString = byte === QUOTE;
    this.#escaped = false;
    this.#last = byte;
    this.#append(byte);
    if (this.#place === "nested") this.#open(byte);
  }

  #scalar(byte: number): boolean {
    if (this.#inString) {
      this.#string(byte);
      if (!this.#inString) this.#end();
      return !this.#inString;
    }
    const delimits = isSpace(byte) || byte === QUOTE || (byte !== COLON && isPunctuation(byte));
    if (!delimits && byte !== OPEN_BRACE && byte !== OPEN_BRACKET) {
      this.#append(byte);
      return false;
    }
    this.#end();
    this.#between(byte);
    return true;
  }

  #nested(byte: number): boolean {
    if (this.#inString) {
      this.#string(byte);
      return false;
    }
    if (isSpace(byte)) {
      this.#append(byte);
      return false;
    }
    if (byte === OPEN_BRACE && this.#fresh && !this.#mayOpen()) {
      // What is missing is missing from the lines before.
      while (isSpace(this.#bytes[this.#length - 1]!)) this.#length--;
      this.#end();
      this.#begin(byte);
      return true;
    }
    this.#append(byte);
    this.#last = byte;
    if (byte === QUOTE) this.#inString = true;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#open(byte);
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) return this.#close(byte);
    return false;
  }

  #string(byte: number): void {
    this.#append(byte);
    if (this.#escaped) this.#escaped = false;
    else if (byte === BACKSLASH) this.#escaped = true;
    else if (byte === QUOTE) this.#inString = false;
  }

  /** Whether an object may begin here, in another one or an array. */
  #mayOpen(): boolean {
    const last = this.#last;
    const inArray = this.#nesting[this.#depth - 1] === OPEN_BRACKET;
    return last === COLON || last === OPEN_BRACKET || (last === COMMA && inArray);
  }

  #open(byte: number): void {
    if (this.#depth === MAX_DEPTH) {
      this.#giveUp(`expected at most ${MAX_DEPTH} levels, found more`);
      return;
    }
    if (this.#depth === this.#nesting.length) {
      const larger = new Uint8Array(this.#depth * 2);
      larger.set(this.#nesting);
      this.#nesting = larger;
    }
    this.#nesting[this.#depth++] = byte;
  }

  /** Closes what this bracket closes, and what else is open in it. @returns whether the record has ended */
  #close(byte: number): boolean {
    const opener = byte - 2;
    const top = this.#nesting[this.#depth - 1]!;
    if (top === opener) this.#depth--;
    else {
      const expected = top === OPEN_BRACE ? '"," or "}"' : '"," or "]"';
      this.#err(`expected ${expected}, found ${named(byte)}`);
      const at = this.#nesting.subarray(0, this.#depth).lastIndexOf(opener);
      if (at >= 0) this.#depth = at;
      else if (byte === CLOSE_BRACKET && this.#array > 0) {
        // It closes the array of records.
        this.#end();
        this.#array = 0;
        return true;
      }
    }
    if (this.#depth > 0) return false;
    this.#end();
    return true;
  }

  #append(byte: number): void {
    if (this.#tooLong) return;
    if (this.#length === this.#maxBytes) {
      this.#tooLong = true;
      this.#breaks.length = 0;
      this.#err(tooLong("record", this.#maxBytes), this.#startLine);
      return;
    }
    if (this.#length + SLACK_BYTES === this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.#length++] = byte;
  }

  /** Notes what is wrong with the record at hand, here unless said otherwise. */
  #err(message: string, line?: number): void {
    this.#mistake ??=
      line === undefined
        ? { line: this.line, message: `column ${this.#column + 1}: ${message}` }
        : { line, message };
  }

  /** Tells a mistake that is no record's, here. */
  #wrong(message: string): void {
    this.#tell(this.line, `column ${this.#column + 1}: ${message}`);
  }

  #tell(line: number, message: string): void {
    if (this.#told === line) return;
    this.#told = line;
    this.#handler.wrong(line, message);
  }

  /** The record at hand has no end. */
  #giveUp(message: string): void {
    this.#err(message);
    this.#end();
    this.#place = "lost";
  }

  /** The record at hand has ended. */
  #end(): void {
    this.#place = "between";
    this.#inString = false;
    this.#due = "comma";
    const mistake = this.#mistake ?? this.#mistakeIn(this.#length);
    if (mistake === null) {
      this.#give(this.#startLine, this.#length);
      return;
    }
    const lines = this.#linesOfItsOwn();
    const first = this.#breaks[0]!;
    const { line, message } = (lines.length > 0 && this.#mistakeIn(first - 1)) || mistake;
    this.#tell(line, message);
    for (const { line, text } of lines) {
      this.#bytes.set(text);
      this.#give(line, text.length);
    }
  }

  /** What is wrong with the text of the record at hand, up to `end`. */
  #mistakeIn(end: number): { readonly line: number; readonly message: string } | null {
    const bytes = this.#bytes;
    bytes[end] = NEWLINE;
    if (!isUtf8(bytes.subarray(0, end)))
      return this.#at(wellFormedLength(bytes, 0, end), "expected UTF-8, found other bytes");
    if (this.#syntax.whole(bytes, 0, end)) return null;
    return this.#at(this.#syntax.failedAt, this.#syntax.complaint(bytes, end));
  }

  #at(offset: number, message: string): { readonly line: number; readonly message: string } {
    const before = this.#breaks.filter((at) => at <= offset);
    const column = before.length === 0 ? this.#startColumn + offset : offset - before.at(-1)!;
    return { line: this.#startLine + before.length, message: `column ${column + 1}: ${message}` };
  }

  /** A record without an end has swallowed what follows: the lines of it that are records. */
  #linesOfItsOwn(): { readonly line: number; readonly text: Uint8Array }[] {
    const bytes = this.#bytes;
    const lines: { line: number; text: Uint8Array }[] = [];
    this.#breaks.forEach((at, i) => {
      const { from, to } = trimmed(bytes, at, this.#breaks[i + 1] ?? this.#length);
      const behind = bytes[to]!;
      bytes[to] = NEWLINE;
      if (isUtf8(bytes.subarray(from, to)) && isRecord(this.#syntax, bytes, from, to))
        lines.push({ line: this.#startLine + 1 + i, text: bytes.slice(from, to) });
      bytes[to] = behind;
    });
    return lines;
  }

  #give(line: number, length: number): void {
    const end = compacted(this.#bytes, length);
    this.#bytes[end] = NEWLINE;
    this.#handler.value(line, this.#bytes, end);
  }
}

/** A line without the white space around it, and without the comma at its end. */
function trimmed(bytes: Uint8Array, start: number, end: number): { from: number; to: number } {
  let from = start;
  let to = end;
  while (from < to && isSpace(bytes[from]!)) from++;
  while (to > from && (isSpace(bytes[to - 1]!) || bytes[to - 1] === COMMA)) to--;
  return { from, to };
}

/** Whether a line is a whole object with a `type`: bytes `start` to `end` (exclusive), where a newline is. */
export function isRecord(syntax: JsonSyntax, bytes: Uint8Array, start: number, end: number): boolean {
  return (
    bytes[start] === OPEN_BRACE && syntax.whole(bytes, start, end) && syntax.member(bytes, start, "type") >= 0
  );
}

/** Takes the white space between tokens out of a text that is JSON. @returns its length then */
function compacted(bytes: Uint8Array, length: number): number {
  let end = 0;
  let inString = false;
  for (let p = 0; p < length; p++) {
    const byte = bytes[p]!;
    if (!inString && isSpace(byte)) continue;
    bytes[end++] = byte;
    if (byte === QUOTE) inString = !inString;
    else if (byte === BACKSLASH && inString) bytes[end++] = bytes[++p]!;
  }
  return end;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d;
}

/** What no value begins with. */
function isPunctuation(byte: number): boolean {
  return byte === COMMA || byte === COLON || byte === CLOSE_BRACKET || byte === CLOSE_BRACE;
}

/** A byte as messages show it; one of several of a character has no name. */
function named(byte: number): string {
  return byte < 0x80 ? quote(String.fromCharCode(byte)) : "another character";
}
