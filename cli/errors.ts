import { constants } from "node:os";

/** The invocation cannot be carried out as it stands; `message` is what standard error says about it. */
export class CliError extends Error {
  /** The command line itself is wrong: point to `--help`. */
  readonly usage: boolean;
  /** The command whose `--help` that is. */
  command = "";

  constructor(message: string, usage = false) {
    super(message);
    this.name = "CliError";
    this.usage = usage;
  }
}

/** Whoever reads our output has closed it: the normal end of `pasid-replay … | head`. */
export class ClosedPipe extends Error {}

/** What messages call the system's error codes. */
const REASONS: Readonly<Record<string, string>> = {
  EACCES: "no permission",
  EEXIST: "a file of that name",
  EDQUOT: "a disk quota that is used up",
  EFBIG: "a file that would become too large",
  EIO: "an input/output error",
  EISDIR: "a directory",
  ELOOP: "a symbolic link too many",
  ENAMETOOLONG: "a name that is too long",
  ENOENT: "no such file or folder",
  ENOSPC: "no space left on the device",
  ENOTDIR: "a file where a folder must be",
  EPERM: "no permission",
  EROFS: "a read-only file system",
};

/** The code of a system error ("ENOENT"), or undefined for another error. */
export function systemCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && code in constants.errno ? code : undefined;
}

/** A system error in words and with its code: "no space left on the device (ENOSPC)". */
export function reasonOf(error: unknown): string {
  const code = systemCode(error);
  if (code === undefined) return error instanceof Error ? error.message : String(error);
  const words = REASONS[code];
  return words === undefined ? code : `${words} (${code})`;
}
