import type { Invalidation } from "../../parsers/commands/invalidation.ts";
import { IommuState, type PropertyValue, type Word64 } from "../../walkers/registers.ts";

/** A 64-bit value as the two halves that traces hand on. */
export function word(value: bigint): Word64 {
  return { hi: Number(BigInt.asIntN(32, value >> 32n)), lo: Number(BigInt.asIntN(32, value)) };
}

/** Words of a command, lowest address first. */
export function words(...values: bigint[]): Word64[] {
  return values.map(word);
}

export function unsigned(hi: number, lo: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

/** First and last byte that an invalidation covers; null: no address. */
export function rangeOf(inv: Invalidation | null): [bigint, bigint] | null {
  if (inv === null) throw new Error("expected an invalidation");
  return inv.hasAddress ? [unsigned(inv.addrHi, inv.addrLo), unsigned(inv.lastHi, inv.lastLo)] : null;
}

/** What is known of an IOMMU. */
export function state(
  registers: Record<string, bigint>,
  props: Record<string, PropertyValue> = {},
): IommuState {
  const out = new IommuState();
  for (const [name, value] of Object.entries(registers)) out.registers.set(name, word(value));
  for (const [name, value] of Object.entries(props)) out.props.set(name, value);
  return out;
}

export const MAX64 = 2n ** 64n - 1n;
