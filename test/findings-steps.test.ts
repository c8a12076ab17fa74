import { afterEach, expect, test, vi } from "vitest";
import { Devices } from "../parsers/trace/devices.ts";
import { IommuUnit } from "../pipeline/iommus/iommu-unit.ts";
import { replay } from "../pipeline/library/index.ts";

afterEach(() => vi.restoreAllMocks());

async function run(records: readonly object[]): Promise<void> {
  const text = records.map((record) => `${JSON.stringify(record)}\n`).join("");
  for await (const _ of replay(Buffer.from(text), { only: [] }));
}

const iommu = (id: string) => ({ type: "iommu", id, model: "intel", regs: { gsts: "0x0" } });
const bind = (id: string, dev: string) => ({
  type: "bind",
  iommu: id,
  dev,
  config: { model: "intel", base_ptr: "0x100000" },
});

test("the name of a device in a finding is not looked for among all names", async () => {
  const DEVICES = 1000;
  const get = vi.spyOn(Devices.prototype, "get");
  // Each binding to a table outside of memory is a finding that names its device.
  const bindings = Array.from({ length: DEVICES }, (_, i) => bind("d", `sid:${i}`));
  await run([iommu("d"), ...bindings, { type: "dma", iommu: "d", dev: "sid:0", addr: "0x0" }]);
  expect(get.mock.calls.length).toBeLessThan(20 * DEVICES);
});

test("a binding is looked for in its own IOMMU alone", async () => {
  const UNITS = 200;
  const binding = vi.spyOn(IommuUnit.prototype, "binding");
  const units = Array.from({ length: UNITS }, (_, i) => iommu(`i${i}`));
  const bound = Array.from({ length: UNITS }, (_, i) => [
    bind(`i${i}`, `sid:${i}`),
    { type: "dma", iommu: `i${i}`, dev: `sid:${i}`, addr: "0x0" },
  ]).flat();
  await run([...units, ...bound]);
  expect(binding.mock.calls.length).toBeLessThan(20 * UNITS);
});
