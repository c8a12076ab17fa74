import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import { TraceSource } from "../../parsers/trace/reader.ts";
import { RecordSink } from "../output/record-sink.ts";
import type { OutputRecord } from "../output/records.ts";
import type { Summary } from "../output/statistics.ts";
import type { ReplayOptions } from "../replay/options.ts";
import { replayRecords } from "../replay/run.ts";
import type { Row, TableWriter } from "./table-writer.ts";
import { type TableName, tableOf } from "./tables.ts";

export interface TableHooks {
  /** Takes bytes of a table, which are its own; replay goes on when it has settled. */
  readonly write: (table: TableName, bytes: Uint8Array) => Promise<void>;
  /** Takes what is in none of the tables: `stats` and `summary`, and rows of tables without a writer. */
  readonly other: (record: OutputRecord) => void;
  /** Called after every chunk of input. */
  readonly progress?: (bytesRead: number, requests: number) => void;
}

/**
 * Replays one trace from beginning to end, into tables.
 *
 * @param source the trace; closed at the end
 * @param writers of the tables that are wanted; they are ended
 * @param options with the trace's name, which is in every row
 * @returns counts
 * @throws what `hooks.write` throws
 */
export async function replayTables(
  source: ByteSource,
  writers: ReadonlyMap<TableName, TableWriter>,
  options: ReplayOptions & { readonly trace: string },
  hooks: TableHooks,
): Promise<Summary> {
  const take = (record: OutputRecord) => {
    const table = tableOf(record);
    const writer = table && writers.get(table);
    if (writer === undefined) hooks.other(record);
    else writer.add(record as unknown as Row);
  };
  const flush = async (bytesOf: (writer: TableWriter) => Uint8Array) => {
    for (const [table, writer] of writers) {
      const bytes = bytesOf(writer);
      if (bytes.length > 0) await hooks.write(table, bytes);
    }
  };
  const sink = new RecordSink(take, options.only, options.trace);
  const records = new TraceSource(source, options);
  const summary = await replayRecords(records, sink, options, (read, requests) => {
    hooks.progress?.(read, requests);
    return flush((writer) => writer.take());
  });
  await flush((writer) => writer.end());
  return summary;
}
