import { packageVersion } from "../parsers/package-files.ts";
import type { ByteSource } from "../parsers/trace/byte-source.ts";
import type { OutputRecord } from "../pipeline/output/records.ts";
import type { Summary } from "../pipeline/output/statistics.ts";
import type { ReplayOptions } from "../pipeline/replay/options.ts";
import type { RunHooks } from "../pipeline/replay/run.ts";
import { CsvWriter, csvHeader } from "../pipeline/tables/csv-writer.ts";
import { replayTables } from "../pipeline/tables/replay-tables.ts";
import type { TableWriter } from "../pipeline/tables/table-writer.ts";
import { TABLE_NAMES, TABLES, type TableName } from "../pipeline/tables/tables.ts";
import { counted } from "../pipeline/words/columns.ts";
import type { Output } from "./output.ts";
import { say } from "./say.ts";
import type { TableOptions } from "./table-options.ts";

/** Records that could not be used and that are said each. */
const MOST_SAID = 20;
/** What is in no table, in the folder of the tables. */
const STATS = "stats.ndjson";

/**
 * Replays a trace into tables: all of them, into files of a folder, or one. What has no place there is said on standard
 * error.
 * @param told after every chunk of input
 */
export async function tabulateTrace(
  source: ByteSource,
  output: Output,
  options: ReplayOptions & { readonly trace: string },
  { format, table }: TableOptions,
  told: RunHooks["progress"],
): Promise<Summary> {
  const { trace } = options;
  const names = table === undefined ? TABLE_NAMES : [table];
  const writerOf = await writersOf(format, table === undefined);
  const others = new Others(trace);
  const summary = await replayTables(source, new Map(names.map((name) => [name, writerOf(name)])), options, {
    write: (name, bytes) => output.write(bytes, `${name}.${format}`),
    other: (record) => others.take(record),
    ...(told && { progress: told }),
  });
  if (table === undefined) {
    if (options.stats) await output.write(others.stats, STATS);
    if (summary.errors > 0)
      say(`${trace}: ${counted(summary.errors, "record")} could not be used: errors.${format} has them`);
  } else others.say(table);
  return summary;
}

/** What stands once before the rows of all traces, in the file of one table. */
export function tableHead(format: TableOptions["format"], table: TableName): Uint8Array {
  return Buffer.from(format === "csv" ? csvHeader(TABLES[table]) : "");
}

/** @param header of CSV: its first line names the columns */
async function writersOf(
  format: TableOptions["format"],
  header: boolean,
): Promise<(table: TableName) => TableWriter> {
  if (format === "csv") return (table) => new CsvWriter(TABLES[table], header);
  const { ParquetTableWriter } = await import("../pipeline/tables/parquet-writer.ts");
  const createdBy = `pasid-replay version ${packageVersion()}`;
  return (table) => new ParquetTableWriter(TABLES[table], createdBy);
}

/** Records that have no place in the tables that are written. */
class Others {
  readonly #trace: string;
  #stats = "";
  #errors = 0;
  readonly #counts = { finding: 0, mark: 0 };

  constructor(trace: string) {
    this.#trace = trace;
  }

  /** `stats` and `summary`, as NDJSON. */
  get stats(): string {
    return this.#stats;
  }

  take(record: OutputRecord): void {
    if (record.type === "error") {
      if (++this.#errors <= MOST_SAID) say(`${this.#trace}:${record.line}: ${record.message}`);
    } else if (record.type === "finding" || record.type === "mark") this.#counts[record.type]++;
    else this.#stats += `${JSON.stringify(record)}\n`;
  }

  /** Says what is left out of the only table. */
  say(table: TableName): void {
    const more = this.#errors - MOST_SAID;
    if (more > 0) say(`${this.#trace}: ${counted(more, "more record")} could not be used`);
    const { finding, mark } = this.#counts;
    const left = [
      finding > 0 ? counted(finding, "finding") : "",
      mark > 0 ? counted(mark, "mark") : "",
    ].filter((text) => text !== "");
    if (left.length === 0) return;
    const is = finding + mark === 1 ? "is" : "are";
    say(
      `${this.#trace}: ${left.join(" and ")} ${is} not among ${table}: --output FOLDER writes all, --only findings or marks these`,
    );
  }
}
