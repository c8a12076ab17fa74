import { describe, expect, test } from "vitest";
import { bytesSource } from "../parsers/trace/source.ts";
import { replayTrace } from "../pipeline/replay/run.ts";
import { type SyntheticTrace, syntheticTrace } from "./support/trace-generator.ts";

const text = (options: SyntheticTrace) => [...syntheticTrace(options)].join("");

describe("synthetic traces", () => {
  test.each([
    { requests: 20_000, seed: 1 },
    { requests: 5000, seed: 2, devices: 31, pasids: 64, pages: 3 },
    { requests: 5000, seed: 3, devices: 2, pasids: 1, pages: 1024 },
  ])("are answered by a walk as the list of their pages says: %j", async (options) => {
    const summary = await replayTrace(bytesSource(Buffer.from(text(options))), { write: () => {} });
    expect(summary.errors).toBe(0);
    expect([...summary.verdicts]).toEqual([["match", options.requests]]);
    expect(summary.records.get("dma")).toBe(options.requests);
  });

  test("are the same for a seed, and others for another", () => {
    const first = text({ requests: 100, seed: 7 });
    expect(text({ requests: 100, seed: 7 })).toBe(first);
    expect(text({ requests: 100, seed: 8 })).not.toBe(first);
  });

  test("have faults of both kinds, all page sizes and requests with and without PASID in them", () => {
    const lines = text({ requests: 5000, seed: 1 }).split("\n");
    const count = (part: string) => lines.filter((line) => line.includes(part)).length;
    expect(count('"code":"0x71"')).toBeGreaterThan(30);
    expect(count('"code":"0x85"')).toBeGreaterThan(100);
    expect(count('"result":"ok"')).toBeGreaterThan(4000);
    expect(count('"pasid":3')).toBeGreaterThan(500);
    expect(
      lines.filter((line) => line.startsWith('{"type":"dma"') && !line.includes("pasid")).length,
    ).toBeGreaterThan(500);
  });
});
