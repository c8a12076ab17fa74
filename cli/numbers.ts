import { CliError } from "./errors.ts";

const NUMBER = /^(0x[0-9a-f]+|\d+)$/i;

/** A 64-bit number, decimal or 0x and hex digits. */
export function parseUnsigned64(option: string, text: string): bigint {
  const value = NUMBER.test(text) ? BigInt(text) : -1n;
  if (value < 0n || value >= 1n << 64n)
    throw new CliError(
      `${option}: expected a 64-bit number, decimal or 0x and hex digits, found ${JSON.stringify(text)}`,
      true,
    );
  return value;
}

/** An integer in a range, decimal or 0x and hex digits; a minus sign where the range allows it. */
export function parseInteger(option: string, text: string, min: number, max: number): number {
  const negative = text.startsWith("-");
  const digits = negative ? text.slice(1) : text;
  const value = NUMBER.test(digits) ? Number(digits) * (negative ? -1 : 1) : Number.NaN;
  if (!(value >= min && value <= max))
    throw new CliError(
      `${option}: expected an integer of at least ${min}${max === Number.MAX_SAFE_INTEGER ? "" : ` and at most ${max}`}, found ${JSON.stringify(text)}`,
      true,
    );
  return value;
}
