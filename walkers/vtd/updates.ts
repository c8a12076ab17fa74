/**
 * How software may change entries while hardware may fetch them (Intel VT-d 5.10, 6.5.3.3): hardware fetches pieces of 128
 * bits, each as a whole, and of a larger entry each at a time of its own. What is used is made not present first, and what
 * caches hold of it invalidated, before the rest changes; Linux came to do so in 6.20 (intel/pasid.c, context entries
 * likewise). Fields of one piece may change together where the guidance has them invalidated as "present to present".
 */
import {
  allBits,
  bitsOf,
  bothBits,
  type EntryBits,
  type EntryUpdates,
  exceptBits,
} from "../tables/updates.ts";
import { KIND_FIRST_STAGE, KIND_SECOND_STAGE, NESTED } from "./context.ts";
import { ContextEntry, PasidEntry, TT_PASS_THROUGH } from "./structures.ts";

const FETCHED_BYTES = 16;

/** What hardware fetches as a whole, and software may store with one 128-bit store. */
export const VTD_UPDATES: EntryUpdates = {
  read: FETCHED_BYTES,
  store: FETCHED_BYTES,
  gate: "P",
  source: "VT-d 5.10, 6.5.3.3",
};

/** Root entries of two halves, which are looked up each by itself. */
export const HALVES_UPDATES: EntryUpdates = {
  ...VTD_UPDATES,
  read: 8,
  store: 8,
  gate: "LP or UP",
  independent: true,
};

const translationType = ContextEntry.reader("TT");
const CONTEXT_BITS = exceptBits(allBits(ContextEntry), bitsOf(ContextEntry, ["IGN"]));
const CONTEXT_PASS_THROUGH = exceptBits(CONTEXT_BITS, bitsOf(ContextEntry, ["SSPTPTR"]));

/** 9.3: pass-through has no table; AW is the host address width then. */
export const CONTEXT_UPDATES: EntryUpdates = {
  ...VTD_UPDATES,
  used: (view, at) => (translationType(view, at) === TT_PASS_THROUGH ? CONTEXT_PASS_THROUGH : CONTEXT_BITS),
};

const granularType = PasidEntry.reader("PGTT");
const FIRST_STAGE_ONLY = bitsOf(PasidEntry, ["SRE", "FSPM", "WPE", "NXE", "SMEP", "EAFE", "FSPTPTR"]);
const SECOND_STAGE_ONLY = bitsOf(PasidEntry, ["AW", "SSEE", "SSADE", "SSPTPTR"]);
const PASID_BITS = allBits(PasidEntry);
const USED_BY_TYPE: ReadonlyMap<number, EntryBits> = new Map([
  [KIND_FIRST_STAGE, exceptBits(PASID_BITS, SECOND_STAGE_ONLY)],
  [KIND_SECOND_STAGE, exceptBits(PASID_BITS, FIRST_STAGE_ONLY)],
  [NESTED, PASID_BITS],
]);
const PASID_PASS_THROUGH = exceptBits(PASID_BITS, bothBits(FIRST_STAGE_ONLY, SECOND_STAGE_ONLY));

/** 9.6: by PGTT, what the other stage has is passed over. */
export const PASID_UPDATES: EntryUpdates = {
  ...VTD_UPDATES,
  used: (view, at) => USED_BY_TYPE.get(granularType(view, at)) ?? PASID_PASS_THROUGH,
};
