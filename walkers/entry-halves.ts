import type { Layout } from "./layout.ts";

/** Bits 31:0 of a table entry. */
export function lowHalf({ bytes }: Layout, view: DataView, at: number, littleEndian: boolean): number {
  return view.getInt32(littleEndian || bytes < 8 ? at : at + 4, littleEndian);
}

/** Bits 63:32 of a table entry; 0 in those of Sv32, which are half as wide and may be the last of their frame. */
export function highHalf({ bytes }: Layout, view: DataView, at: number, littleEndian: boolean): number {
  return bytes < 8 ? 0 : view.getInt32(littleEndian ? at + 4 : at, littleEndian);
}
