/** Why a trace could not be opened or read at all. What is wrong with one record is an `error` output record instead. */
export type TraceErrorCode = "missing" | "directory" | "permission" | "unreadable" | "unsupported";

export class TraceError extends Error {
  readonly code: TraceErrorCode;
  /** The file, or "-" for standard input. */
  readonly path: string;

  constructor(code: TraceErrorCode, path: string, message: string) {
    super(`${path}: ${message}`);
    this.name = "TraceError";
    this.code = code;
    this.path = path;
  }
}

export function isTraceError(error: unknown): error is TraceError {
  return error instanceof TraceError;
}
