import { FRAME_SHIFT } from "../memory.ts";
import { GRANULE_4K, GRANULE_16K, GRANULE_64K } from "../page-tables/vmsav8-64.ts";
import type { SmmuFeatures } from "./features.ts";

/** TG0 and S2TG encodings; 0 stands for the reserved ones. */
const TG0 = [GRANULE_4K, GRANULE_64K, GRANULE_16K, 0] as const;
/** TG1 has an encoding of its own (5.4 TG1). */
const TG1 = [0, GRANULE_16K, GRANULE_4K, GRANULE_64K] as const;

/** What neither encoding defines. */
export const RESERVED_TG0 = 3;
export const RESERVED_TG1 = 0;

/** log2 of the granule that TG0 or S2TG selects, or 0 where it is reserved or not implemented. */
export function granuleOfTg0(features: SmmuFeatures, tg: number): number {
  return implemented(features, TG0[tg]!);
}

/** log2 of the granule that TG1 selects, or 0 where it is reserved or not implemented. */
export function granuleOfTg1(features: SmmuFeatures, tg: number): number {
  return implemented(features, TG1[tg]!);
}

function implemented(features: SmmuFeatures, granule: number): number {
  const yes =
    granule === GRANULE_4K
      ? features.gran4k
      : granule === GRANULE_16K
        ? features.gran16k
        : granule === GRANULE_64K && features.gran64k;
  return yes ? granule : 0;
}

/** Largest TxSZ and S2T0SZ (5.4 T0SZ, 5.2 S2T0SZ). */
export function maxTxsz(features: SmmuFeatures, granule: number): number {
  if (!features.stt) return 39;
  return granule === GRANULE_64K ? 47 : 48;
}

/** First 4 KiB frame number beyond addresses of so many bits, by their number: raised once, since every walk asks. */
const FRAMES = Float64Array.from({ length: 65 }, (_, bits) => 2 ** (bits - FRAME_SHIFT));

/** @param bits of an address, 12 to 64 */
export function frameLimitOf(bits: number): number {
  return FRAMES[bits]!;
}

/**
 * Address bits that a granule's tables can express (5.4 TTB0, 5.2 S2TTB: 48 where DS is 0 and the granule is less
 * than 64 KiB).
 */
export function tableAddressBits(granule: number, ds: boolean): number {
  return ds || granule === GRANULE_64K ? 52 : 48;
}
