import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mergeFiles } from "../cli/merge-files.ts";
import type { Output } from "../cli/output.ts";
import { replay } from "../pipeline/library/replay-stream.ts";
import { ReadsHistogram } from "../pipeline/output/reads-histogram.ts";
import type { OutputRecord, StatsRecord } from "../pipeline/output/records.ts";
import { StatsTotals } from "../pipeline/totals/stats-totals.ts";

const SAMPLES = ["intel/intel-11.1-fs-inval-s1", "arm/arm-11.1-nested-4k-inval-1", "amd/amd-11.1-v1-s1"];

const PLAIN = { expected: undefined, names: false };

class Collected implements Output {
  readonly name = "memory";
  text = "";

  async write(data: Uint8Array | string): Promise<void> {
    this.text += data;
  }
  async finish(): Promise<void> {}
  abandon(): void {}
  async halt(): Promise<void> {}

  get records(): Record<string, unknown>[] {
    return this.text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
  }
}

describe("a histogram of reads", () => {
  it("has the percentiles of all requests, whichever way they are added up", () => {
    const lists = fc.array(fc.array(fc.integer({ min: 1, max: 700 })), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(lists, (of) => {
        const sorted = of.flat().sort((a, b) => a - b);
        const merged = new ReadsHistogram();
        for (const reads of of) {
          const one = new ReadsHistogram();
          for (const n of reads) one.add(n, 1);
          for (const [n, requests] of Object.entries(one.record().counts)) merged.add(Number(n), requests);
        }
        const at = (p: number) => sorted[Math.max(Math.ceil(sorted.length * p), 1) - 1] ?? 0;
        const total = sorted.reduce((sum, n) => sum + n, 0);
        const { counts, mean, ...rest } = merged.record();
        expect(rest).toEqual({ total, min: at(0), p50: at(0.5), p99: at(0.99), max: at(1) });
        expect(Object.values(counts).reduce((sum, n) => sum + n, 0)).toBe(sorted.length);
        expect(mean).toBeCloseTo(sorted.length === 0 ? 0 : total / sorted.length, 3);
      }),
      { numRuns: 60 },
    );
  });
});

