import { onlyTrace } from "../parsers/recognize.ts";
import { openTrace } from "../parsers/trace/source.ts";
import { type Alignment, AlignmentError } from "../pipeline/diff/aligner.ts";
import type { Depth } from "../pipeline/diff/answer.ts";
import type { TraceSide } from "../pipeline/diff/answer-kinds.ts";
import { type DiffResult, diffStreams, type StreamReport } from "../pipeline/diff/diff.ts";
import { diffNotes, diffSummaryRecord } from "../pipeline/diff/summary-record.ts";
import type { FilterWords } from "../pipeline/filter/filter-words.ts";
import { PatternError } from "../pipeline/filter/patterns.ts";
import { VENDORS } from "../walkers/registry.ts";
import { hex } from "../walkers/word64.ts";
import { folderOf, type MemoryLimits } from "./commands/memory-options.ts";
import { CliError } from "./errors.ts";
import { EXIT_FOUND, EXIT_OK, EXIT_TROUBLE, type ExitStatus } from "./exit-status.ts";
import { loadFilters } from "./filters.ts";
import { readIgnoreRules } from "./ignore-files.ts";
import type { SummaryForm } from "./options.ts";
import type { Output } from "./output.ts";
import { diffText } from "./render/diff-text.ts";
import { refuseSameFile } from "./replay-files.ts";
import { say } from "./say.ts";
import { writeText } from "./text-output.ts";
import { writeOutput } from "./write-output.ts";

export interface DiffFilesOptions extends MemoryLimits {
  readonly outputPath: string;
  /** Instead of records: a text for people, or the last record with more in it. */
  readonly summary: SummaryForm;
  readonly side: TraceSide | undefined;
  readonly alignment: Alignment;
  readonly window: number;
  readonly depth: Depth;
  readonly ignore: readonly string[];
  readonly ignoreFiles: readonly string[];
  readonly filter: FilterWords | undefined;
  /** "2026-01-31" */
  readonly today: string;
}

/**
 * Compares two files and writes what differs; what must not be overlooked also goes to standard error.
 * @throws CliError for a rule that cannot be understood, or an alignment that cannot be had
 */
export async function diffFiles(a: string, b: string, options: DiffFilesOptions): Promise<ExitStatus> {
  const ignore = await readIgnoreRules(options.ignore, options.ignoreFiles, options.today);
  const filters = await loadFilters(options.filter);
  for (const path of [a, b]) refuseSameFile(path, options.outputPath);
  const sourceA = await onlyTrace(await openTrace(a), true);
  const sourceB = await openTrace(b)
    .then((source) => onlyTrace(source, true))
    .catch(async (error) => {
      await sourceA.close();
      throw error;
    });
  const work = async (output: Output) => {
    const result = await diffStreams(
      sourceA,
      sourceB,
      { write: (bytes) => (options.summary === undefined ? output.write(bytes) : undefined) },
      {
        side: options.side,
        alignment: options.alignment,
        window: options.window,
        depth: options.depth,
        ignore,
        filters: filters && [filters.forRecords(), filters.forRecords()],
        replayA: replayOptions(a, options),
        replayB: replayOptions(b, options),
      },
    );
    await report(a, b, result, output, options.summary);
    return exitStatusOf(result);
  };
  try {
    return await writeOutput(options.outputPath, work);
  } catch (error) {
    if (error instanceof PatternError) throw new CliError(error.message, true);
    throw error instanceof AlignmentError ? new CliError(`--align seq: ${error.message}`) : error;
  }
}

async function report(
  a: string,
  b: string,
  result: DiffResult,
  output: Output,
  summary: SummaryForm,
): Promise<void> {
  if (summary !== undefined) {
    complain(a, result.a);
    complain(b, result.b);
  }
  if (summary === "text") {
    await writeText(output, diffText(a, b, result, await codeNames(result)));
    return;
  }
  await output.write(`${JSON.stringify(diffSummaryRecord(result, summary === "json"))}\n`);
  for (const { message } of diffNotes(result)) say(`note: ${message}`);
}

/** What the specification calls the fault codes, where both streams are of one architecture. */
async function codeNames({ a, b }: DiffResult): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  const [model, ...others] = new Set([...a.models, ...b.models]);
  if (model === undefined || others.length > 0) return names;
  const { faults } = VENDORS[model];
  // A code may stand for several conditions, each with a name of its own.
  for (const { code, name } of faults) {
    const known = names.get(hex(code));
    names.set(hex(code), known === undefined ? name : `${known}/${name}`);
  }
  return names;
}

/** Where errors are not among the output records, standard error has them. */
function complain(path: string, { errors, errorCount }: StreamReport): void {
  for (const { line, message } of errors.slice(0, SHOWN_ERRORS)) say(`${path}: line ${line}: ${message}`);
  const more = errorCount - Math.min(errors.length, SHOWN_ERRORS);
  if (more > 0) say(`${path}: ${more} more records could not be used`);
}

const SHOWN_ERRORS = 10;

function exitStatusOf({ a, b, counts }: DiffResult): ExitStatus {
  if (a.errorCount > 0 || b.errorCount > 0) return EXIT_TROUBLE;
  if (counts.total > 0) return EXIT_FOUND;
  // Requests without answers prove nothing: that must not pass for "the same".
  return counts.compared === 0 && counts.unanswered > 0 ? EXIT_TROUBLE : EXIT_OK;
}

function replayOptions(path: string, limits: MemoryLimits) {
  const { snapshotCacheBytes, memoryLimit, maxLineBytes, allowPaths } = limits;
  return {
    directory: folderOf(path, limits),
    allowPaths,
    maxLineBytes,
    snapshotCacheBytes,
    memoryLimit,
  };
}
