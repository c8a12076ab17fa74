import { type IotlbGeometry, problemOf } from "../pipeline/caches/iotlb-simulation.ts";
import { CliError } from "./errors.ts";

/**
 * IOTLBs to simulate: "64x4,512x8" is one of 64 entries in sets of 4, and one of 512 in sets of 8.
 * @throws CliError for anything else
 */
export function parseIotlb(given: string | readonly string[] | undefined): IotlbGeometry[] {
  if (given === undefined) return [];
  const parts = [given].flat().flatMap((text) => text.split(","));
  return parts.map((part) => {
    const match = /^\s*(\d+)x(\d+)\s*$/i.exec(part);
    if (match === null)
      throw new CliError(
        `--iotlb: expected entries and ways such as 64x4 or 512x8, found ${JSON.stringify(part)}`,
        true,
      );
    const geometry = { entries: Number(match[1]), ways: Number(match[2]) };
    const problem = problemOf(geometry);
    if (problem !== undefined) throw new CliError(`--iotlb ${part.trim()}: ${problem}`, true);
    return geometry;
  });
}
