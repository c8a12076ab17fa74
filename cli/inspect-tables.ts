import { onlyTrace } from "../parsers/recognize.ts";
import { openTrace } from "../parsers/trace/source.ts";
import { inspectTables, SelectionError, type TableSelection } from "../pipeline/inspect/inspect-tables.ts";
import { folderOf, type MemoryLimits } from "./commands/memory-options.ts";
import { CliError } from "./errors.ts";
import { answering, type Question } from "./inspect-questions.ts";
import type { Output } from "./output.ts";
import { reportProblems } from "./problems.ts";
import { InspectJson } from "./render/inspect-json.ts";
import { InspectText } from "./render/inspect-text.ts";
import { fitFor } from "./text-output.ts";

/**
 * Enumerates the tables of a trace file, and says on standard error which records before the state that is asked for
 * could not be used.
 *
 * @returns how many those are
 * @throws CliError where what is asked for is not in the trace
 */
export async function inspectTablesOfFile(
  path: string,
  selection: TableSelection,
  json: boolean,
  output: Output,
  limits: MemoryLimits,
  question?: Question,
): Promise<number> {
  const source = await onlyTrace(await openTrace(path));
  const lister = json ? new InspectJson(output) : new InspectText(output, await fitFor(output));
  try {
    const { baseFolder: _, ...options } = limits;
    const directory = folderOf(path, limits);
    const asked = question && answering(question, lister, json);
    const wanted = { ...selection, ...asked?.selection };
    const problems = await inspectTables(source, wanted, asked?.sink ?? lister, { directory, ...options });
    await lister.flush();
    reportProblems(path, problems);
    return problems.errorCount;
  } catch (error) {
    throw error instanceof SelectionError ? new CliError(`${path}: ${error.message}`) : error;
  }
}
