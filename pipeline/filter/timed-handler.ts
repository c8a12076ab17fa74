import type { ErrorCode, TraceHandler } from "../../parsers/trace/reader.ts";
import type { DmaRecord, MemRecord } from "../../parsers/trace/records.ts";
import type { PlainRecord } from "../../parsers/trace/schema.ts";

/** Hands records on, and says before each what its time stamp is. */
export class TimedHandler implements TraceHandler {
  readonly #handler: TraceHandler;
  readonly #at: (line: number, ts: string) => void;

  constructor(handler: TraceHandler, at: (line: number, ts: string) => void) {
    this.#handler = handler;
    this.#at = at;
  }

  get stopped(): boolean {
    return this.#handler.stopped === true;
  }

  dma(line: number, record: DmaRecord): void {
    this.#at(line, record.tsText());
    this.#handler.dma(line, record);
  }

  mem(line: number, record: MemRecord): void {
    this.#handler.mem(line, record);
  }

  record(line: number, record: PlainRecord): void {
    if ("ts" in record && record.ts !== undefined) this.#at(line, JSON.stringify(record.ts));
    this.#handler.record(line, record);
  }

  unknown(line: number, type: string): void {
    this.#handler.unknown(line, type);
  }

  error(line: number, code: ErrorCode, message: string): void {
    this.#handler.error(line, code, message);
  }

  unknownField(line: number, path: string, name: string, known: readonly string[]): boolean {
    return this.#handler.unknownField?.(line, path, name, known) ?? false;
  }
}
