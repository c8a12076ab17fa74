/**
 * What an invalidation covers, in one form for all vendors. A native command (command.ts) and the neutral `inv` record
 * (inv-record.ts) both become one; whoever models caches asks it which of its entries are covered.
 *
 * It states what the specification guarantees to be gone, no more: hardware may always drop more than it must.
 */
import { FRAME_BYTES, frameHi, frameLo } from "./memory.ts";
import { NO_LEVEL } from "./result.ts";

// Kinds of cache, as bits of `Invalidation.caches`.
/** Device contexts: VT-d context entries, STEs, AMD DTEs, RISC-V device contexts. */
export const CONTEXT_CACHE = 1;
/** VT-d PASID entries, CDs, AMD guest CR3 table entries, RISC-V process contexts. */
export const PASID_CACHE = 2;
/** Finished translations, and whatever holds last-level page-table entries. */
export const IOTLB = 4;
/** Page-table entries above the last level: paging-structure caches, walk caches. */
export const PAGING_STRUCTURES = 8;
/** Translations that a device keeps by itself (ATS). */
export const DEVICE_TLB = 16;

/** Names of the caches, by bit. */
export const CACHE_NAMES: readonly (readonly [number, string])[] = [
  [CONTEXT_CACHE, "context"],
  [PASID_CACHE, "pasid"],
  [IOTLB, "iotlb"],
  [PAGING_STRUCTURES, "paging structures"],
  [DEVICE_TLB, "devtlb"],
];

/** A tag that does not matter: entries with any value of it, and without it, are covered. */
export const ANY = -1;
/** Only entries that do not have the tag: no second stage (`domain`), a request without PASID (`pasid`). */
export const NONE = -2;

// `Invalidation.stage`: entries that hold information of this stage.
export const BOTH_STAGES = 0;
export const FIRST_STAGE = 1;
export const SECOND_STAGE = 2;

// `Invalidation.combined`: what a command on the second stage that has an address does to entries in which a first
// stage took part: their own address is one of the first stage, so it cannot be compared.
/** They may stay (Arm: IHI 0070, 4.4.3.1). */
export const COMBINED_KEPT = 0;
/** Covered where the intermediate address that they lead to is in the range (RISC-V, AMD). */
export const COMBINED_BY_ADDRESS = 1;
/** Covered, whatever their address, where the other tags match (VT-d, 6.5.2.3). */
export const COMBINED_DROPPED = 2;

// `Invalidation.regime`: whose translations, where a vendor keeps several apart (Arm StreamWorld).
export const REGIME_EL1 = 0;
export const REGIME_EL2 = 1;
/** Secure EL1, Secure EL2 and EL3: never those of a Non-secure interface. */
export const REGIME_SECURE = 2;
/** Whatever regime: the neutral form, which does not know of them. */
export const REGIME_ANY = 3;

// `Invalidation.status`: how far the specification stands behind the command.
export const ACCEPTED = 0;
/** Accepted, but what it covers is UNPREDICTABLE or UNSPECIFIED: nothing is guaranteed. */
export const UNPREDICTABLE = 1;
/** The IOMMU may take it for malformed: reserved bits that an implementation is free to check or to ignore. */
export const RESERVED_BITS = 2;
/** The IOMMU refuses it and stops: nothing is guaranteed. An emulator may act on it all the same. */
export const REJECTED = 3;

/**
 * One invalidation. Reused from command to command: read what you need before the next one. An entry of a cache is
 * covered where its kind is in `caches` and every tag here matches (`coversDevice`, `coversDomain`; for the rest, the caches' coverage).
 */
export class Invalidation {
  /** CONTEXT_CACHE | PASID_CACHE | … */
  caches = 0;
  /** ACCEPTED, UNPREDICTABLE, RESERVED_BITS or REJECTED. Only the first guarantees anything. */
  status = ACCEPTED;

  /** False: only entries of `device`, compared without the bits of `deviceMask`. */
  anyDevice = true;
  /** Requester id, StreamID, DeviceID or device_id (with ATS of RISC-V: segment and requester id). */
  device = 0;
  /** Bits to ignore, as int32: VT-d function mask, range of CMD_CFGI_STE_RANGE. */
  deviceMask = 0;

  /** VT-d DID, AMD DomainID, Arm VMID, RISC-V GSCID; ANY, or NONE. */
  domain = ANY;
  /** Bits of the domain to ignore (Arm VMID wildcards). */
  domainMask = 0;
  /** Arm ASID, RISC-V PSCID; or ANY. */
  asid = ANY;
  /**
   * PASID, SubstreamID or process_id; ANY, or NONE. In PASID_CACHE of Arm and RISC-V it is the index of the entry:
   * 0 also covers what a request without PASID used.
   */
  pasid = ANY;
  /** With `asid`: entries marked global are covered too, whatever their ASID. */
  global = true;

