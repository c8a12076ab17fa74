import { expect } from "vitest";
import { type DecodedCommand, decodeCommand, formatCommand } from "../../walkers/commands/command.ts";
import { ACCEPTED, type Invalidation } from "../../walkers/invalidation.ts";
import type { IommuModel } from "../../walkers/models.ts";
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

/**
 * A vendor's commands by their first two words.
 * @param more words behind them, all zero
 */
export function commandsOf(model: IommuModel, more = 0) {
  const rest = Array<bigint>(more).fill(0n);
  const decode = (w0: bigint, w1 = 0n, known?: IommuState) =>
    decodeCommand(model, words(w0, w1, ...rest), known);
  return {
    decode,
    /** What is wrong: kind and field, or kind and bits. */
    problems: (w0: bigint, w1 = 0n, known?: IommuState) =>
      decode(w0, w1, known).problems.map((p) => `${p.kind} ${p.field || p.bits}`),
  };
}

/** A command's first two words with one more bit set. */
export function withBit(w0: bigint, bit: bigint): [bigint, bigint] {
  const value = w0 | (1n << bit);
  return [value & MAX64, value >> 64n];
}

/** The command is one that the IOMMU takes: an invalidation, or with `completes` what is waited for. */
export function expectTaken(command: DecodedCommand, text: string, completes = false): void {
  expect(formatCommand(command)).toBe(text);
  expect(command.problems).toEqual([]);
  expect(command.invalidation?.status).toBe(completes ? undefined : ACCEPTED);
  expect(command.completion).toBe(completes);
}

/** The command is legal, and nothing that translates is invalidated by it. */
export function expectNoInvalidation(command: DecodedCommand, text: string): void {
  expect(formatCommand(command)).toBe(text);
  expect([command.invalidation, command.problems]).toEqual([null, []]);
}
