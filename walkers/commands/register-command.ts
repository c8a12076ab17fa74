import type { Word64 } from "../registers.ts";
import type { CommandSet } from "./command-set.ts";

/** An invalidation that is asked for by writing a register. */
export interface RegisterCommand {
  /** The register, and others that say what is meant: their values are the command's words. */
  readonly registers: readonly string[];
  /** The one command there is. */
  readonly set: CommandSet;
  /** Whether a value that is written asks for it. */
  requested(value: Word64): boolean;
}
