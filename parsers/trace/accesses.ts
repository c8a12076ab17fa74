import {
  EXECUTE,
  READ,
  TRANSLATED,
  TRANSLATION_REQUEST,
  UNTRANSLATED,
  WRITE,
} from "../../walkers/request.ts";

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

/** Address types, by their number (`WalkRequest.at`), as a trace spells them. */
export const ADDRESS_TYPES = ["untranslated", "translation-request", "translated"] as const;
export type AddressType = (typeof ADDRESS_TYPES)[number];

export const ADDRESS_TYPE_OF: Readonly<Record<AddressType, number>> = {
  untranslated: UNTRANSLATED,
  "translation-request": TRANSLATION_REQUEST,
  translated: TRANSLATED,
};
