import { describe, expect, test, vi } from "vitest";
import { Findings } from "../pipeline/findings/findings.ts";
import type { FindingRecord } from "../pipeline/output/records.ts";
import { Summary } from "../pipeline/output/statistics.ts";

const RULE = { id: "some-rule", severity: "warning", text: "", source: "" } as const;

function collect() {
  const summary = new Summary();
  const written: FindingRecord[] = [];
  const findings = new Findings(summary, (record) => void written.push(record));
  return { summary, written, findings };
}

describe("findings", () => {
  test("are said once by key, and every time without one", () => {
    const { findings, written, summary } = collect();
    expect(findings.report(1, RULE, "a", { message: "x" })).toBe(true);
    expect(findings.report(2, RULE, "a", { message: "x" })).toBe(false);
    expect(findings.report(3, RULE, "", { message: "y" })).toBe(true);
    expect(findings.report(4, RULE, "", { message: "y" })).toBe(true);
    expect(written.map(({ line }) => line)).toEqual([1, 3, 4]);
    expect(summary.record().findings).toEqual({ "some-rule": 3 });
  });

  test("are still known when tens of thousands have come since", () => {
    const { findings } = collect();
    findings.report(1, RULE, "first", { message: "" });
    for (let i = 0; i < 30_000; i++) findings.report(i, RULE, `${i}`, { message: "" });
    expect(findings.report(9, RULE, "first", { message: "" })).toBe(false);
  });

  test("are forgotten where there are very many kinds, none of them by being looked for", () => {
    const summary = new Summary();
    const findings = new Findings(summary, () => {});
    // Of a set, deleting the oldest element steps over all that were deleted before it.
    const steps = [vi.spyOn(Set.prototype, "delete"), vi.spyOn(Set.prototype, "values")];
    for (let i = 0; i < 100_000; i++) findings.report(i, RULE, `${i}`, { message: "" });
    const counts = steps.map((step) => step.mock.calls.length);
    vi.restoreAllMocks();
    expect(counts).toEqual([0, 0]);
    expect(summary.record().findings).toEqual({ "some-rule": 100_000 });
    expect(findings.report(0, RULE, "0", { message: "" })).toBe(true);
  });
});
