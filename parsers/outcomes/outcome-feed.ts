/** Reading the output of a replay: its outcomes one by one, and what else is in it. */
import { isUtf8 } from "node:buffer";
import { ACCESS_BITS, ADDRESS_TYPE_OF } from "../trace/accesses.ts";
import { Check, type ErrorCode, isObject, object, oneOf } from "../trace/field.ts";
import { JsonSyntax, skipSpace } from "../trace/json-syntax.ts";
import { type Feed, type FeedOptions, LineCutter } from "../trace/line-feed.ts";
import { OBSERVED_RESULTS, RECORDS } from "../trace/schema.ts";
import { show } from "../trace/show.ts";
import { wellFormedLength } from "../trace/utf8.ts";
import { OutcomeLine } from "./outcome-line.ts";
import { OutcomeScanner } from "./outcome-scanner.ts";

/** Told about every record of a replay's output, in order. Calls are synchronous; nothing that is reused may be kept. */
export interface OutcomeHandler {
  /** @param line line of the record in this stream, from 1 */
  outcome(line: number, record: OutcomeLine): void;
  /** Any other record; a fresh object. */
  record(line: number, type: string, record: Readonly<Record<string, unknown>>): void;
  /** A record that cannot be used. `message` says field, what was expected and what was found, not the line. */
  error(line: number, code: ErrorCode, message: string): void;
}

const { dev, addr, pasid, len, access, priv, at, seq } = RECORDS.dma.fields;
/** What every outcome has in common with its request, and `result`. */
const OUTCOME = object(
  {
    dev,
    addr,
    pasid,
    len,
    access,
    priv,
    at,
    seq,
    result: oneOf(OBSERVED_RESULTS, "What became of the request"),
  },
  "An outcome",
);

/** Outcomes, one a line. */
export class OutcomeFeed extends LineCutter {
  readonly #handler: OutcomeHandler;
  readonly #record = new OutcomeLine();
  readonly #scanner: OutcomeScanner;
  readonly #check: Check;
  readonly #syntax = new JsonSyntax();

  constructor(handler: OutcomeHandler, options: FeedOptions) {
    super(options.maxLineBytes);
    this.#handler = handler;
    this.#scanner = new OutcomeScanner(options.names.devices, this.#record);
    this.#check = new Check(options.names.devices);
  }

  protected override use(bytes: Uint8Array): void {
    this.#scanner.use(bytes);
  }

  protected override scan(start: number): number {
    return this.#scanner.scan(start);
  }

  protected override take(line: number): void {
    this.#handler.outcome(line, this.#record);
  }

  protected override fail(line: number, code: ErrorCode, message: string): void {
    this.#handler.error(line, code, message);
  }

  protected override read(line: number, bytes: Uint8Array, start: number, end: number): void {
    if (!isUtf8(bytes.subarray(start, end))) {
      const wellFormed = wellFormedLength(bytes, start, end);
      this.fail(line, "json", `column ${wellFormed + 1}: expected UTF-8, found other bytes`);
      return;
    }
    let value: unknown;
    try {
      value = JSON.parse(decoder.decode(bytes.subarray(start, end)));
    } catch {
      const why = this.#syntax.explain(bytes, start, end);
      this.fail(line, "json", why ?? "expected one JSON object, found none");
      return;
    }
    if (!isObject(value) || typeof value.type !== "string") {
      const found = show(isObject(value) ? value.type : value);
      this.fail(line, "schema", `type: expected a record type such as "outcome", found ${found}`);
      return;
    }
    if (value.type === "outcome") this.#outcome(line, value, bytes, start, end);
    else this.#handler.record(line, value.type, value);
  }

  #outcome(
    line: number,
    value: Record<string, unknown>,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const check = this.#check;
    check.reset();
    const input = OUTCOME.read(value, "outcome", check);
    if (input === undefined || !check.ok) {
      this.fail(line, check.code as ErrorCode, check.message);
      return;
    }
    const record = this.#record;
    record.clear();
    record.bytes = bytes;
    if (typeof value.line === "number") record.traceLine = value.line;
    record.dev = input.dev.index;
    record.addrHi = input.addr.hi;
    record.addrLo = input.addr.lo;
    if (input.pasid !== undefined) record.pasid = input.pasid;
    if (input.len !== undefined) record.len = input.len;
    if (input.access !== undefined) record.access = ACCESS_BITS[input.access];
    if (input.priv !== undefined) record.priv = input.priv;
    if (input.at !== undefined) record.at = ADDRESS_TYPE_OF[input.at];
    if (input.seq !== undefined) record.seq = input.seq;
    record.start = skipSpace(bytes, start);
    record.end = end;
    this.#handler.outcome(line, record);
  }
}

/** What takes the place of a reader where the outcomes are not one a line: it says so once. */
export class NoDocumentFeed implements Feed {
  readonly lines = 1;
  readonly room = 64 * 1024;
  readonly buffer = new Uint8Array(this.room);
  done = false;
  readonly #handler: OutcomeHandler;

  constructor(handler: OutcomeHandler) {
    this.#handler = handler;
  }

  reserve(): number {
    return 0;
  }

  readonly busy = false;

  work(): void {}

  added(): void {
    if (!this.done)
      this.#handler.error(1, "json", "expected one outcome a line, found records laid out otherwise");
    this.done = true;
  }

  finish(): void {}

  breakOff(message: string): void {
    this.#handler.error(1, "io", message);
  }
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
