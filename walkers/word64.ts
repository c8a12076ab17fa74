/** 64-bit quantities for people and for records: the walks themselves have them as two halves. */

/** The number of two 32-bit halves. */
export function wordOf(hi: number, lo: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

/** As addresses and data are printed. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
