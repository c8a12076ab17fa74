import { describe, expect, it } from "vitest";
import { bytesSource } from "../parsers/trace/source.ts";
import { replayTrace } from "../pipeline/replay/run.ts";

async function replay(lines: readonly string[]) {
  const errors: string[] = [];
  const summary = await replayTrace(bytesSource(Buffer.from(lines.join("\n"))), {
    write(bytes) {
      for (const line of Buffer.from(bytes).toString("utf8").trimEnd().split("\n"))
        if (line.startsWith('{"type":"error"')) errors.push(line);
    },
  });
  return { summary, errors };
}

describe("the IOMMUs of a trace", () => {
  it("4096 are replayed, a further one is an error, an earlier one can still be configured", async () => {
    const declared = (n: number) => `{"type":"iommu","id":"i${n}","model":"intel"}`;
    const lines = Array.from({ length: 4098 }, (_, n) => declared(n));
    const { summary, errors } = await replay([...lines, declared(7)]);
    expect(summary.errors).toBe(2);
    expect(errors[0]).toBe(
      '{"type":"error","line":4097,"code":"range","message":"iommu: expected at most 4096 IOMMUs, found another one, \\"i4096\\""}',
    );
  });

  it.each([
    ["pasid_bits", '"8"', "schema", 0],
    ["output_bits", "31", "range", 32],
    ["output_bits", "65", "range", 32],
    ["input_bits", "48.5", "range", 12],
    ["asid_bits", "true", "schema", 0],
  ])("%s of %s is not taken for nothing", async (name, value, code, least) => {
    const { errors } = await replay([
      `{"type":"iommu","id":"i","model":"intel","props":{"nest":1,"${name}":${value}}}`,
    ]);
    expect(errors.map((text) => JSON.parse(text))).toEqual([
      {
        type: "error",
        line: 1,
        code,
        message: `iommu.props.${name}: expected an integer ${least} to 64, found ${value}`,
      },
    ]);
  });
});

describe("names of registers and capabilities", () => {
  // SMMU_GBPA.ABORT (IHI 0070 6.3.15) is bit 20; with SMMU_CR0.SMMUEN clear it decides on every request.
  it.each([["gbpa"], ["GBPA"]])("mean the same in any case: %s", async (gbpa) => {
    const { summary } = await replay([
      `{"type":"iommu","id":"s","model":"arm-smmuv3","regs":{"cr0":"0x0","${gbpa}":"0x100000"}}`,
      '{"type":"dma","dev":"sid:1","addr":"0x1000"}',
      `{"type":"reg","iommu":"s","name":"${gbpa}","value":"0x0"}`,
      '{"type":"dma","dev":"sid:1","addr":"0x1000"}',
    ]);
    expect([summary.errors, summary.faults]).toEqual([0, 1]);
  });
});

describe("records of unknown types", () => {
  it("are counted by name, of which there may be very many", async () => {
    const lines = Array.from({ length: 1500 }, (_, n) => `{"type":"new-${n}"}`);
    const { summary } = await replay([...lines, '{"type":"new-7"}', `{"type":"${"x".repeat(1e5)}"}`]);
    expect(summary.unknown.size).toBe(1001);
    expect(summary.unknown.get("new-7")).toBe(2);
    expect(summary.unknown.get("…")).toBe(501);
  });
});
