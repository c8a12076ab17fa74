import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import { type ErrorCode, readTrace, type TraceHandler } from "../../parsers/trace/reader.ts";
import { type DmaRecord, type MemRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord } from "../../parsers/trace/schema.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Problem } from "../iommus/iommus.ts";
import { ErrorLog, type Errors } from "../output/error-log.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "../replay/options.ts";
import { RecordedSystem } from "../replay/recorded-system.ts";

/** Memory, registers and bindings as they are after some line of a trace. Requests are not walked. */
export class TraceState implements TraceHandler {
  readonly names = new TraceNames();
  /** Line of the last record. */
  line = 0;
  /** The rest of the trace comes later than the state that is asked for. */
  stopped = false;
  readonly #maxLineBytes: number;
  readonly #system: RecordedSystem;
  readonly #errors = new ErrorLog();
  #last = 0;

  constructor(options: Partial<ReplayOptions>) {
    const all = { ...DEFAULT_OPTIONS, ...options, caches: false };
    this.#maxLineBytes = all.maxLineBytes;
    this.#system = new RecordedSystem(this.names, all);
  }

  /** Reads up to and with line `last`. */
  async read(source: ByteSource, last: number): Promise<void> {
    this.#last = last;
    await readTrace(source, this, { names: this.names, maxLineBytes: this.#maxLineBytes });
  }

  get units(): readonly IommuUnit[] {
    return this.#system.iommus.units;
  }

  /** Call it last: reading memory may have failed, too. */
  problems(): Errors {
    this.#fail(this.line, this.#system.memory.takeError());
    return this.#errors;
  }

  close(): void {
    this.#system.close();
  }

  dma(line: number, _record: DmaRecord): void {
    this.#reach(line);
  }

  mem(line: number, record: MemRecord): void {
    if (this.#reach(line)) this.#fail(line, this.#system.write(record));
  }

  record(line: number, record: PlainRecord): void {
    if (this.#reach(line)) this.#fail(line, this.#system.take(record));
  }

  unknown(line: number): void {
    this.#reach(line);
  }

  error(line: number, code: ErrorCode, message: string): void {
    if (this.#reach(line)) this.#fail(line, { code, message });
  }

  /** Comes to a record; @returns whether it is of the state that is asked for */
  #reach(line: number): boolean {
    if (line > this.#last) this.stopped = true;
    else this.line = line;
    return !this.stopped;
  }

  #fail(line: number, problem: Problem | null): void {
    if (problem !== null) this.#errors.keep({ type: "error", line, ...problem });
  }
}
