/** Kinds of access of a request, as a trace spells them: read, write, atomic, read for execute. */
export const ACCESSES = ["r", "w", "rw", "x"] as const;
