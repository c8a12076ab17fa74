import { EXECUTE, READ, WRITE } from "../../walkers/request.ts";

/** Kinds of access of a request, as a trace spells them: read, write, atomic, read for execute. */
export const ACCESSES = ["r", "w", "rw", "x"] as const;
export type Access = (typeof ACCESSES)[number];

/** As the bits of `WalkRequest.access`. */
export const ACCESS_BITS: Readonly<Record<Access, number>> = {
  r: READ,
  w: WRITE,
  rw: READ | WRITE,
  x: EXECUTE,
};

/** By those bits. */
export const ACCESS_NAMES: readonly Access[] = ACCESSES.reduce<Access[]>((names, name) => {
  names[ACCESS_BITS[name]] = name;
  return names;
}, []);
