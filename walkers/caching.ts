/** What one vendor's specification says about caches, as the model of the recorded caches asks for it. */
import type { Fault } from "./fault.ts";
import { type Invalidation, REGIME_EL1 } from "./invalidation.ts";
import type { LevelSizes } from "./page-tables/level-sizes.ts";
import type { IommuState } from "./registers.ts";

/** `TranslationTag.stages`, as bits. */
export const FIRST = 1;
export const SECOND = 2;
/** A tag that an entry does not have. */
export const NO_TAG = -1;

/** `TranslationTag.space` of global translations, which belong to every address space of a domain. */
export const GLOBAL_SPACE = -2;

/** What tags a device context or a PASID entry in the cache that holds it. */
export interface ContextTag {
  /** Requester id, StreamID, DeviceID or device_id. */
  readonly device: number;
  /** VT-d DID, AMD DomainID, Arm VMID, RISC-V GSCID; NO_TAG: none. */
  readonly domain: number;
  /** Index of a PASID entry in its table: that of a request without PASID is what its context says. NO_TAG: no PASID entry. */
  readonly pasid: number;
  /** ASID or PSCID that the entry names; NO_TAG: none. */
  readonly asid: number;
}

/** What tags a translation in an IOMMU's cache; the vendors' names for it differ. */
export interface TranslationTag {
  /** VT-d DID, AMD DomainID, Arm VMID, RISC-V GSCID; or NO_TAG. */
  readonly domain: number;
  /** Address space in the domain: Arm ASID, RISC-V PSCID, VT-d and AMD PASID; NO_TAG, or GLOBAL_SPACE. */
  readonly space: number;
  /** Stages that translate: FIRST | SECOND. */
  readonly stages: number;
  /** Arm: REGIME_EL1 or REGIME_EL2, which share no entries; REGIME_EL1 for everybody else. */
  readonly regime: number;
  /** Arm, first stage: entries are made under the address without its top byte, which TBI may have ignored. */
  readonly withoutTopByte: boolean;
  /** Of entries that hold groups of leaves (`WalkResult.groupShift`): log2 of a leaf's size; 0 or absent: single leaves. */
  readonly leafShift?: number;
}

/** The tag of a vendor that knows one regime and compares addresses whole. */
export function translationTag(
  domain: number,
  space: number,
  first: boolean,
  second: boolean,
): TranslationTag {
  return {
    domain,
    space,
    stages: (first ? FIRST : 0) | (second ? SECOND : 0),
    regime: REGIME_EL1,
    withoutTopByte: false,
  };
}

/** What one IOMMU's caches may hold of entries that refuse a request. */
export interface CachedFailures {
  /** Device contexts and PASID entries that are not present, or are misprogrammed: which of these faults are held. */
  contexts(fault: Fault): boolean;
  /** Page-table entries of the first stage, likewise. */
  readonly firstStage: boolean;
  readonly secondStage: boolean;
}

/** Page-table entries that stand several times beside each other, of which a cache may take any for all of them. */
export interface RepeatedLeaf {
  /**
   * log2 of how many entries, from a multiple of their number on, a leaf says that it stands in; 0: it alone.
   * @param level as the specification counts
   */
  entries(stage: number, level: number, hi: number, lo: number): number;
  /** Whether two values of an entry say the same, but for flags that hardware sets. */
  same(hi: number, lo: number, otherHi: number, otherLo: number): boolean;
  /**
   * Why an entry cannot be one of those of a leaf ("leads elsewhere"); null: it can, or is not valid.
   * @param hi high half of the leaf, lo: low half
   * @param index of the other entry among them
   */
  contradiction(hi: number, lo: number, otherHi: number, otherLo: number, index: number): string | null;
}

/** A page-table entry that was taken from one value to another, in one write or while the first could still be held. */
export interface LiveChange {
  readonly stage: number;
  readonly level: number;
  /** The page that is used leads elsewhere than before, or has other rights. */
  readonly translatesOtherwise: boolean;
  readonly oldHi: number;
  readonly oldLo: number;
  readonly newHi: number;
  readonly newLo: number;
}

