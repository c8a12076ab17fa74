import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import { type ErrorCode, readTrace, type TraceHandler } from "../../parsers/trace/reader.ts";
import { type DmaRecord, type MemRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord } from "../../parsers/trace/schema.ts";
import type { Binding } from "../../walkers/request.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import { ByteWriter } from "../output/byte-writer.ts";
import type { ErrorRecord } from "../output/records.ts";
import { SELECT_NOTHING } from "../output/selection.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "../replay/options.ts";
import { Replay } from "../replay/replay.ts";

/** Records that could not be used: the first few, and how many there were. */
export interface StateProblems {
  readonly errors: readonly ErrorRecord[];
  readonly errorCount: number;
}

const KEPT_ERRORS = 10;
/** Thrown to stop reading: the rest of the trace comes later than the state that is asked for. */
const REACHED = Symbol("reached");

/** Memory, registers and bindings as they are after some line of a trace. Requests are not walked. */
export class TraceState implements TraceHandler {
  readonly names = new TraceNames();
  /** Line of the last record. */
  line = 0;
  readonly #out = new ByteWriter();
  readonly #maxLineBytes: number;
  readonly #replay: Replay;
  readonly #errors: ErrorRecord[] = [];
  #errorCount = 0;
  #last = 0;

  constructor(options: Partial<ReplayOptions>) {
    const all = {
      ...DEFAULT_OPTIONS,
      ...options,
      caches: false,
      findings: false,
      only: SELECT_NOTHING,
      stats: false,
    };
    this.#maxLineBytes = all.maxLineBytes;
    this.#replay = new Replay(this.names, this.#out, all);
  }

  /** Reads up to and with line `last`. */
  async read(source: ByteSource, last: number): Promise<void> {
    this.#last = last;
    try {
      await readTrace(source, this, {
        names: this.names,
        maxLineBytes: this.#maxLineBytes,
        onChunk: () => this.#drain(),
      });
    } catch (stop) {
      if (stop !== REACHED) throw stop;
    }
    this.#drain();
  }

  get units(): readonly IommuUnit[] {
    return this.#replay.iommus.units;
  }

  /** The bindings of an IOMMU by device id. */
  bound(unit: IommuUnit): Map<number, Binding> {
    const bound = new Map<number, Binding>();
    for (const [device, binding] of unit.bindings) bound.set(this.names.devices.get(device).id, binding);
    return bound;
  }

  /** Call it last: reading memory may have failed, too. */
  problems(): StateProblems {
    const failed = this.#replay.memory.takeError();
    if (failed !== null) this.#keep({ type: "error", line: this.line, ...failed });
    return { errors: this.#errors, errorCount: this.#errorCount };
  }

  close(): void {
    this.#replay.memory.close();
  }

  dma(line: number, _record: DmaRecord): void {
    this.#reach(line);
  }

  mem(line: number, record: MemRecord): void {
    this.#reach(line);
    this.#replay.mem(line, record);
  }

  record(line: number, record: PlainRecord): void {
    this.#reach(line);
    this.#replay.record(line, record);
  }

  unknown(line: number): void {
    this.#reach(line);
  }

  error(line: number, code: ErrorCode, message: string): void {
    this.#reach(line);
    this.#keep({ type: "error", line, code, message });
  }

  #reach(line: number): void {
    if (line > this.#last) throw REACHED;
    this.line = line;
  }

  /** Takes the replay's errors: nothing else is in its output. */
  #drain(): void {
    if (this.#out.length === 0) return;
    for (const line of this.#out.take().toString("utf8").trimEnd().split("\n")) {
      const record = JSON.parse(line);
      if (record.type === "error") this.#keep(record);
    }
  }

  #keep(error: ErrorRecord): void {
    this.#errorCount++;
    if (this.#errors.length < KEPT_ERRORS) this.#errors.push(error);
  }
}
