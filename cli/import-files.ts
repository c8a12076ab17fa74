import { dirname } from "node:path";
import { openLog } from "../parsers/bind/input-file.ts";
import type { ByteSource } from "../parsers/trace/byte-source.ts";
import { readyZstd } from "../parsers/zstd.ts";
import { type ImportReport, importSources, type LogsOptions } from "../pipeline/import/import-logs.ts";
import { MemoryFileError } from "../pipeline/import/memory-files.ts";
import { CliError } from "./errors.ts";
import type { Output } from "./output.ts";

export interface ImportFilesOptions extends Omit<LogsOptions, "comment" | "folder"> {
  /** Logs that are read to their end before the others, whatever the time in them. */
  readonly boot: readonly string[];
  /** Path of the output: memory files are named relative to its folder. */
  readonly outputPath: string;
  /** What the header says beside the names of the logs. */
  readonly comment?: string;
}

/**
 * Turns log files into one trace.
 * @throws TraceError where one cannot be opened, CliError for a memory file; what `output` throws
 */
export async function importFiles(
  paths: readonly string[],
  output: Pick<Output, "write">,
  options: ImportFilesOptions,
): Promise<ImportReport> {
  const { boot, outputPath, comment = paths.join(", "), ...others } = options;
  const folder = outputPath === "-" ? "." : dirname(outputPath);
  const sources: ByteSource[] = [];
  await readyZstd();
  try {
    for (const path of [...boot, ...paths]) sources.push(await openLog(path));
    const logs = sources.slice(boot.length);
    return await importSources(sources.slice(0, boot.length), logs, (text) => output.write(text), {
      ...others,
      folder,
      comment,
    });
  } catch (error) {
    throw error instanceof MemoryFileError ? new CliError(error.message) : error;
  } finally {
    for (const source of sources) await source.close();
  }
}
