import { describe, expect, it } from "vitest";
import { judgeWorld } from "../pipeline/fuzz/judge.ts";
import { makeVectors } from "../pipeline/fuzz/vectors.ts";

describe("vectors of a world", async () => {
  const vectors = await makeVectors("amd", 9, 1);

  it("show conditions of the specification, each with its section", () => {
    const faults = vectors.filter(({ kind }) => kind === "fault");
    expect(faults.length).toBeGreaterThan(0);
    for (const { shows, source } of faults) expect([shows, source].join()).toMatch(/^[A-Z_]+,AMD 48882/);
  });

  it("are small, and right", () => {
    for (const { kind, records } of vectors) {
      expect(judgeWorld(records)).toEqual([]);
      const requests = records.filter(({ type }) => type === "dma");
      for (const { observed } of requests) expect(observed).toHaveProperty("result");
      if (kind !== "command") expect(requests).toHaveLength(1);
    }
  });

  it("are the same for the same seed", async () => {
    expect(await makeVectors("amd", 9, 1)).toEqual(vectors);
  });
});
