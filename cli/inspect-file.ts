import { dirname } from "node:path";
import { openTrace } from "../parsers/trace/source.ts";
import {
  type InspectedRequest,
  InspectionError,
  type InspectionTarget,
  inspectTrace,
} from "../pipeline/inspect-trace.ts";
import type { MemoryLimits } from "./commands/memory-options.ts";
import { CliError } from "./errors.ts";

/**
 * Inspects one request of a trace file, and says on standard error which records before it could not be used.
 * @throws CliError where there is no such request
 */
export async function inspectFile(
  path: string,
  target: InspectionTarget,
  limits: MemoryLimits,
): Promise<InspectedRequest> {
  const source = await openTrace(path);
  try {
    const directory = path === "-" ? "." : dirname(path);
    const inspected = await inspectTrace(source, target, { directory, ...limits });
    for (const error of inspected.errors)
      process.stderr.write(`pasid-replay: ${path}: line ${error.line}: ${error.message}\n`);
    const more = inspected.errorCount - inspected.errors.length;
    if (more > 0)
      process.stderr.write(
        `pasid-replay: ${path}: ${more} more records before this line could not be used\n`,
      );
    return inspected;
  } catch (error) {
    throw error instanceof InspectionError ? new CliError(`${path}: ${error.message}`) : error;
  }
}
