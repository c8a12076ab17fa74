import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TraceSource } from "../parsers/trace/reader.ts";
import { bytesSource } from "../parsers/trace/source.ts";
import { replay, replayBytes } from "../pipeline/library/replay-stream.ts";
import { replayTrace } from "../pipeline/replay/run.ts";
import { inspectTrace } from "../pipeline/walk/walk-trace.ts";
import { Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";
import { compare } from "./support/diff-streams.ts";

const ROOT = 0x10_0000n;
const A = 0x1000_0000n;
const OLD = 0x8000_0000n;
const NEW = 0x9000_0000n;
const UNITS = ["unit", "other"] as const;
type Unit = (typeof UNITS)[number];

/** Two VT-d units over one table; both have used page A, which is another one since. */
function prepared(): Scenario {
  const s = new Scenario("intel", { rtaddr: ROOT });
  s.add({ type: "iommu", id: "other", model: "intel", regs: { rtaddr: "0x100000" } });
  const table = new Radix(s, VTD_SECOND).map(A, OLD);
  s.put(ROOT, 0x10_1001n).put(0x10_1180n, table.root | 1n, (9n << 8n) | 2n);
  for (const unit of UNITS) ask(s, unit);
  table.map(A, NEW);
  return s;
}

function ask(s: Scenario, iommu: Unit, pa?: bigint): void {
  const observed = pa === undefined ? {} : { observed: { result: "ok", pa: `0x${pa.toString(16)}` } };
  s.add({ type: "dma", iommu, dev: "00:03.0", addr: "0x10000000", ...observed });
}

interface Step {
  readonly unit: Unit;
  readonly what: "old" | "new" | "invalidate" | "complete" | "inv" | "mark" | "bad";
}

function play(s: Scenario, { unit, what }: Step): void {
  if (what === "old") ask(s, unit, OLD);
  else if (what === "new") ask(s, unit, NEW);
  else if (what === "invalidate") s.add({ type: "cmd", iommu: unit, data: ["0x12", "0x0"] });
  else if (what === "complete") s.add({ type: "cmd", iommu: unit, data: ["0x25", "0x0"] });
  else if (what === "inv") s.add({ type: "inv", iommu: unit, cache: "iotlb", granularity: "global" });
  else if (what === "mark") s.add({ type: "mark", label: unit });
  else s.add({ type: "dma" });
}

/**
 * What the answers are, by looking ahead: an invalidation acts at the first completion after it, or at once where there
 * is none before a neutral one, which says by itself what has happened.
 */
function expected(steps: readonly Step[]): string[] {
  const verdicts: string[] = [];
  const waits = new Map<Unit, boolean>();
  for (const unit of UNITS) {
    const first = steps.find((s) => s.unit === unit && (s.what === "complete" || s.what === "inv"));
    waits.set(unit, first?.what === "complete");
  }
  const pending = new Set<Unit>();
  const gone = new Set<Unit>();
  for (const { unit, what } of steps) {
    if (what === "new") verdicts.push("match");
    if (what === "old") verdicts.push(gone.has(unit) ? "stale-after-invalidation" : "stale");
    if (what === "inv") gone.add(unit);
    if (what === "invalidate") (waits.get(unit) ? pending : gone).add(unit);
    if (what === "complete") {
      waits.set(unit, true);
      if (pending.delete(unit)) gone.add(unit);
    }
  }
  return verdicts;
}

/** A walk of each request from line `first` on, and a comparison, say what the lines of a replay say. */
async function expectSameFromEverybody(lines: readonly string[], first: number): Promise<void> {
  const text = `${lines.join("\n")}\n`;
  let outcomes = "";
  for await (const bytes of replayBytes(Buffer.from(text), { stats: false, findings: false }))
    outcomes += Buffer.from(bytes).toString("utf8");
  for (const line of outcomes.split("\n").slice(0, -1)) {
    const record = JSON.parse(line);
    if (record.type !== "outcome" || record.line <= first) continue;
    const source = new TraceSource(bytesSource(Buffer.from(text)));
    expect((await inspectTrace(source, { line: record.line })).outcome).toEqual(record);
  }
  const { records, result } = await compare(text, outcomes, { side: "walk", depth: "all" });
  expect(records.filter(({ type }) => type === "diff")).toEqual([]);
  expect(result.counts.compared).toBe(result.b.requests);
}

describe("verdicts that depend on what comes later", () => {
  const step = fc.record({
    unit: fc.constantFrom(...UNITS),
    what: fc.constantFrom<Step["what"]>(
      ...(["old", "old", "new", "invalidate", "invalidate", "complete", "inv", "mark", "bad"] as const),
    ),
  });

  it("are those of somebody who looks ahead, in the order of the input, and counted once", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const s = prepared();
        const first = s.lines.length;
        for (const each of steps) play(s, each);
        const verdicts: string[] = [];
        const lines: number[] = [];
        let counted: Readonly<Record<string, number>> = {};
        for await (const r of replay(Buffer.from(`${s.lines.join("\n")}\n`), { findings: false })) {
          if (r.type === "summary") counted = r.verdicts ?? {};
          if ("line" in r) lines.push(r.line);
          if (r.type === "outcome" && r.line > first) verdicts.push(r.verdict ?? "");
        }
        expect(verdicts).toEqual(expected(steps));
        expect(lines).toEqual([...lines].sort((a, b) => a - b));
        const tally: Record<string, number> = {};
        for (const verdict of verdicts) tally[verdict] = (tally[verdict] ?? 0) + 1;
        expect(counted).toEqual(tally);
      }),
      { numRuns: 200 },
    );
  });

  it("are the same in a walk of the request and in a comparison", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const s = prepared();
        const first = s.lines.length;
        for (const each of steps) play(s, each);
        await expectSameFromEverybody(s.lines, first);
      }),
      { numRuns: 50 },
    );
  });

  it.each([
    ["all of them undecided", OLD, { "stale-after-invalidation": 100_002 }],
    ["after one that is undecided", NEW, { match: 100_000, "stale-after-invalidation": 2 }],
  ])(
    "are not waited for without end: past 65,536 records, %s, the IOMMU is taken to act at once",
    async (_, pa, verdicts) => {
      const s = prepared();
      play(s, { unit: "unit", what: "invalidate" });
      ask(s, "unit", OLD);
      const old = s.lines.at(-1)!;
      ask(s, "unit", pa);
      const again = s.lines.pop()!;
      const tail = `{"type":"cmd","iommu":"unit","data":["0x25","0x0"]}\n${old}\n`;
      let seen = 0;
      let most = 0;
      const summary = await replayTrace(
        bytesSource(Buffer.from(`${s.lines.join("\n")}\n${`${again}\n`.repeat(100_000)}${tail}`)),
        {
          write: (bytes) => {
            seen += bytes.length;
            most = Math.max(most, bytes.length);
          },
        },
        { findings: false },
      );
      expect(Object.fromEntries(summary.verdicts)).toEqual(verdicts);
      // What was held came at once, and the rest as it was read.
      expect(most).toBeGreaterThan(seen / 2);
      expect(most).toBeLessThan(seen * 0.75);
    },
  );
});
