import { CliError } from "./errors.ts";

const UNITS: Readonly<Record<string, number>> = { "": 0, k: 10, m: 20, g: 30, t: 40 };

/**
 * A number of bytes: "1048576", "64K", "512M", "1.5G", "512MiB". Units are powers of 1024.
 * @param option for the message
 */
export function parseSize(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim());
  const bytes = match === null ? Number.NaN : Number(match[1]) * 2 ** UNITS[match[2]!.toLowerCase()]!;
  if (!(bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER))
    throw new CliError(
      `${option}: expected a size such as 1048576, 64K, 512M or 2G, found ${JSON.stringify(text)}`,
      true,
    );
  return Math.floor(bytes);
}

const BINARY_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** A number of bytes in the largest unit that gives it exactly: "64 KiB", "2052 KiB" (powers of 1024). */
export function binarySize(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && value % 1024 === 0 && unit < BINARY_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value} ${BINARY_UNITS[unit]}`;
}

/** A total of bytes, where nobody counts them: "12.3 MiB", "8 KiB", at most one decimal (powers of 1024). */
export function formatBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1023.95 && unit < BINARY_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${BINARY_UNITS[unit]}`;
}

/** A count or rate for a person: "950", "12.3 k", "1.2 M". */
export function formatCount(count: number): string {
  if (count < 1000) return count.toFixed(0);
  if (count < 999_950) return `${(count / 1000).toFixed(1)} k`;
  return `${(count / 1e6).toFixed(2)} M`;
}
