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
