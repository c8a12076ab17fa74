import type { ErrorRecord } from "./records.ts";

/** Errors that are kept unless the caller says otherwise. */
const KEPT = 10;

/** Records that could not be used: the first few, and how many there were. */
export interface Errors {
  readonly errors: readonly ErrorRecord[];
  readonly errorCount: number;
}

export class ErrorLog implements Errors {
  readonly errors: ErrorRecord[] = [];
  errorCount = 0;
  readonly #kept: number;

  constructor(kept = KEPT) {
    this.#kept = kept;
  }

  /** Takes over what another one has kept and counted. */
  keepAll({ errors, errorCount }: Errors): void {
    for (const error of errors) this.keep(error);
    this.errorCount += errorCount - errors.length;
  }

  keep(error: ErrorRecord): void {
    this.errorCount++;
    if (this.errors.length < this.#kept) this.errors.push(error);
  }
}