/**
 * The caching traits of one vendor.
 * @typeParam D decoded device context
 * @typeParam P decoded PASID entry
 */
export interface Caching<D extends object = object, P extends object = object> {
  /** Translations are tagged with the ASID or PSCID that a PASID's entry names; otherwise with the PASID itself. */
  readonly byAsid: boolean;

  /**
   * log2 of the devices that one cached context may stand for: those with the same id but for its low bits. Absent: each
   * has its own. An invalidation of the entry itself drops it.
   */
  deviceSpan?(device: D): number;
  /** Domain that tags a cached device context; NO_TAG: none. */
  deviceDomain(device: D): number;
  /** Domain that tags a device context that is cached although it is not valid; NO_TAG: none. */
  refusedDomain(state: IommuState): number;
  /** What a request, by its PASID (NO_PASID: none), finds in a table of PASID entries. */
  pasidIndex(device: D, pasid: number): number;
  /** Whether a cache of PASID entries holds what says how to translate; otherwise the device's context alone does. */
  hasOwnEntry(device: D, process: P, pasid: number): boolean;
  /** @param pasid of the request, NO_PASID for none */
  translationTag(device: D, process: P, pasid: number): TranslationTag;
  /** Whether the device may keep translations by itself: its context allows ATS. */
  hasDeviceTlb(device: D): boolean;
  /**
   * Makes of a new PASID context what requests that have been translated (ATS) go by: a second stage alone. Absent, or
   * false: nothing translates them.
   */
  loadTranslated?(device: D, process: P): boolean;

  /**
   * Fields of a decoded context or PASID entry that say where its entry stands and what its words were, for faults that
   * are found out later: two that differ in these alone translate alike.
   */
  readonly placeFields: readonly string[];

  /** Which refusals a cache may remember: the entry that is behind one may be cached although it is not valid. */
  cachedFailures(state: IommuState): CachedFailures;

  /**
   * The sizes that entries above the last level of a context's tables map.
   * @param hi high half of the input address: Arm has two halves
   * @returns `out`
   */
  levelSizes(device: D, process: P, hi: number, out: LevelSizes): LevelSizes;
  /**
   * Whether a page-table entry points to another table.
   * @param stage 1 or 2
   * @param level as the specification counts
   * @param lo its low half
   */
  pointsToTable(stage: number, level: number, lo: number): boolean;
  /** Flags in the low half of a table entry above the last level that hardware sets when it uses the entry. */
  accessedFlags(stage: number): number;

  /**
   * Whoever invalidates a context owes the invalidation of what was translated through it, even where the tags that are
   * in use now are others. Otherwise it is owed before the tags are used again.
   */
  readonly owesTranslations: boolean;
  /** What the first stage says under a second one may be held apart from what both have made: commands of the second leave it. */
  readonly firstStageApart?: boolean;
  /** Registers that say where the tables of devices are, by their names in traces. */
  readonly rootRegisters: readonly string[];
  /**
   * Why an entry had to be made invalid, and be invalidated, before it took its new value; null: it had not.
   * Absent: the vendor asks for no such thing.
   * @param device and process: the contexts whose tables it is in
   */
  brokenBeforeMade?(state: IommuState, change: LiveChange, device: D, process: P): string | null;
  /** Absent: no leaf stands in several entries, or a group of them is told by each (`WalkResult.groupShift`). */
  readonly repeatedLeaf?: RepeatedLeaf;
  /**
   * Bits of leaves that are to be the same in all of a group (`WalkResult.groupShift`), beside rights and where they lead:
   * high and low half, by stage. Absent: there are no such groups.
   */
  readonly groupAttributes?: readonly (readonly [hi: number, lo: number])[];

  /**
   * What a change of registers drops by itself.
   * @param written the register that a `reg` record has just written; "" for an `iommu` record
   * @param out set to what is dropped, where anything is
   * @returns whether anything is
   */
  reconfigured(before: IommuState, after: IommuState, written: string, out: Invalidation): boolean;
}
