/**
 * Why a trace could not be opened or read to its end: "missing", "directory", "permission", "unreadable" (any other
 * trouble of the system), "damaged" (compressed data that breaks off or makes no sense), "not-a-trace" (its first bytes hold no record). What is wrong with one
 * record is an `error` output record instead.
 */
export type TraceErrorCode =
  | "missing"
  | "directory"
  | "permission"
  | "unreadable"
  | "damaged"
  | "not-a-trace";

/** A trace, or another input, that could not be opened or read to its end. */
export class TraceError extends Error {
  readonly code: TraceErrorCode;
  /** The file, or "-" for standard input. */
  readonly path: string;

  /** Says in `message` what was expected and what was found. */
  constructor(code: TraceErrorCode, path: string, message: string) {
    super(`${path === "-" ? "standard input" : path || '""'}: ${message}`);
    this.name = "TraceError";
    this.code = code;
    this.path = path;
  }
}

/** Whether it is one; `instanceof`, as a guard. */
export function isTraceError(error: unknown): error is TraceError {
  return error instanceof TraceError;
}

/** Of a path that is too long for a file's, as much as is shown. */
const LONGEST_SHOWN = 256;

/** The TraceError for what the operating system said. */
export function systemError(path: string, error: unknown): TraceError {
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
    case "ENOTDIR":
      return new TraceError("missing", path, "expected a trace, found no such file");
    case "EISDIR":
      return new TraceError("directory", path, "expected a trace, found a directory");
    case "EACCES":
    case "EPERM":
      return new TraceError(
        "permission",
        path,
        "expected a readable trace, found a file that may not be read",
      );
    case "ELOOP":
      return new TraceError("unreadable", path, "expected a trace, found a symbolic link too many");
    case "ENAMETOOLONG":
    case "ERR_INVALID_ARG_VALUE":
      return new TraceError(
        "missing",
        path.slice(0, LONGEST_SHOWN),
        "expected a trace, found a name that no file can have",
      );
    default:
      return new TraceError(
        "unreadable",
        path,
        `expected a readable trace, found: ${(error as Error).message}`,
      );
  }
}
