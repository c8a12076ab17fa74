import { describe, expect, it } from "vitest";
import { bytesSource } from "../parsers/trace/source.ts";
import { replayTrace } from "../pipeline/replay/run.ts";

/** The findings about bindings of a trace: line, device, rule. */
async function findings(...records: readonly object[]): Promise<(readonly [number, string, string])[]> {
  const text = records.map((record) => JSON.stringify(record)).join("\n");
  const chunks: Buffer[] = [];
  await replayTrace(bytesSource(Buffer.from(text)), {
    write(bytes) {
      chunks.push(Buffer.from(bytes));
    },
  });
  const out = Buffer.concat(chunks).toString("utf8").trimEnd().split("\n");
  return out
    .map((line) => JSON.parse(line))
    .filter(({ type, rule }) => type === "finding" && rule.startsWith("bind-"))
    .map(({ line, dev, rule }) => [line, dev, rule]);
}

const IOMMU = { type: "iommu", id: "i", model: "intel" };
const RAM = { type: "ram", addr: "0x0", size: "0x1000000" };
const bind = (dev: string, config: object = {}) => ({
  type: "bind",
  dev,
  config: { version: 1, bytes: 25, model: "intel", base_ptr: "0x10000", pasid_bits: 15, ...config },
});

describe("bindings of a trace", () => {
  it("one that fits is no finding, nor is one that two devices share", async () => {
    expect(await findings(IOMMU, RAM, bind("00:03.0"), bind("00:04.0"))).toEqual([]);
  });

  it("each one that does not is found at its own line, however often", async () => {
    const wrong = { version: 2, pasid_bits: 0 };
    expect(await findings(IOMMU, RAM, bind("00:03.0", wrong), bind("00:03.0", wrong))).toEqual([
      [3, "00:03.0", "bind-version"],
      [3, "00:03.0", "bind-pasid-bits-zero"],
      [4, "00:03.0", "bind-version"],
      [4, "00:03.0", "bind-pasid-bits-zero"],
    ]);
  });

  it("the IOMMU's capabilities count as they are at the bind", async () => {
    const props = (pasid_bits: number) => ({ ...IOMMU, props: { pasid_bits } });
    expect(await findings(props(14), RAM, bind("00:03.0"), props(15), bind("00:03.0"))).toEqual([
      [3, "00:03.0", "bind-pasid-bits-host"],
    ]);
  });

  it("a table that overlaps another is found while that one is bound", async () => {
    const above = bind("00:04.0", { base_ptr: "0x11000", pasid_bits: 16 });
    const below = bind("00:03.0", { base_ptr: "0x10000", pasid_bits: 16 });
    expect(await findings(IOMMU, RAM, below, above)).toEqual([[4, "00:04.0", "bind-overlap-binding"]]);
    expect(await findings(IOMMU, RAM, below, { type: "unbind", dev: "00:03.0" }, above)).toEqual([]);
    // The device's own earlier table is gone.
    expect(await findings(IOMMU, RAM, below, { ...above, dev: "00:03.0" })).toEqual([]);
  });

  it("what a refused binding leads to is found as well", async () => {
    expect(await findings(IOMMU, RAM, bind("00:03.0", { base_ptr: "0x10040" }))).toEqual([
      [3, "00:03.0", "bind-base-alignment"],
    ]);
    expect(await findings(IOMMU, RAM, bind("00:03.0", { model: "amd" }))).toEqual([
      [3, "00:03.0", "bind-model-mismatch"],
    ]);
  });

  it("without an IOMMU the table's own vendor's is implied; of several one must be named", async () => {
    expect(await findings(RAM, bind("00:03.0", { version: 7 }))).toEqual([[2, "00:03.0", "bind-version"]]);
    const two = [IOMMU, { ...IOMMU, id: "j" }, RAM];
    expect(await findings(...two, bind("00:03.0", { version: 7 }))).toEqual([]);
    expect(await findings(...two, { ...bind("00:03.0", { version: 7 }), iommu: "j" })).toEqual([
      [4, "00:03.0", "bind-version"],
    ]);
  });
});
