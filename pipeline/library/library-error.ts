/**
 * Why the library refuses a call: "argument" out of range or of no known name, "memory" a file that cannot be
 * read or a range beyond 2^64, "binding" a PASID table that this IOMMU cannot be given. Faults are no errors: they
 * are outcomes.
 */
export type LibraryErrorCode = "argument" | "memory" | "binding";

/** A call that the library refuses. */
export class LibraryError extends Error {
  readonly code: LibraryErrorCode;

  /** Says in `message` what was expected and what was found. */
  constructor(code: LibraryErrorCode, message: string) {
    super(message);
    this.name = "LibraryError";
    this.code = code;
  }
}

/** For a name that is none of a few. */
export function unknownName(what: string, known: readonly string[], found: unknown): LibraryError {
  return new LibraryError(
    "argument",
    `${what}: expected one of ${known.join(", ")}, found ${JSON.stringify(found) ?? typeof found}`,
  );
}
