import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cli, FIXTURE } from "./support/cli.ts";

const SAMPLES = ["intel/intel-11.1-fs-inval-s1", "arm/arm-11.1-nested-4k-inval-1", "amd/amd-11.1-v1-s1"];

type Json = Readonly<Record<string, unknown>>;

function records(stdout: string): Json[] {
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

function sum(all: readonly Json[], name: string): Json {
  const sums: Record<string, number> = {};
  for (const record of all)
    for (const [key, n] of Object.entries(record[name] as Record<string, number>))
      sums[key] = (sums[key] ?? 0) + n;
  return sums;
}

describe("many traces", () => {
  const folder = mkdtempSync(join(tmpdir(), "pasid-replay-many-"));
  let plain = "";
  beforeAll(async () => {
    mkdirSync(join(folder, "b"));
    for (const sample of SAMPLES)
      copyFileSync(`samples/${sample}.ndjson.gz`, join(folder, "b", `${sample.split("/")[1]}.ndjson.gz`));
    copyFileSync(FIXTURE, join(folder, "a.ndjson"));
    writeFileSync(join(folder, "notes.txt"), "no trace\n");
    writeFileSync(join(folder, "core.elf"), "not looked at\n");
    const ran = await cli([folder]);
    expect(ran.status).toBe(1);
    expect(ran.stderr).toBe(`pasid-replay: ${folder}: 1 file that is no trace is left out\n`);
    plain = ran.stdout;
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("of a folder are replayed in the order of their names, and added up", () => {
    const all = records(plain);
    const names = ["a.ndjson", "amd-11.1-v1-s1", "arm-11.1-nested-4k-inval-1", "intel-11.1-fs-inval-s1"];
    const paths = all.filter(({ type }) => type === "trace").map(({ path }) => path);
    expect(paths).toEqual(names.map((name, i) => join(folder, i === 0 ? name : `b/${name}.ndjson.gz`)));
    const summaries = all.filter(({ type }) => type === "summary");
    const total = all.at(-1)!;
    expect(total).toMatchObject({ type: "total", traces: 4, errors: 0 });
    for (const name of ["records", "findings", "verdicts"]) expect(total[name]).toEqual(sum(summaries, name));
    expect(total.lines).toBe(summaries.reduce((lines, summary) => lines + (summary.lines as number), 0));
    expect(total.records).toMatchObject({ dma: all.filter(({ type }) => type === "outcome").length });
  });

  it("give the same bytes whatever the number of threads", async () => {
    const ran = await cli([folder, "--jobs", "3"]);
    expect(ran.status).toBe(1);
    expect(ran.stdout === plain).toBe(true);
  });

  it("are listed by a file, and then always named", async () => {
    const ran = await cli(["--files-from", "-", "--stats-only"], { input: `${FIXTURE}\n` });
    expect(ran.status).toBe(0);
    const all = records(ran.stdout);
    expect(all.map(({ type }) => type)).toEqual(["trace", "stats", "summary", "total"]);
    expect(all.slice(0, 3).map(({ path, trace }) => path ?? trace)).toEqual([FIXTURE, FIXTURE, FIXTURE]);
    const empty = await cli(["--files-from", "-"], { input: "\n" });
    expect(empty.status).toBe(2);
    expect(empty.stderr).toBe("pasid-replay: --files-from: -: expected paths of traces, found none\n");
  });

  it("are added up again from their output", async () => {
    const out = join(folder, "all.out");
    const list = join(folder, "list");
    writeFileSync(out, plain);
    writeFileSync(list, `${join(folder, "a.ndjson")}\n${join(folder, "z.ndjson")}\n`);
    const ran = await cli(["merge", out, "--expect", list]);
    expect(ran.status).toBe(2);
    expect(ran.stderr).toBe(
      [
        `pasid-replay: ${join(folder, "z.ndjson")}: expected its output, found none`,
        "pasid-replay: 1 trace: missing",
        ...["amd-11.1-v1-s1", "arm-11.1-nested-4k-inval-1", "intel-11.1-fs-inval-s1"].map(
          (name) =>
            `pasid-replay: ${join(folder, "b", name)}.ndjson.gz: expected none but those of ${list}, found it in ${out}`,
        ),
        "pasid-replay: 3 traces: not expected\n",
      ].join("\n"),
    );
    expect(records(ran.stdout).at(-1)).toEqual({ ...records(plain).at(-1), missing: 1 });
  });

  it("are a table for people, the worst first", async () => {
    const ran = await cli([join(folder, "b/*.gz"), join(folder, "a.ndjson"), "-j", "2", "--summary"]);
    expect(ran.status).toBe(1);
    const lines = ran.stdout.trimEnd().split("\n");
    expect(lines[0]).toBe("4 traces, the worst first");
    expect(lines[1]!.trim().split(/ {2,}/)).toEqual([
      "requests",
      "wrong answers",
      "stale, owed",
      "errors",
      "warnings",
      "faults",
      "unusable",
      "trace",
    ]);
    expect(lines[2]!.trim().split(/ +/).slice(0, 6)).toEqual(["1200", "196", "0", "2", "1", "702"]);
    expect(lines[3]!.trim().split(/ +/).slice(0, 6)).toEqual(["766", "5", "21", "18", "1", "315"]);
    const rows = lines.slice(2).map((line) => line.trim().split(/ +/));
    expect(rows.map((row) => row.at(-1)!.split("/").at(-1))).toEqual([
      "amd-11.1-v1-s1.ndjson.gz",
      "intel-11.1-fs-inval-s1.ndjson.gz",
      "arm-11.1-nested-4k-inval-1.ndjson.gz",
      "a.ndjson",
      "traces",
    ]);
    for (let column = 0; column < 7; column++)
      expect(Number(rows.at(-1)![column])).toBe(
        rows.slice(0, -1).reduce((all, row) => all + Number(row[column]), 0),
      );
  });

  it.each(["1", "2"])("go on past one that is not there, if asked to, with %s threads", async (jobs) => {
    const missing = join(folder, "missing.ndjson");
    const traces = [missing, FIXTURE];
    const stopped = await cli([...traces, "--jobs", jobs, "--stats-only"]);
    expect(stopped.status).toBe(2);
    expect(stopped.stdout).toBe("");
    const error = `${missing}: expected a trace, found no such file`;
    expect(stopped.stderr).toBe(`pasid-replay: ${error}\n`);
    const ran = await cli([...traces, "--jobs", jobs, "--stats-only", "--keep-going"]);
    expect(ran.status).toBe(2);
    expect(ran.stderr).toBe(`pasid-replay: ${error}\n`);
    const all = records(ran.stdout);
    expect(all[0]).toEqual({ type: "trace", path: missing, error });
    expect(all[1]).toEqual({ type: "trace", path: FIXTURE });
    expect(all.at(-1)).toMatchObject({ type: "total", traces: 1, failed: 1 });
  });

  it("are asked for in a way that makes sense", async () => {
    const none = await cli([join(folder, "*.none")]);
    expect(none.status).toBe(2);
    expect(none.stderr).toContain("expected a file, a folder or a pattern that matches some, found");
    const stdin = await cli(["-", FIXTURE, "--jobs", "2"]);
    expect(stdin.status).toBe(2);
    expect(stdin.stderr).toContain("--jobs: expected files, which threads can read, found standard input");
  });
});
