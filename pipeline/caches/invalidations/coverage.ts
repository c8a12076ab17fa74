/**
 * What of an IOMMU's caches an invalidation is sure to drop: the one place where the model of the caches and the
 * decoded commands meet.
 */

import {
  type ContextTag,
  FIRST,
  GLOBAL_SPACE,
  SECOND,
  type TranslationTag,
} from "../../../walkers/caching.ts";
import {
  ANY,
  BOTH_STAGES,
  COMBINED_BY_ADDRESS,
  COMBINED_DROPPED,
  COMBINED_KEPT,
  CONTEXT_CACHE,
  coversDevice,
  coversDomain,
  DEVICE_TLB,
  FIRST_STAGE,
  type Invalidation,
  IOTLB,
  NONE,
  PAGING_STRUCTURES,
  PASID_CACHE,
  REGIME_ANY,
  SECOND_STAGE,
} from "../../../walkers/invalidation.ts";
import { FRAME_SHIFT, frameOf, framesIn } from "../../../walkers/memory.ts";
import { FINAL_LEVEL } from "../../../walkers/page-tables/vmsav8-64.ts";
import { NO_LEVEL } from "../../../walkers/result.ts";

/** Whether an invalidation covers a cached device context. */
export function coversContext(inv: Invalidation, tag: ContextTag): boolean {
  if ((inv.caches & CONTEXT_CACHE) === 0 || !coversDevice(inv, tag.device)) return false;
  if (inv.domain === ANY) return true;
  // Scalable-mode context entries have no domain id: hardware ignores that of an invalidation (VT-d 5.10, 6.5.2.1).
  if (tag.domain < 0) return true;
  return coversDomain(inv, tag.domain);
}

/** Whether an invalidation covers a cached PASID entry. */
export function coversPasidEntry(inv: Invalidation, tag: ContextTag): boolean {
  if ((inv.caches & PASID_CACHE) === 0 || !coversDevice(inv, tag.device)) return false;
  if (inv.pasid !== ANY && inv.pasid !== tag.pasid) return false;
  if (inv.asid !== ANY && inv.asid !== tag.asid) return false;
  // An entry that is not valid names no domain. VT-d with CAP_REG.CM tags it with domain 0 (5.10, 6.2.3); but software
  // gives the domain of the new entry (Linux, intel/pasid.c), and emulators look at no domain then.
  return inv.domain === ANY || tag.domain < 0 || coversDomain(inv, tag.domain);
}

/** Whether an invalidation is about translations with these tags, as far as tags decide. */
export function coversTags(inv: Invalidation, tag: TranslationTag, cache = IOTLB): boolean {
  if ((inv.caches & cache) === 0) return false;
  if (inv.regime !== REGIME_ANY && inv.regime !== tag.regime) return false;
  if (!coversDomain(inv, tag.domain < 0 ? NONE : tag.domain)) return false;
  const global = tag.space === GLOBAL_SPACE;
  if (inv.asid !== ANY && (global ? !inv.global : tag.space !== inv.asid)) return false;
  if (inv.pasid === NONE && tag.space >= 0) return false;
  if (inv.pasid >= 0 && (global ? !inv.global : tag.space !== inv.pasid)) return false;
  if (inv.stage === FIRST_STAGE) return (tag.stages & FIRST) !== 0;
  if (inv.stage === SECOND_STAGE) return (tag.stages & SECOND) !== 0;
  return inv.stage === BOTH_STAGES;
}

/** Whether one whose tags match covers all translations of a tag. */
function coversAll(inv: Invalidation, tag: TranslationTag): boolean {
  if (!inv.anyDevice) return false;
  // VT-d 5.10, 6.5.2.3: by page, it drops first-stage and nested translations of the domain whatever their address.
  return !inv.hasAddress || (inv.combined === COMBINED_DROPPED && (tag.stages & FIRST) !== 0);
}

/**
 * Whether the addresses of one whose tags match are those that first-stage translations lead to, and whether it
 * then covers any of them.
 */
function selectsIntermediate(inv: Invalidation, tag: TranslationTag): boolean {
  return inv.hasAddress && inv.stage === SECOND_STAGE && (tag.stages & FIRST) !== 0;
}

/** The pages that an invalidation is to overlap in order to cover an entry: first and last frame. */
export interface CoveredPlace {
  readonly first: number;
  readonly last: number;
}

/** What every invalidation overlaps, and none. */
const EVERYWHERE: CoveredPlace = { first: 0, last: Number.POSITIVE_INFINITY };
const NOWHERE: CoveredPlace = { first: Number.POSITIVE_INFINITY, last: -1 };

export function placeWhere(covers: boolean): CoveredPlace {
  return covers ? EVERYWHERE : NOWHERE;
}

/** The page of a size that holds a frame. */
function pageAround(frame: number, shift: number): CoveredPlace {
  const frames = framesIn(Math.max(shift, FRAME_SHIFT));
  const first = frame - (frame % frames);
  return { first, last: first + frames - 1 };
}

/** The pages that an invalidation names; all where it has no address. */
export function pagesOf({ addrHi, addrLo, lastHi, lastLo }: Invalidation): CoveredPlace {
  return { first: frameOf(addrHi, addrLo), last: frameOf(lastHi, lastLo) };
}

