/** Kinds of access in words. */
export const ACCESS_WORDS = { r: "read", w: "write", rw: "atomic", x: "read for execute" } as const;
