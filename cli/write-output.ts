import { type Output, openOutput } from "./output.ts";
import { onInterrupt } from "./signals.ts";

/**
 * Does some work that writes an output. The output is finished where the work returns; where it throws, or a signal ends it,
 * nothing half-written stays.
 * @param path "-" for standard output
 * @throws CliError where it cannot be opened or finished; what `work` throws
 */
export async function writeOutput<T>(path: string, work: (output: Output) => Promise<T>): Promise<T> {
  return writeTo(openOutput(path), work);
}

/** As `writeOutput`, with one that is open. */
export async function writeTo<T>(output: Output, work: (output: Output) => Promise<T>): Promise<T> {
  const cancel = onInterrupt(async () => {
    await output.halt();
    output.abandon();
  });
  try {
    const result = await work(output);
    await output.finish();
    return result;
  } catch (error) {
    output.abandon();
    throw error;
  } finally {
    cancel();
  }
}
