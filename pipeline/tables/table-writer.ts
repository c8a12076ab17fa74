/** A record, by the names of its fields. */
export type Row = Readonly<Record<string, unknown>>;

/** Encodes rows of one table. */
export interface TableWriter {
  add(row: Row): void;
  /** What can be written by now, maybe nothing: its memory is the caller's. */
  take(): Uint8Array;
  /** The rest; nothing may be added after it. */
  end(): Uint8Array;
}
