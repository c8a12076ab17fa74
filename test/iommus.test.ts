import { describe, expect, it } from "vitest";
import { bytesSource } from "../parsers/trace/source.ts";
import { replayTrace } from "../pipeline/run.ts";

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
});
