import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TraceSource } from "../parsers/trace/reader.ts";
import { openTrace } from "../parsers/trace/source.ts";
import { replay } from "../pipeline/library/replay-stream.ts";
import type { FindingRecord, OutcomeRecord, OutputRecord } from "../pipeline/output/records.ts";
import { Buckets } from "../pipeline/report/buckets.ts";
import { RangeDigest } from "../pipeline/report/range-digest.ts";
import { timeStamp } from "../pipeline/report/time-stamps.ts";
import { inspectTrace } from "../pipeline/walk/walk-trace.ts";
import { Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";
import { reportOf, reportOfRecords } from "./support/report.ts";

const SAMPLE = "samples/intel/intel-11.1-fs-inval-s1.ndjson.gz";

async function recordsOf(path: string): Promise<OutputRecord[]> {
  const records: OutputRecord[] = [];
  for await (const record of replay(path)) records.push(record);
  return records;
}

describe("a report of a recording", async () => {
  const records = await recordsOf(SAMPLE);
  const report = await reportOf(SAMPLE);
  const outcomes = records.filter((record): record is OutcomeRecord => record.type === "outcome");
  const findings = records.filter((record): record is FindingRecord => record.type === "finding");

  it("counts along the lines what the records say", () => {
    const { byLine } = report.timeline;
    const lanes = Object.fromEntries(byLine.lanes().map(({ lane, counts }) => [lane, counts]));
    const linesOf = (lane: string) =>
      (lanes[lane] ?? []).flatMap((count, i) => new Array<number>(count).fill(byLine.start + i));
    expect(byLine.width).toBe(1);
    for (const [lane, wanted] of [
      ["ok", outcomes.filter(({ result }) => result === "ok")],
      ["fault", outcomes.filter(({ result }) => result === "fault")],
      ["mismatch", outcomes.filter(({ verdict }) => verdict === "mismatch")],
      ["stale", outcomes.filter(({ verdict }) => verdict === "stale")],
      ["finding", findings],
    ] as const)
      expect(linesOf(lane)).toEqual(wanted.map(({ line }) => line).sort((a, b) => a - b));
    // 528 `mem` and 67 `cmd` records.
    expect(linesOf("write").length).toBe(528);
    expect(linesOf("invalidation").length + linesOf("completion").length).toBe(67);
  });

  it("keeps the walk of the first request of every kind of fault, wrong answer and late invalidation", async () => {
    const wanted = [
      ...report.summary.faults.all.map(({ first }) => first.line),
      ...report.answers.worstFirst().map(({ first }) => first.line),
      ...findings.flatMap(({ rule, first_line: line }) => (rule === "late-invalidation" ? [line!] : [])),
    ];
    expect(wanted.length).toBeGreaterThan(50);
    for (const line of wanted) expect(report.walks.at(line)?.line).toBe(line);

    const late = findings.find(({ rule }) => rule === "late-invalidation")!.first_line!;
    for (const line of [wanted[0]!, wanted.at(-20)!, late]) {
      const alone = await inspectTrace(new TraceSource(await openTrace(SAMPLE)), { line });
      const { page, outcome, observed, changes } = report.walks.at(line)!;
      expect({ outcome, observed, changes }).toEqual({
        outcome: alone.outcome,
        observed: alone.observed,
        changes: alone.changes,
      });
      expect(page).toEqual(alone.pages.at(-1));
    }
  });

  it("tells wrong answers apart by what memory gives and what was observed", () => {
    const kinds = report.answers.worstFirst();
    const all = kinds.reduce((sum, { count }) => sum + count, 0);
    expect(all).toBe(outcomes.filter(({ verdict }) => verdict !== "match").length);
    expect(
      kinds
        .slice(0, 2)
        .map(({ verdict, difference, count, first }) => [verdict, difference, count, first.dev]),
    ).toEqual([
      ["mismatch", "code", 4, "0000:00:06.0"],
      ["mismatch", "record", 1, "0000:00:06.0"],
    ]);
  });

  it("has the entry that a finding names, as it was", () => {
    const finding = findings.find(({ rule }) => rule === "pointer-outside-memory")!;
    const group = report.summary.findings.worstFirst().find(({ rule }) => rule === finding.rule)!;
    const { layout, fields } = report.structures.of(group.examples[0]!)!;
    expect(layout.name).toBe(finding.structure);
    expect(fields.find(({ name }) => name === finding.field)!.text).toBe(finding.value);
    expect(finding.value).toBe("0x7f00000000");
  });

  it("maps the address spaces at the end, with the first stage that each goes through", () => {
    const [unit] = report.maps.units;
    expect(unit!.devices.map(({ device }) => device.dev)).toEqual(
      ["04.0", "05.0", "06.0", "07.0", "08.0"].map((name) => `0000:00:${name}`),
    );
    const { space, stretches, notes } = unit!.devices[0]!.spaces[0]!;
    expect(space.tables).toEqual([{ stage: 1, format: "x86-64", root: "0x1004000", levels: 4 }]);
    expect(stretches.length).toBe(space.ranges);
    expect(stretches.reduce((sum, { mapped }) => sum + mapped, 0) * 4096).toBe(space.bytes);
    expect(notes.map(({ reason }) => reason)).toEqual(["WALK_EABT", "BAD_PTE"]);
  });

  it("is the same where requests like others are walked one by one", async () => {
    const slow = await reportOf(SAMPLE, { fast: false });
    const essence = (of: typeof report) => [
      of.summary.record,
      of.timeline.byLine.lanes(),
      of.summary.faults.all.map(({ first, requests }) => [first, requests, of.walks.at(first.line)?.page]),
      of.answers.worstFirst(),
    ];
    expect(essence(slow)).toEqual(essence(report));
  });
});

describe("a verdict that is decided later", () => {
  it("is in the timeline, and among the wrong answers, as what it is", async () => {
    const s = new Scenario("intel", { rtaddr: 0x10_0000n });
    const table = new Radix(s, VTD_SECOND).map(0x1000_0000n, 0x8000_0000n);
    s.put(0x10_0000n, 0x10_1001n).put(0x10_1180n, table.root | 1n, (9n << 8n) | 2n);
    const ask = (pa: string, ts: number) =>
      s.add({ type: "dma", dev: "00:03.0", addr: "0x10000000", ts, observed: { result: "ok", pa } });
    ask("0x80000000", 1);
    table.map(0x1000_0000n, 0x9000_0000n);
    s.add({ type: "cmd", iommu: "unit", data: ["0x12", "0x0"] });
    ask("0x80000000", 2);
    s.add({ type: "cmd", iommu: "unit", data: ["0x25", "0x0"] });
    ask("0x90000000", 4);
    const { timeline, answers, walks } = await reportOfRecords(s.lines.map((line) => JSON.parse(line)));
    const [kind, ...others] = answers.worstFirst();
    expect(others).toEqual([]);
    expect([kind!.verdict, kind!.count]).toEqual(["stale", 1]);
    expect(walks.at(kind!.first.line)?.outcome.pa).toBe("0x90000000");
    expect(timeline.unit).toBe("number");
    const at = (lane: string) => {
      const counts = timeline.byTime.lanes().find((one) => one.lane === lane)?.counts ?? [];
      return counts.flatMap((count, i) =>
        count > 0 ? [timeline.byTime.start + i * timeline.byTime.width] : [],
      );
    };
    expect(at("ok").map(Math.round)).toEqual([1, 2, 4]);
    expect(at("stale").map(Math.round)).toEqual([2]);
    expect(at("completion").map(Math.round)).toEqual([2]);
  });
});

describe("buckets", () => {
  it("keep every count within its bucket, however far the axis goes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom("ok", "fault"), fc.integer({ min: 0, max: 1_000_000 })), {
          minLength: 1,
        }),
        (given) => {
          const events = given.map(([lane, at]) => [lane as "ok" | "fault", at] as const);
          const sorted = [...events].sort(([, a], [, b]) => a - b);
          const buckets = new Buckets(8, 1);
          for (const [lane, at] of sorted) buckets.add(lane, at);
          const { start, width, used } = buckets;
          expect(start).toBe(sorted[0]![1]);
          expect(used).toBeLessThanOrEqual(8);
          for (const { lane, counts } of buckets.lanes())
            counts.forEach((count, i) => {
              const from = start + i * width;
              const own = sorted.filter(([of, at]) => of === lane && at >= from && at < from + width);
              expect(count).toBe(own.length);
            });
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe("a digest of ranges", () => {
  it("loses no frame, stays in order, and joins the smallest gaps first", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 9 })), { minLength: 1 }),
        fc.integer({ min: 1, max: 8 }),
        (given, most) => {
          const digest = new RangeDigest(most);
          let frame = 0;
          let mapped = 0;
          for (const [gap, frames] of given) {
            frame += gap;
            digest.add({ frame, frames, output: frame, perm: 3, pageShift: 12 });
            frame += frames;
            mapped += frames;
          }
          const stretches = digest.stretches();
          expect(stretches.length).toBeLessThanOrEqual(most);
          expect(stretches.reduce((sum, stretch) => sum + stretch.mapped, 0)).toBe(mapped);
          expect(stretches.reduce((sum, stretch) => sum + stretch.ranges, 0)).toBe(given.length);
          stretches.slice(1).forEach((stretch, i) => {
            expect(stretch.frame).toBeGreaterThan(stretches[i]!.frame + stretches[i]!.frames);
          });
        },
      ),
      { numRuns: 50 },
    );
    const digest = new RangeDigest(2);
    for (const frame of [0, 2, 100, 103])
      digest.add({
        frame,
        frames: 1,
        output: frame,
        perm: frame === 2 ? 1 : 3,
        pageShift: frame < 100 ? 12 : 21,
      });
    expect(digest.stretches()).toEqual([
      { frame: 0, frames: 3, mapped: 2, ranges: 2, output: 0, rights: 0b1010, smallest: 12, largest: 12 },
      { frame: 100, frames: 4, mapped: 2, ranges: 2, output: 100, rights: 0b1000, smallest: 21, largest: 21 },
    ]);
  });
});

describe("a time stamp", () => {
  it.each([
    [1.5, { value: 1.5, unit: "number" }],
    ["17.25", { value: 17.25, unit: "number" }],
    ["2026-11-30T02:38:34.329825Z", { value: Date.UTC(2026, 10, 30, 2, 38, 34, 329) + 0.825, unit: "date" }],
    ["2026-11-30T02:38:34Z", { value: Date.UTC(2026, 10, 30, 2, 38, 34), unit: "date" }],
    ["", null],
    ["soon", null],
  ])("%j is %j", (given, expected) => {
    expect(timeStamp(given)).toEqual(expected);
  });
});
