/** How many PASIDs the tables of context entries have room for. */

/** Low bits of a PASID that index a PASID table: 64 entries fill its 4 KiB. */
export const PASID_TABLE_BITS = 6;

/** PASIDs of a directory by PDTS: it has 2^(PDTS + 7) entries, each for a PASID table (VT-d 5.10, 9.4). */
export function directoryPasids(pdts: number): number {
  return 1 << (pdts + 7 + PASID_TABLE_BITS);
}

/** PASIDs of an extended-mode table by PTS (VT-d 2.4, 9.4). */
export function tablePasids(pts: number): number {
  return 1 << (pts + 5);
}
