/** What an IOMMU of a model can have, whoever configures it: a trace or a user of the library. */

/** Properties that count bits, and the fewest there can be. What is no such number would be as if nothing had been said. */
const BIT_COUNTS: ReadonlyMap<string, number> = new Map([
  ["pasid_bits", 0],
  ["ssid_bits", 0],
  ["asid_bits", 0],
  ["input_bits", 12],
  ["output_bits", 32],
]);
const MOST_BITS = 64;

/** What is wrong with a property: expected and found; or null. */
export function propertyProblem(name: string, value: unknown): string | null {
  const least = BIT_COUNTS.get(name);
  if (least === undefined) return null;
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= MOST_BITS)
    return null;
  return `expected an integer ${least} to ${MOST_BITS}, found ${JSON.stringify(value)}`;
}
