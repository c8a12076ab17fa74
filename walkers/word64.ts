/** 64-bit quantities for people and for records: the walks themselves have them as two halves. */
import { FRAME_SHIFT } from "./memory.ts";

/** The number of two 32-bit halves. */
export function joined(hi: number, lo: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

/** The byte address of a frame and an offset in it. */
export function byteAddress(frame: number, offset = 0): bigint {
  return (BigInt(frame) << BigInt(FRAME_SHIFT)) + BigInt(offset);
}

/** As addresses and data are printed. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

/** The byte address of a frame and an offset in it, as it is printed. */
export function addressText(frame: number, offset = 0): string {
  return hex(byteAddress(frame, offset));
}

/** Two halves as the trace contract writes them. */
export function hexHalves(hi: number, lo: number): string {
  const low = (lo >>> 0).toString(16);
  return hi === 0 ? `0x${low}` : `0x${(hi >>> 0).toString(16)}${low.padStart(8, "0")}`;
}