describe("merge", () => {
  const folder = mkdtempSync(join(tmpdir(), "pasid-replay-merge-"));
  const all: OutputRecord[][] = [];
  const path = (name: string) => join(folder, name);
  const put = (name: string, records: readonly object[]) => {
    writeFileSync(path(name), `${records.map((record) => JSON.stringify(record)).join("\n")}\n`);
    return path(name);
  };

  beforeAll(async () => {
    for (const sample of SAMPLES) {
      const records: OutputRecord[] = [];
      for await (const record of replay(`samples/${sample}.ndjson.gz`, { iotlb: [{ entries: 16, ways: 4 }] }))
        records.push(record);
      all.push(records);
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("of one replay gives its own counters", async () => {
    const output = new Collected();
    expect(await mergeFiles([put("one", all[0]!)], PLAIN, output)).toBe(true);
    const [stats, total] = output.records;
    const own = all[0]!.filter(({ type }) => type === "stats" || type === "summary");
    expect(JSON.stringify(stats)).toBe(JSON.stringify(own[0]));
    const { type: _, ...counters } = own[1]!;
    expect(total).toEqual({ type: "total", traces: 1, ...counters });
  });

  it("of several gives their sums, by IOMMU and model, in either order and grouping", async () => {
    const files = all.map((records, i) => put(`many-${i}`, records));
    // The same IOMMU once more, of another trace.
    files.push(put("again", all[0]!));
    const merged = async (paths: readonly string[]) => {
      const output = new Collected();
      expect(await mergeFiles(paths, PLAIN, output)).toBe(true);
      return output.records;
    };
    const records = await merged(files);
    expect(records.map(({ type, model }) => model ?? type)).toEqual(["intel", "arm-1lvl", "amd", "total"]);
    const [intel] = all[0]!.filter((record): record is StatsRecord => record.type === "stats");
    expect(records[0]).toMatchObject({
      requests: 2 * intel!.requests,
      devices: 2 * intel!.devices,
      by_code: Object.fromEntries(Object.entries(intel!.by_code).map(([code, n]) => [code, 2 * n])),
      reads: { total: 2 * intel!.reads.total, mean: intel!.reads.mean, p99: intel!.reads.p99 },
      iotlb: [
        { ...intel!.iotlb![0]!, hits: 2 * intel!.iotlb![0]!.hits, misses: 2 * intel!.iotlb![0]!.misses },
      ],
    });
    expect(records.at(-1)).toMatchObject({ traces: 4 });
    const byModel = (of: readonly Record<string, unknown>[]) =>
      [...of].sort((a, b) => (`${a.model}` < `${b.model}` ? -1 : 1));
    expect(byModel(await merged([...files].reverse()))).toEqual(byModel(records));

    const twice = new StatsTotals();
    for (const half of [files.slice(0, 2), files.slice(2)])
      for (const record of await merged(half)) if (record.type === "stats") twice.add(record as never);
    expect(byModel(twice.records() as never)).toEqual(byModel(records.slice(0, -1)));
  });

  /** A replay's output with a name, but for its outcomes. */
  const labelled = (label: string, i: number) => [
    { type: "trace", path: label },
    ...all[i]!.filter(({ type }) => type === "stats" || type === "summary").map((record) => ({
      ...record,
      trace: label,
    })),
  ];

  const SUMMARY = { type: "summary", lines: 1, records: {}, errors: 0, findings: {}, verdicts: {} };
  it.each([
    [{ type: "summary" }, "summary.lines: expected a value, found none"],
    [{ ...SUMMARY, lines: null }, "summary.lines: expected a number of at least 0, found null"],
    [{ ...SUMMARY, errors: "5" }, 'summary.errors: expected a number of at least 0, found "5"'],
    [{ ...SUMMARY, findings: { x: -1 } }, "summary.findings.x: expected a number of at least 0, found -1"],
    [
      { ...SUMMARY, lines: 2 ** 53 },
      "summary.lines: expected a number of at least 0, found 9007199254740992",
    ],
    [{ type: "trace", path: 5 }, "trace.path: expected a text, found 5"],
    [{ type: "stats", model: "amd", requests: 1 }, "stats.reads: expected a value, found none"],
  ])("adds up nothing that is no counter: %j", async (record, message) => {
    await expect(mergeFiles([put("wrong", [record])], PLAIN, new Collected())).rejects.toThrow(
      `:1: ${message}`,
    );
  });

  it("goes by the last of two types", async () => {
    writeFileSync(path("twice"), '{"type":"trace","type":"__proto__"}\n');
    await expect(mergeFiles([path("twice")], PLAIN, new Collected())).rejects.toThrow('found "__proto__"');
  });

  it("keeps nothing of a line that does not count, however long it is", async () => {
    writeFileSync(path("long"), `${"\0".repeat(3 << 20)}\n${JSON.stringify(SUMMARY)}\n`);
    expect(await mergeFiles([path("long")], PLAIN, new Collected())).toBe(true);
  });

  it("counts each trace once, and names those that are missing", async () => {
    const two = put("two", [
      ...labelled("a", 0),
      ...labelled("b", 1),
      { type: "trace", path: "c", error: "gone" },
    ]);
    const other = put("other", labelled("b", 1));
    await expect(mergeFiles([two, other], PLAIN, new Collected())).rejects.toThrow(
      `b: expected it once, found it in ${two} and in ${other}`,
    );
    writeFileSync(path("list"), `a\nb\nc\nd\n${path("one")}\n`);
    const output = new Collected();
    expect(await mergeFiles([two], { expected: path("list"), names: false }, output)).toBe(false);
    expect(output.records.at(-1)).toMatchObject({ type: "total", traces: 2, failed: 1, missing: 2 });
    await expect(
      mergeFiles([put("twice", [...labelled("a", 0), ...labelled("./a", 0)])], PLAIN, output),
    ).rejects.toThrow(`./a: expected it once, found it twice in ${path("twice")}`);
    // All that is expected, and one more; one that could not be replayed.
    writeFileSync(path("list"), "a\n./b\n");
    for (const [files, list, complete] of [
      [put("ab", [...labelled("a", 0), ...labelled("b", 1)]), path("list"), true],
      [put("abd", [...labelled("a", 0), ...labelled("b", 1), ...labelled("d", 2)]), path("list"), false],
      [two, undefined, false],
    ] as const)
      expect(await mergeFiles([files], { expected: list, names: false }, new Collected())).toBe(complete);
  });

  it("of merges is the merge of all, and still counts each trace once", async () => {
    const files = [
      put("first", [...labelled("a", 0), { type: "trace", path: "c", error: "gone" }]),
      put("second", labelled("b", 1)),
      put("third", labelled("d", 2)),
    ];
    const merged = async (paths: readonly string[], names: boolean) => {
      const output = new Collected();
      await mergeFiles(paths, { expected: undefined, names }, output);
      return output;
    };
    const part = path("part");
    const partial = await merged(files.slice(0, 2), true);
    expect(partial.records.filter(({ type }) => type === "trace")).toEqual([
      { type: "trace", path: "a", merged: true },
      { type: "trace", path: "c", error: "gone", merged: true },
      { type: "trace", path: "b", merged: true },
    ]);
    writeFileSync(part, partial.text);
    expect((await merged([part, files[2]!], false)).text).toBe((await merged(files, false)).text);
    await expect(merged([part, files[1]!], false)).rejects.toThrow(
      `b: expected it once, found it in ${part} and in ${files[1]}`,
    );
    writeFileSync(path("nameless"), (await merged(files, false)).text);
    await expect(merged([path("nameless")], false)).rejects.toThrow(
      "expected the names of the 4 traces of this total, as merge --names writes them, found none",
    );
    writeFileSync(path("short"), partial.text.replace(/\{"type":"total".*\n/, ""));
    await expect(merged([path("short")], false)).rejects.toThrow(
      "expected a total of the traces that it names",
    );
  });

  it("refuses what did not end, and what is no output", async () => {
    const cut = put("cut", [{ type: "trace", path: "a" }, all[0]![0]!]);
    await expect(mergeFiles([cut], PLAIN, new Collected())).rejects.toThrow(
      "expected a summary of a, found none: its replay did not end",
    );
    writeFileSync(path("half"), '{"type":"summary","lin');
    await expect(mergeFiles([path("half")], PLAIN, new Collected())).rejects.toThrow(
      "half:1: expected a record, found a line that breaks off",
    );
    const none = put("none", [{ type: "dma" }]);
    await expect(mergeFiles([none], PLAIN, new Collected())).rejects.toThrow(
      "expected the output of a replay",
    );
    const old = put("old", [{ type: "stats", model: "intel", reads: { total: 1 } }]);
    await expect(mergeFiles([old], PLAIN, new Collected())).rejects.toThrow(
      "expected stats with reads.counts",
    );
  });
});
