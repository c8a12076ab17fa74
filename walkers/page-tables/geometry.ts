import { FRAME_SHIFT, pow2 } from "../memory.ts";

/** What the levels of page tables of one format have in common, whatever is in their entries. A table is as large as the smallest page. */
export interface LevelGeometry {
  /** log2 of the smallest page. */
  readonly pageShift: number;
  /** Address bits that one level resolves. */
  readonly bits: number;
  /** Number of the level that maps the smallest pages, as the specification counts. */
  readonly last: number;
  /** 1 where numbers grow towards the root, -1 where they fall. */
  readonly up: 1 | -1;
}

/** x86-64, VT-d second stage, AMD v1, Sv39 to Sv57: entries of 8 bytes. */
export const RADIX512: LevelGeometry = { pageShift: FRAME_SHIFT, bits: 9, last: 1, up: 1 };

/** log2 of the bytes that an entry of a level maps. */
export function entryShift({ pageShift, bits, last, up }: LevelGeometry, level: number): number {
  return pageShift + bits * up * (level - last);
}

/** The level of the tables that an entry of this one points to. */
export function levelBelow({ up }: LevelGeometry, level: number): number {
  return level - up;
}

/** The level of the root, where there are so many of them. */
export function rootLevel({ last, up }: LevelGeometry, levels: number): number {
  return last + up * (levels - 1);
}

/** Bytes of an entry. */
export function entryBytes({ pageShift, bits }: LevelGeometry): number {
  return pow2(pageShift - bits);
}
