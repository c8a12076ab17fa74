import type { ErrorCode } from "./field.ts";
import type { RecordSource, TraceHandler } from "./record-source.ts";
import { DmaRecord, MemRecord, type TraceNames } from "./records.ts";
import type { PlainRecord } from "./schema.ts";

/**
 * Several sources as one, in the order of their time stamps; those of the source that is named first go first where
 * they are equal. A record without a time stamp has the time of the one before it in its source, and what comes before
 * the first time stamp comes first of all. Line numbers are those of a record's own source.
 */
export class MergedSource implements RecordSource {
  readonly names: TraceNames;
  readonly live: boolean;
  readonly #sources: readonly RecordSource[];
  readonly #queues: readonly TimedRecords[];

  /**
   * @param sources time stamps are numbers of one unit and one beginning, or strings of such
   * @throws RangeError for sources that do not share their names: their records would name each other's devices
   */
  constructor(names: TraceNames, sources: readonly RecordSource[]) {
    if (sources.some((source) => source.names !== names))
      throw new RangeError("expected sources that share the numbers of their names, found others");
    this.names = names;
    this.live = sources.some((source) => source.live);
    this.#sources = sources;
    this.#queues = sources.map(() => new TimedRecords());
  }

  get lines(): number {
    return this.#sources.reduce((sum, { lines }) => sum + lines, 0);
  }

  get consumed(): number {
    return this.#sources.reduce((sum, { consumed }) => sum + consumed, 0);
  }

  async next(handler: TraceHandler): Promise<boolean> {
    await Promise.all(this.#queues.map((queue, i) => queue.fill(this.#sources[i]!)));
    for (;;) {
      let earliest = this.#queues[0];
      for (const queue of this.#queues) if (queue.time < earliest!.time) earliest = queue;
      if (earliest === undefined || earliest.time === Number.POSITIVE_INFINITY) return false;
      earliest.tell(handler);
      if (handler.stopped === true) return false;
      // What its source has next may be earlier than anything that waits.
      if (earliest.isEmpty && !earliest.ended) return true;
    }
  }

  async close(): Promise<void> {
    for (const source of this.#sources) await source.close();
  }
}

interface TimedRecord {
  readonly time: number;
  tell(handler: TraceHandler): void;
}

/** Records of one source that have been read and not told yet: copies, since what a source tells may be reused. */
class TimedRecords implements TraceHandler {
  ended = false;
  #records: TimedRecord[] = [];
  #next = 0;
  /** Of the record that came last. */
  #time = Number.NEGATIVE_INFINITY;

  get isEmpty(): boolean {
    return this.#next === this.#records.length;
  }

  /** Of the first record; infinite where there is none. */
  get time(): number {
    return this.#records[this.#next]?.time ?? Number.POSITIVE_INFINITY;
  }

  /** Reads until there is a record, or no more. */
  async fill(source: RecordSource): Promise<void> {
    while (this.isEmpty && !this.ended) {
      this.#records = [];
      this.#next = 0;
      this.ended = !(await source.next(this));
    }
  }

  /** Tells of the first record and drops it. */
  tell(handler: TraceHandler): void {
    this.#records[this.#next++]!.tell(handler);
  }

  dma(line: number, record: DmaRecord): void {
    const copy = new DmaRecord();
    copy.copyFrom(record);
    this.#stamp(record.ts());
    this.#add((handler) => handler.dma(line, copy));
  }

  mem(line: number, record: MemRecord): void {
    const copy = new MemRecord();
    copy.copyFrom(record);
    this.#add((handler) => handler.mem(line, copy));
  }

  record(line: number, record: PlainRecord): void {
    if ("ts" in record) this.#stamp(record.ts);
    this.#add((handler) => handler.record(line, record));
  }

  unknown(line: number, type: string): void {
    this.#add((handler) => handler.unknown(line, type));
  }

  error(line: number, code: ErrorCode, message: string): void {
    this.#add((handler) => handler.error(line, code, message));
  }

  #stamp(ts: number | string | undefined): void {
    const time = ts === undefined || ts === "" ? Number.NaN : Number(ts);
    if (Number.isFinite(time)) this.#time = time;
  }

  #add(tell: TimedRecord["tell"]): void {
    this.#records.push({ time: this.#time, tell });
  }
}
