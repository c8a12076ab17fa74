/**
 * Records that are not one a line: an array of records, or records that are pretty-printed or stand behind one
 * another. stream-json cuts the text into tokens; each record's tokens become the text of one line again, which is
 * read as any line is. So the messages and the values are the same, and a number keeps all of its digits. Behind a mistake
 * it goes on with the next object that begins a line as records do.
 */
import type { Token, TokenSource } from "stream-json/core/parser.js";
import { NEWLINE } from "./json-syntax.ts";
import { type Feed, type FeedOptions, SLACK_BYTES, sliceEnd, tooLong } from "./line-feed.ts";
import { LineReader } from "./line-reader.ts";
import type { TraceHandler } from "./record-source.ts";
import { DMA, RecordScanner } from "./scanner.ts";
import { cutCharacter, wellFormedLength } from "./utf8.ts";

/** Characters that are tokenized at once at most: an error's place is known to within one piece. */
const PIECE_CHARS = 4096;
const CHUNK_BYTES = 64 * 1024;
/** Levels of nesting beyond which a document is given up. */
const MAX_DEPTH = 1_000_000;
/** As much white space as ends any token. */
const END_OF_TOKENS = " ".repeat(32);

export async function documentFeed(handler: TraceHandler, options: FeedOptions): Promise<Feed> {
  // Most traces are line-delimited and need not wait for stream-json to load.
  const { jsonParser } = await import("stream-json/core/parser.js");
  return new DocumentFeed(handler, options, () => jsonParser({ packValues: false, jsonStreaming: true }));
}

class DocumentFeed implements Feed {
  readonly buffer: Uint8Array = new Uint8Array(CHUNK_BYTES);
  lines = 1;
  done = false;
  readonly #handler: TraceHandler;
  readonly #records: RecordAssembler;
  readonly #parser: () => TokenSource;
  #tokenize: TokenSource;
  /** Columns before a record that begins a line; -1 where none has. */
  #indent = -1;
  /** Behind a mistake: what stands here is of no record. */
  #lost = false;
  /** The line of the last mistake: one of a line is enough. */
  #told = 0;
  /** Characters of the current line that have been tokenized. */
  #column = 0;
  /** Text that does not make a piece yet. */
  #held = "";
  /** Text, and how far it has been tokenized, while there is more of it than there was time for. */
  #text = "";
  #at = 0;
  busy = false;
  /** Bytes at the start of the buffer that are the beginning of a character. */
  #cut = 0;
  /** What comes behind the text is not UTF-8. */
  #broken = false;

  constructor(handler: TraceHandler, options: FeedOptions, parser: () => TokenSource) {
    this.#handler = handler;
    this.#records = new RecordAssembler(handler, options);
    this.#parser = parser;
    this.#tokenize = parser();
  }

  get room(): number {
    return CHUNK_BYTES - this.#cut;
  }

  reserve(): number {
    return this.#cut;
  }

  added(n: number): void {
    const bytes = this.buffer;
    const length = this.#cut + n;
    const whole = length - cutCharacter(bytes, length);
    const good = wellFormedLength(bytes, 0, whole);
    this.#text = this.#held + decoder.decode(bytes.subarray(0, good));
    this.#broken = good < whole;
    bytes.copyWithin(0, whole, length);
    this.#cut = length - whole;
    this.work();
  }

  work(): void {
    this.busy = this.#tokenizeText();
    if (!this.busy && this.#broken) this.#fail("expected UTF-8, found other bytes");
  }

  finish(): void {
    if (this.#cut > 0) this.#fail("expected UTF-8, found part of a character");
    this.#piece(this.#held);
    const column = this.#column;
    this.#piece(END_OF_TOKENS);
    this.#column = column;
    const open = this.#lost ? "" : this.#records.open;
    if (open !== "") this.#fail(`expected the end of ${open}, found the end of the input`);
  }

  breakOff(message: string): void {
    if (this.#handler.stopped !== true) this.#handler.error(this.lines, "io", message);
  }

  /**
   * Tokenizes text, in pieces that the text alone decides, so that an error says the same however the input
   * came. They end at each newline, to know the line of a record, and at each closing brace, so that an error later
   * in the text does not take whole records with it.
   * @returns whether some is left for want of time
   */
  #tokenizeText(): boolean {
    const all = this.#text;
    const pause = sliceEnd();
    while (!this.done) {
      const at = this.#at;
      PIECE_END.lastIndex = at;
      const found = PIECE_END.test(all) ? PIECE_END.lastIndex : Number.POSITIVE_INFINITY;
      const end = Math.min(found, at + PIECE_CHARS);
      if (end > all.length) break;
      this.#piece(all.slice(at, end));
      this.#at = end;
      if (performance.now() > pause) return true;
    }
    this.#held = all.slice(this.#at);
    this.#text = "";
    this.#at = 0;
    return false;
  }

  #piece(text: string): void {
    if (this.done) return;
    const begins = this.#beginsRecord(text);
    if (this.#lost && begins) this.#resume();
    if (!this.#lost && !this.#take(text) && begins) {
      this.#resume();
      this.#take(text);
    }
    if (this.done) return;
    this.#column += text.length;
    if (text.endsWith("\n")) {
      this.lines++;
      this.#column = 0;
    }
    if (this.#records.depth > MAX_DEPTH) this.#fail(`expected at most ${MAX_DEPTH} levels, found more`);
  }

  /** Whether an object begins a line here, as far to the left as records do. */
  #beginsRecord(text: string): boolean {
    if (this.#column > 0) return false;
    const indent = text.search(/[^ \t]/);
    if (text[indent] !== "{") return false;
    if (this.#indent < 0 && !this.#lost && !this.#records.inRecord) this.#indent = indent;
    return this.#indent < 0 || indent <= this.#indent;
  }

  /** Begins anew, in an array where the last record was in one. */
  #resume(): void {
    const { inArray } = this.#records;
    this.#tokenize = this.#parser();
    this.#lost = false;
    this.#records.reset();
    if (inArray) this.#take("[");
  }

  /** @returns false where the text is not what may follow: that has been said */
  #take(text: string): boolean {
    let tokens: ReturnType<TokenSource>;
    try {
      tokens = this.#tokenize(text);
    } catch (error) {
      const why = (error as Error).message.replace(/^Parser (cannot parse input:|has) /, "");
      if (this.#told !== this.lines) this.#wrong(`expected JSON, found none (${why})`);
      this.#told = this.lines;
      this.#lost = true;
      return false;
    }
    if (typeof tokens === "object" && "values" in tokens)
      for (const token of tokens.values as Token[]) {
        this.#records.take(token, this.lines);
        if (this.#handler.stopped === true) {
          this.done = true;
          break;
        }
      }
    return true;
  }

  #fail(message: string): void {
    if (this.done) return;
    this.done = true;
    this.#wrong(message);
  }

  #wrong(message: string): void {
    this.#handler.error(this.lines, "json", `after column ${this.#column}: ${message}`);
    this.done ||= this.#handler.stopped === true;
  }
}

/** Puts tokens together to the text of records, and reads each. */
class RecordAssembler {
  /** Nesting, an array of records included. */
  depth = 0;
  readonly #handler: TraceHandler;
  readonly #reader: LineReader;
  readonly #strict: boolean;
  readonly #scanner: RecordScanner;
  readonly #maxBytes: number;
  /** Depth at which records are: 1 within an array of records. */
  #base = 0;
  /** The record under way: its line, and its text as far as it goes. */
  #inRecord = false;
  #line = 0;
  #text = "";
  #tooLong = false;
  /** No comma is due before the next value or field name. */
  #fresh = true;
  #bytes: Uint8Array = new Uint8Array(4096);

