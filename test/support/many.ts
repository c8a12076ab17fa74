/**
 * Assertions for loops of very many: vitest's own, made for each value, take longer there than what they look at. What is not
 * the same at first sight is left to vitest's, which decides and says what differs.
 */
import { isDeepStrictEqual } from "node:util";
import { expect } from "vitest";

/** As `expect(actual).toEqual(expected)`. */
export function equal(actual: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual).toEqual(expected);
}

/** As `expect(actual).toBe(expected)`. */
export function identical(actual: unknown, expected: unknown): void {
  if (!Object.is(actual, expected)) expect(actual).toBe(expected);
}

/** As `expect(actual, where).toMatchObject(expected)`, of members that are no objects. */
export function matching<T extends object>(actual: T, expected: Partial<T>, where: string): void {
  for (const name in expected)
    if (!Object.is(actual[name], expected[name])) expect(actual, where).toMatchObject(expected);
}

/** As `expect(actual).toBeLessThanOrEqual(most)`. */
export function atMost(actual: number, most: number): void {
  if (!(actual <= most)) expect(actual).toBeLessThanOrEqual(most);
}
