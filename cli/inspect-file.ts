import { onlyTrace } from "../parsers/recognize.ts";
import { TraceSource } from "../parsers/trace/reader.ts";
import { openTrace } from "../parsers/trace/source.ts";
import {
  type InspectedRequest,
  InspectionError,
  type InspectionTarget,
  inspectTrace,
} from "../pipeline/walk/walk-trace.ts";
import { folderOf, type MemoryLimits } from "./commands/memory-options.ts";
import { CliError } from "./errors.ts";
import { reportProblems } from "./problems.ts";

/**
 * Inspects one request of a trace file, and says on standard error which records before it could not be used.
 * @throws CliError where there is no such request
 */
export async function inspectFile(
  path: string,
  target: InspectionTarget,
  limits: MemoryLimits,
): Promise<InspectedRequest> {
  const source = new TraceSource(await onlyTrace(await openTrace(path)), limits);
  try {
    const { baseFolder: _, ...options } = limits;
    const directory = folderOf(path, limits);
    const inspected = await inspectTrace(source, target, { directory, ...options });
    reportProblems(path, inspected);
    return inspected;
  } catch (error) {
    throw error instanceof InspectionError ? new CliError(`${path}: ${error.message}`) : error;
  }
}