/** Whether an invalidation overlaps a place. */
export function reaches(inv: Invalidation, { first, last }: CoveredPlace): boolean {
  return first <= frameOf(inv.lastHi, inv.lastLo) && last >= frameOf(inv.addrHi, inv.addrLo);
}

/**
 * Where one whose tags match is to reach in order to cover a translation, by its granule and level.
 *
 * @param hi high half of its input address, as the tag has it; lo: low half
 * @param shift log2 of what it maps
 * @param firstShift log2 of its first stage's leaf; 0 where only one stage translates
 * @param ipaFrame where its first stage leads to; -1 where only one stage translates
 */
function placeOf(
  inv: Invalidation,
  tag: TranslationTag,
  hi: number,
  lo: number,
  shift: number,
  firstShift: number,
  ipaFrame: number,
): CoveredPlace {
  if (!inv.hasAddress || (inv.combined === COMBINED_DROPPED && (tag.stages & FIRST) !== 0)) return EVERYWHERE;
  if (selectsIntermediate(inv, tag))
    return inv.combined === COMBINED_BY_ADDRESS && ipaFrame >= 0 ? pageAround(ipaFrame, shift) : NOWHERE;
  const leaf = Math.max(firstShift, shift);
  return fitsGranule(inv, tag.leafShift || leaf) ? pageAround(frameOf(hi, lo), leaf) : NOWHERE;
}

/** Whether one whose tags match covers a translation, by its address, granule and level: see `placeOf`. */
export function coversPage(
  inv: Invalidation,
  tag: TranslationTag,
  hi: number,
  lo: number,
  shift: number,
  firstShift: number,
  ipaFrame: number,
): boolean {
  return reaches(inv, placeOf(inv, tag, hi, lo, shift, firstShift, ipaFrame));
}

/** IHI 0070, 4.4.1.1: with TG, only leaves of that granule are sure to go, and with TTL only those of that level. */
function fitsGranule(inv: Invalidation, leafShift: number): boolean {
  const { granule } = inv;
  if (granule === 0) return true;
  const levels = (leafShift - granule) / (granule - 3);
  if (!Number.isInteger(levels) || levels < 0) return false;
  return inv.level === NO_LEVEL || inv.level === FINAL_LEVEL - levels;
}

/** What an invalidation covers of one of the caches that are tagged and looked up by address. */
export interface Coverage {
  /** Kinds of cache, as `Invalidation.caches` has them. */
  readonly caches: number;
  /** Whether it is about entries with these tags; the others are asked only where it is. */
  tags(inv: Invalidation, tag: TranslationTag): boolean;
  all(inv: Invalidation, tag: TranslationTag): boolean;
  /** Whether what it covers can be told only from where a first stage leads to. */
  intermediate(inv: Invalidation, tag: TranslationTag): boolean;
  /** Where one whose tags match is to reach in order to cover an entry. */
  place: typeof placeOf;
  /** Whether an entry may be kept in pieces (`Invalidation.inPieces`). */
  readonly pieces: boolean;
  /** Whether an entry of this size is of the granule and level that it is about. */
  granule(inv: Invalidation, shift: number): boolean;
}

export const TRANSLATIONS: Coverage = {
  caches: IOTLB,
  tags: (inv, tag) => coversTags(inv, tag),
  all: coversAll,
  intermediate: selectsIntermediate,
  place: placeOf,
  pieces: true,
  granule: fitsGranule,
};

/** Entries above the last level; the size of one is that of the region below it. */
export const PAGING_STRUCTURE_ENTRIES: Coverage = {
  caches: PAGING_STRUCTURES,
  // Where leaves alone are meant and these are nevertheless, it is those of the first stage (VT-d 5.10, Table 23).
  tags: (inv, tag) =>
    coversTags(inv, tag, PAGING_STRUCTURES) && (!inv.leafOnly || (tag.stages & FIRST) !== 0),
  // Which second-stage entries a first-stage one was found through is not kept: any of them is taken to be covered.
  all: (inv, tag) =>
    coversAll(inv, tag) || (inv.anyDevice && selectsIntermediate(inv, tag) && inv.combined !== COMBINED_KEPT),
  intermediate: selectsIntermediate,
  place(inv, tag, hi, lo, shift) {
    if (PAGING_STRUCTURE_ENTRIES.all(inv, tag)) return EVERYWHERE;
    if (selectsIntermediate(inv, tag) || !this.granule(inv, shift)) return NOWHERE;
    return pageAround(frameOf(hi, lo), shift);
  },
  pieces: false,
  /** IHI 0070, 4.4.1.1: with TTL, table descriptors of the levels above that of the leaf. */
  granule(inv, shift) {
    const { granule } = inv;
    if (granule === 0) return true;
    const levels = (shift - granule) / (granule - 3);
    if (!Number.isInteger(levels) || levels < 1) return false;
    return inv.level === NO_LEVEL || FINAL_LEVEL - levels < inv.level;
  },
};

/** Translations in a device, in whose tags the device stands in the place of the domain. */
export const DEVICE_TRANSLATIONS: Coverage = {
  ...TRANSLATIONS,
  caches: DEVICE_TLB,
  tags: (inv, tag) => coversTags(inv, tag, DEVICE_TLB),
};
