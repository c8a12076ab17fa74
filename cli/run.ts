import { runCommandLine } from "./command-line.ts";
import { ClosedPipe } from "./errors.ts";
import { EXIT_OK, EXIT_TROUBLE, type ExitStatus } from "./exit-status.ts";
import { complaint } from "./render/complaint.ts";
import { handleSignals } from "./signals.ts";

function fail(error: unknown): ExitStatus {
  if (error instanceof ClosedPipe) return EXIT_OK;
  process.stderr.write(complaint(error));
  return EXIT_TROUBLE;
}

/** Carries out a command line, and says what went wrong on standard error. */
export function statusOf(words: readonly string[]): Promise<ExitStatus> {
  return runCommandLine(words).catch(fail);
}

/**
 * Runs the process's command line. It is not awaited where it is imported: what it loads imports in turn what is in one file
 * with this.
 */
export async function run(): Promise<void> {
  // Complaints have no other place to go to: where standard error is closed, they go nowhere.
  process.stderr.on("error", () => {});
  process.on("uncaughtException", (error) => process.exit(fail(error)));
  handleSignals();
  process.exitCode = await statusOf(process.argv.slice(2));
}
