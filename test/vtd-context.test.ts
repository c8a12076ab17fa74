import { expect, it } from "vitest";
import { VtdDevice, VtdProcess } from "../walkers/vtd/context.ts";

it.each([
  ["device", VtdDevice],
  ["process", VtdProcess],
])("copyFrom copies every field of a %s context, and there are only numbers", (_name, Context) => {
  const from: Record<string, unknown> & { copyFrom?: unknown } = Object.assign(new Context());
  const names = Object.keys(from);
  expect(names.length).toBeGreaterThan(15);
  names.forEach((name, i) => {
    expect(typeof from[name]).toBe("number");
    from[name] = 1000 + i;
  });
  const to = new Context();
  (to as { copyFrom(other: unknown): void }).copyFrom(from);
  expect({ ...to }).toEqual({ ...from });
});
