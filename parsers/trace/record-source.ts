import type { FoundRecords } from "./batch/calls.ts";
import type { BatchMachine } from "./batch/machine.ts";
import type { ErrorCode } from "./field.ts";
import type { DmaRecord, MemRecord, TraceNames } from "./records.ts";
import type { PlainRecord } from "./schema.ts";

/** Takes requests many at once, as a batch machine has found them. */
export interface BatchTaker {
  readonly machine: BatchMachine;
  /**
   * Takes records of those found from `from` on, at most up to `to` - 1, as far as it can. They are MAX_RECORDS at most.
   * @param line of the first
   * @returns the first that it does not take: the handler is told of that one by itself, and then again of those behind it
   */
  take(found: FoundRecords, from: number, to: number, line: number): number;
}

/** Told about every record of a trace, in order. Calls are synchronous; nothing that is reused may be kept. */
export interface TraceHandler {
  /** @param line line number of the record, from 1 */
  dma(line: number, record: DmaRecord): void;
  mem(line: number, record: MemRecord): void;
  /** Any other record; a fresh object. */
  record(line: number, record: PlainRecord): void;
  /** A record of a type that the contract does not know. */
  unknown(line: number, type: string): void;
  /** A record that cannot be used. `message` says field, what was expected and what was found, not the line. */
  error(line: number, code: ErrorCode, message: string): void;
  /**
   * A field that its record does not have; it is ignored.
   * @param path of the object that it stands in: "dma.observed"
   * @param known the names of those that the object has
   * @returns false where it need not be told of this name again
   */
  unknownField?(line: number, path: string, name: string, known: readonly string[]): boolean;
  /** Takes requests many at once; absent: the handler is told of each. */
  readonly batches?: BatchTaker | null;
  /** Nothing more is wanted: whoever tells the records looks at it after each, and tells no other. Absent: all are wanted. */
  readonly stopped?: boolean;
}

/**
 * Where records come from: the text of a trace (`TraceSource`), a log, several sources in the order of time
 * (`MergedSource`), a program that makes them (`RecordTeller` tells a handler of typed records).
 */
export interface RecordSource {
  /** What the numbers of names in its records refer to. */
  readonly names: TraceNames;
  /** Lines of the input so far, blank ones included. */
  readonly lines: number;
  /** Bytes of the input taken so far (before decompression), for progress. */
  readonly consumed: number;
  /** Records come as they happen: whoever shows what they come to does not wait for more of them. */
  readonly live: boolean;
  /**
   * Tells of the next records, as many as come at once.
   * @param handler the same one at every call
   * @returns false where there are no more, or the handler has stopped
   * @throws what the handler throws
   */
  next(handler: TraceHandler): Promise<boolean>;
  close(): Promise<void>;
}

export interface ReadTotals {
  /** Lines of the input, blank ones included. */
  readonly lines: number;
  /** Bytes of the input (before decompression). */
  readonly bytes: number;
}

/**
 * Tells a handler of all records of a source, to the end or until the handler stops, and closes the source.
 *
 * @param onPiece called with the bytes of the input taken so far, after all records that came at once; the next ones
 *   are read when it has settled, so a caller drains its output here
 * @throws what the handler or `onPiece` throws
 */
export async function readRecords(
  source: RecordSource,
  handler: TraceHandler,
  onPiece?: (bytesRead: number) => void | Promise<void>,
): Promise<ReadTotals> {
  try {
    for (let more = true; more; ) {
      more = await source.next(handler);
      await onPiece?.(source.consumed);
    }
    return { lines: source.lines, bytes: source.consumed };
  } finally {
    await source.close();
  }
}
