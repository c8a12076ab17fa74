import { say } from "./say.ts";

interface Problems {
  /** The first few records that could not be used. */
  readonly errors: readonly { readonly line: number; readonly message: string }[];
  readonly errorCount: number;
}

/** Says on standard error which records of a trace could not be used, where no output record does. */
export function reportProblems(path: string, { errors, errorCount }: Problems): void {
  for (const { line, message } of errors) say(`${path}: line ${line}: ${message}`);
  const more = errorCount - errors.length;
  if (more > 0) say(`${path}: ${more} more records before this line could not be used`);
}