  /** Only pages that overlap the range below. */
  hasAddress = false;
  /** First byte, as two int32 halves, after the specification's rounding. */
  addrHi = 0;
  addrLo = 0;
  /** Last byte (inclusive). */
  lastHi = -1;
  lastLo = -1;

  /**
   * Of a larger page, only the 4 KiB in the range are sure to go: hardware may keep it in pieces, and the range is to
   * be that of the whole page (VT-d 5.10, 6.5.3.2).
   */
  inPieces = false;
  /** With `inPieces`: log2 of the only size of page of which that is so; 0: of all that are larger than 4 KiB. */
  piecesOf = 0;

  /** BOTH_STAGES, FIRST_STAGE or SECOND_STAGE; with SECOND_STAGE, the address is an input of the second stage. */
  stage = BOTH_STAGES;
  combined = COMBINED_KEPT;
  /**
   * Only last-level entries: PAGING_STRUCTURES is then not in `caches`, or it means those of the first stage alone
   * (VT-d 5.10, 6.5.2.3); in CONTEXT_CACHE and PASID_CACHE, the tables that lead to the entry (L1 stream table, L1 CD
   * table, non-leaf directory entries) may stay cached.
   */
  leafOnly = false;
  /** Arm: log2 of the only granule that is covered; 0: all. */
  granule = 0;
  /** Arm: the only leaf level that is covered (TTL); NO_LEVEL: all. */
  level = NO_LEVEL;
  regime = REGIME_EL1;

  /** Everything in the given caches. */
  reset(caches: number): void {
    this.caches = caches;
    this.status = ACCEPTED;
    this.anyDevice = true;
    this.device = 0;
    this.deviceMask = 0;
    this.domain = ANY;
    this.domainMask = 0;
    this.asid = ANY;
    this.pasid = ANY;
    this.global = true;
    this.hasAddress = false;
    this.addrHi = 0;
    this.addrLo = 0;
    this.lastHi = -1;
    this.lastLo = -1;
    this.inPieces = false;
    this.piecesOf = 0;
    this.stage = BOTH_STAGES;
    this.combined = COMBINED_KEPT;
    this.leafOnly = false;
    this.granule = 0;
    this.level = NO_LEVEL;
    this.regime = REGIME_EL1;
  }

  /** A copy to keep: the object itself is filled anew by the next command. */
  clone(): Invalidation {
    const copy = new Invalidation();
    copy.caches = this.caches;
    copy.status = this.status;
    copy.anyDevice = this.anyDevice;
    copy.device = this.device;
    copy.deviceMask = this.deviceMask;
    copy.domain = this.domain;
    copy.domainMask = this.domainMask;
    copy.asid = this.asid;
    copy.pasid = this.pasid;
    copy.global = this.global;
    copy.hasAddress = this.hasAddress;
    copy.addrHi = this.addrHi;
    copy.addrLo = this.addrLo;
    copy.lastHi = this.lastHi;
    copy.lastLo = this.lastLo;
    copy.inPieces = this.inPieces;
    copy.piecesOf = this.piecesOf;
    copy.stage = this.stage;
    copy.combined = this.combined;
    copy.leafOnly = this.leafOnly;
    copy.granule = this.granule;
    copy.level = this.level;
    copy.regime = this.regime;
    return copy;
  }

  /** A copy with other pages, whose first and last frame these are. */
  ofPages(first: number, last: number): Invalidation {
    const copy = this.clone();
    copy.addrHi = frameHi(first);
    copy.addrLo = frameLo(first);
    copy.lastHi = frameHi(last);
    copy.lastLo = frameLo(last) | (FRAME_BYTES - 1);
    return copy;
  }

  /** Narrows to one device, or to those that differ from it only in `mask`. */
  onDevice(device: number, mask = 0): void {
    this.anyDevice = false;
    this.device = device;
    this.deviceMask = mask;
  }

  /** Narrows to a domain, or to NONE. */
  onDomain(domain: number): void {
    this.domain = domain;
  }

  onPasid(pasid: number): void {
    this.pasid = pasid;
  }

  /** @param global whether entries marked global are covered too */
  onAsid(asid: number, global: boolean): void {
    this.asid = asid;
    this.global = global;
  }

  /** Spares everything above the last level. */
  onLeaves(): void {
    this.leafOnly = true;
    this.caches &= ~PAGING_STRUCTURES;
  }
}

/** Whether entries of a device are covered, as far as the device decides. */
export function coversDevice(inv: Invalidation, device: number): boolean {
  return inv.anyDevice || ((inv.device ^ device) & ~inv.deviceMask) === 0;
}

/**
 * Whether entries of a domain are covered, as far as the domain decides.
 * @param domain NONE for an entry without second stage
 */
export function coversDomain(inv: Invalidation, domain: number): boolean {
  if (inv.domain === ANY) return true;
  if (inv.domain === NONE || domain === NONE) return inv.domain === domain;
  return ((inv.domain ^ domain) & ~inv.domainMask) === 0;
}