  constructor(handler: TraceHandler, options: FeedOptions) {
    this.#handler = handler;
    const reader = new LineReader(options.names, handler, options.strict);
    this.#reader = reader;
    this.#scanner = new RecordScanner(options.names, reader.dma, reader.mem, reader.harmless);
    this.#strict = options.strict ?? false;
    this.#maxBytes = options.maxLineBytes;
  }

  get inRecord(): boolean {
    return this.#inRecord;
  }

  get inArray(): boolean {
    return this.#base > 0;
  }

  /** As at the start: what has begun is given up. */
  reset(): void {
    this.depth = 0;
    this.#base = 0;
    this.#inRecord = false;
  }

  /** What has begun and not ended, in words; "" where nothing has. */
  get open(): string {
    if (this.#inRecord) return `the record that began on line ${this.#line}`;
    return this.depth > 0 ? "the array of records" : "";
  }

  take(token: Token, line: number): void {
    switch (token.name) {
      case "startArray":
        if (this.depth === 0) {
          this.#base = 1;
          this.depth = 1;
          return;
        }
        this.#begin("[", line);
        this.#nest();
        return;
      case "startObject":
        this.#begin("{", line);
        this.#nest();
        return;
      case "endArray":
      case "endObject":
        this.depth--;
        if (this.depth < this.#base) {
          this.#base = 0;
          return;
        }
        this.#append(token.name === "endArray" ? "]" : "}");
        this.#end();
        return;
      case "startKey":
      case "startString":
        this.#begin('"', line);
        return;
      case "endKey":
        this.#append('":');
        this.#fresh = true;
        return;
      case "endString":
        this.#append('"');
        this.#end();
        return;
      case "stringChunk":
        this.#append(JSON.stringify(token.value).slice(1, -1));
        return;
      case "startNumber":
        this.#begin("", line);
        return;
      case "numberChunk":
        this.#append(token.value);
        return;
      case "endNumber":
        this.#end();
        return;
      case "nullValue":
      case "trueValue":
      case "falseValue":
        this.#begin(`${token.value}`, line);
        this.#end();
        return;
    }
  }

  #begin(text: string, line: number): void {
    if (!this.#inRecord) {
      this.#inRecord = true;
      this.#line = line;
      this.#text = "";
      this.#tooLong = false;
      this.#fresh = true;
    }
    this.#append(this.#fresh ? text : `,${text}`);
    this.#fresh = false;
  }

  #nest(): void {
    this.depth++;
    this.#fresh = true;
  }

  #append(text: string): void {
    if (this.#tooLong) return;
    this.#text += text;
    if (this.#text.length <= this.#maxBytes) return;
    this.#tooLong = true;
    this.#text = "";
  }

  /** A value has ended: the record, where it is one. */
  #end(): void {
    this.#fresh = false;
    if (this.depth > this.#base) return;
    this.#inRecord = false;
    if (this.#tooLong) {
      this.#handler.error(this.#line, "json", tooLong("record", this.#maxBytes));
      return;
    }
    const room = this.#text.length * 3 + SLACK_BYTES;
    if (room > this.#bytes.length) this.#bytes = new Uint8Array(room * 2);
    const end = encoder.encodeInto(this.#text, this.#bytes).written;
    this.#bytes[end] = NEWLINE;
    this.#scanner.use(this.#bytes);
    if (this.#strict || this.#scanner.scan(0) < 0) this.#reader.read(this.#line, this.#bytes, 0, end);
    else if (this.#scanner.type === DMA) this.#handler.dma(this.#line, this.#reader.dma);
    else this.#handler.mem(this.#line, this.#reader.mem);
  }
}

const PIECE_END = /[\n}]/g;
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();
