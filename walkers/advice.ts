/** What the finding about a stale cache entry asks a vendor for: the command that was owed. */
import { RADIX512 } from "./page-tables/geometry.ts";
import type { IommuState } from "./registers.ts";

/** The caches that a stale answer may come from, as findings name them. */
export type CacheName = "context" | "pasid" | "iotlb" | "paging-structures" | "devtlb";

/** What a cache holds that memory no longer says, as far as a command that drops it needs to know. */
export interface StaleEntry {
  readonly cache: CacheName;
  readonly device: number;
  /** Of the request; -1 for none. */
  readonly pasid: number;
  /** VT-d DID, AMD DomainID, VMID or GSCID; -1 for none. */
  readonly domain: number;
  /** ASID, PSCID or PASID that tags it; -1 for none, -2 for all (global). */
  readonly space: number;
  /** REGIME_EL1 or REGIME_EL2. */
  readonly regime: number;
  /** The entry that changed: 1 or 2 for a page table of that stage, 0 for a context. */
  readonly stage: number;
  /** Both stages translate. */
  readonly nested: boolean;
  /** Level of the entry that changed, as the specification counts; 1 or Arm's 3 where it maps the smallest pages. */
  readonly level: number;
  /** Whether it pointed to another table: then everything below has changed. */
  readonly table: boolean;
  /** Of a context or PASID entry: whether what changed is a table that leads to it, and not the entry itself. */
  readonly above: boolean;
  /** Whether it was a context: then everything has that was translated with it. */
  readonly whole: boolean;
  /** Frame number of the input address, or of the intermediate one where only the second stage is concerned. */
  readonly frame: number;
}

/** A command by its name and fields, as `encodeCommand` takes them. */
export interface OwedCommand {
  readonly name: string;
  readonly fields: Readonly<Record<string, number>>;
  /** How many words, where the vendor has commands of several lengths and the mode decides. */
  readonly words?: number | undefined;
  /** The register that asks for it; undefined: the queue. */
  readonly register?: string | undefined;
}

/**
 * The command that would have dropped a stale entry, and whatever else was made from the table entry that changed.
 * @param state of the IOMMU: not every one has every command
 */
export type Advise = (entry: StaleEntry, state: IommuState) => OwedCommand;

/**
 * The commands that drop everything that a root pointer led to, in their order.
 * @param device whose request met what is stale: where there is none for all, those for it
 * @param domain of what is stale; -1: none
 */
export type AdviseRoot = (state: IommuState, device: number, domain: number) => readonly OwedCommand[];

/** Address bits from 12 up: with all but the topmost set, and S, everything is meant (AMD, PCIe ATS). */
export const EVERY_ADDRESS = 2 ** 51 - 1;

/** log2 of the 4 KiB pages that an entry of nine address bits a level maps. */
export function order(level: number): number {
  return RADIX512.bits * Math.max(level - 1, 0);
}

/** First frame of a naturally aligned range of 2^order of them. */
export function aligned(frame: number, bits: number): number {
  return frame - (frame % 2 ** bits);
}

/** S and an address that says the size, as PCIe ATS, AMD and RISC-V have it. */
export function sizedAddress(e: StaleEntry): Readonly<Record<string, number>> {
  if (e.whole) return { S: 1, ADDR: EVERY_ADDRESS };
  const bits = order(e.level);
  return bits === 0 ? { ADDR: e.frame } : { S: 1, ADDR: aligned(e.frame, bits) + 2 ** (bits - 1) - 1 };
}
