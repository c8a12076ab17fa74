/** Which translations an invalidation is about: a range of pages, and when it was issued. */
export interface PageRange {
  /** First and last page as page numbers (address / 4096). */
  readonly first: number;
  readonly last: number;
  readonly issued: number;
  /** The pages are of the intermediate address space (first-stage output), not of the input one. */
  readonly intermediate: boolean;
}

/** What tags a translation in an IOMMU's cache; the vendors' names for it differ. */
export interface TranslationTag {
  /** VT-d DID, AMD DomainID, Arm VMID, RISC-V GSCID; -1: none. */
  domain: number;
  /** Address space in the domain: Arm ASID, RISC-V PSCID, VT-d and AMD PASID; -1: none. */
  space: number;
  /** Stages that translate: 1 first, 2 second, 3 both. */
  stages: number;
}

/** Marks global translations, which belong to every address space of a domain. */
export const GLOBAL_SPACE = -2;

/** All translations with one tag. */
export class TagSet implements TranslationTag {
  /** Its number in the table of pages, from 1. */
  readonly id: number;
  readonly domain: number;
  readonly space: number;
  readonly stages: number;
  /** Page sizes seen, as bits of their log2, in two halves. */
  #shiftsLo = 0;
  #shiftsHi = 0;
  /** Some entry is smaller than its first stage's leaf. */
  split = false;
  /** All entries filled up to here are invalidated. */
  epoch = 0;
  /** Invalidations of many pages, and of intermediate ones: looked at when an entry is in question. */
  readonly ranges: PageRange[] = [];

  constructor(id: number, domain: number, space: number, stages: number) {
    this.id = id;
    this.domain = domain;
    this.space = space;
    this.stages = stages;
  }

  saw(shift: number): void {
    if (shift < 32) this.#shiftsLo |= 1 << shift;
    else this.#shiftsHi |= 1 << (shift - 32);
  }

  /** The smallest page size seen that is larger than this one, as log2; 0 where there is none. */
  nextShift(after: number): number {
    for (let shift = after + 1; shift < 64; shift++) {
      if (((shift < 32 ? this.#shiftsLo >>> shift : this.#shiftsHi >>> (shift - 32)) & 1) !== 0) return shift;
    }
    return 0;
  }
}

/** The tag sets of one IOMMU. */
export class TagSets {
  readonly all: TagSet[] = [];
  readonly #byTag = new Map<string, TagSet>();

  of(domain: number, space: number, stages: number): TagSet {
    const key = `${domain}:${space}:${stages}`;
    let set = this.#byTag.get(key);
    if (set === undefined) {
      set = new TagSet(this.all.length + 1, domain, space, stages);
      this.all.push(set);
      this.#byTag.set(key, set);
    }
    return set;
  }

  byId(id: number): TagSet {
    const set = this.all[id - 1];
    if (set === undefined) throw new RangeError(`no tag set has number ${id}`);
    return set;
  }
}
