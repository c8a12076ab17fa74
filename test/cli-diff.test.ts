import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { cli, FIXTURE, ROOT, records, temporaryFolder } from "./support/cli.ts";

const folder = temporaryFolder();
const [OLD, MID, NEW] = ["7.2", "10.0", "11.1"].map(
  (version) => `samples/intel/intel-${version}-ss-s1.ndjson.gz`,
) as [string, string, string];
const KNOWN = "test/fixtures/diff-known.json";

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe.concurrent("two recordings of one workload", () => {
  test("differ: one record for each difference, then the summary; status 1", async () => {
    const ran = await cli(["diff", OLD, MID]);
    expect(ran).toMatchObject({ status: 1, stderr: "" });
    const out = records(ran.stdout);
    const summary = out.pop();
    expect(out).toHaveLength(93);
    expect(ran.stdout.split("\n")[0]).toBe(
      '{"type":"diff","line_a":423,"line_b":423,"seq":7,"dev":"0000:00:08.0","addr":"0x527d2235c0","len":64,"access":"r","class":"code","a":{"result":"fault","code":"0x58"},"b":{"result":"fault","code":"0x5b"}}',
    );
    expect(summary).toEqual({
      type: "diff-summary",
      a: { path: OLD, kind: "trace", side: "observed", requests: 600 },
      b: { path: MID, kind: "trace", side: "observed", requests: 600 },
      aligned_by: "seq",
      compared: 600,
      same: 507,
      differ: 93,
      differences: 93,
      by_class: { code: 93 },
      by_device: { "0000:00:08.0": 93 },
      by_pasid: { none: 93 },
      by_code: { "0x58→0x5b": 93 },
      first: (({ type: _, ...first }) => first)(out[0]),
      notes: [],
    });
  });

  test("--summary says it to people", async ({ expect }) => {
    const ran = await cli(["diff", OLD, NEW, "--summary"]);
    expect(ran).toMatchObject({ status: 1, stderr: "" });
    await expect(ran.stdout).toMatchFileSnapshot("fixtures/diff-intel-7.2-11.1.txt");
  });

  test("are the same: status 0", async () => {
    const ran = await cli(["diff", OLD, OLD, "--summary"]);
    expect(ran).toMatchObject({ status: 0, stderr: "" });
    expect(ran.stdout).toContain("600 pairs compared: 600 the same, 0 different");
    expect(ran.stdout).toContain("No differences.");
  });

  test("with other tables are the same, and standard error says that the tables are not", async () => {
    const ran = await cli(["diff", MID, NEW, "--ignore", "codes=0x58:*"]);
    expect(ran.status).toBe(0);
    expect(ran.stderr).toContain(
      "note: the traces do not set up the same writes to guest memory: first line 5 in A",
    );
    expect(ran.stderr).toContain('note: ignore rule "codes=0x58:*" matched nothing');
    expect(
      records(ran.stdout)
        .at(-1)
        .notes.map((note: { code: string }) => note.code),
    ).toEqual(["setup-differs", "setup-differs", "rule-unused"]);
  });

  test("from pipe and file, compressed or not, give the same bytes", async () => {
    const packed = readFileSync(join(ROOT, OLD));
    const expected = (await cli(["diff", OLD, MID])).stdout;
    const piped = expected.replace(`"path":"${OLD}"`, '"path":"-"');
    expect(piped).not.toBe(expected);
    expect((await cli(["diff", "-", MID], { input: packed })).stdout).toBe(piped);
    expect((await cli(["diff", "-", MID], { input: gunzipSync(packed) })).stdout).toBe(piped);
    const path = join(folder, "out.ndjson");
    expect(await cli(["diff", OLD, MID, "-o", path])).toMatchObject({ status: 1, stdout: "" });
    expect(readFileSync(path, "utf8")).toBe(expected);
  });
});

describe.concurrent("known deviations", () => {
  test("of a file are counted by rule; what is left decides", async () => {
    const ran = await cli(["diff", OLD, MID, "--ignore-file", KNOWN, "--date", "2026-07-01"]);
    expect(ran.status).toBe(0);
    const [summary] = records(ran.stdout);
    expect(summary).toMatchObject({
      compared: 600,
      same: 507,
      differ: 0,
      differences: 0,
      ignored: { "pasid-table-conditions": 93, "fixed-by-now": 0, "other-device": 0 },
    });
    expect(ran.stderr).toBe(
      'pasid-replay: note: ignore rule "fixed-by-now" expired on 2026-06-30 and is not applied\n' +
        'pasid-replay: note: ignore rule "other-device" matched nothing\n',
    );
    const summarized = await cli([
      "diff",
      OLD,
      MID,
      "--ignore-file",
      KNOWN,
      "--date",
      "2026-06-30",
      "--summary",
    ]);
    expect(summarized.stdout).toContain("pasid-table-conditions: 93  QEMU 7.2 reports every condition");
    expect(summarized.stdout).not.toContain("expired");
  });

  test("as NDJSON, one a line", async () => {
    const rules = file(
      "rules.ndjson",
      '{"class":"code","reason":"known"}\n\n{"class":"verdict","reason":"no"}\n',
    );
    const ran = await cli(["diff", OLD, MID, "--ignore-file", rules]);
    expect(records(ran.stdout)[0].ignored).toEqual({ [`${rules}:1`]: 93, [`${rules}:3`]: 0 });
  });

  test.each([
    ['{"class":"code"}', /bad-0.json:1: reason: expected why the difference is expected, found nothing/],
    ['[{"class":"code","reason":"x"},{"reason":"x"}]', /bad-1.json: rule 2: expected one of class,/],
    ["{", /bad-2.json:1: expected JSON, found none/],
  ])("that cannot be read are trouble: %s", async (text, message) => {
    const number = { '{"class":"code"}': 0, "{": 2 }[text] ?? 1;
    const ran = await cli(["diff", OLD, MID, "--ignore-file", file(`bad-${number}.json`, text)]);
    expect(ran).toMatchObject({ status: 2, stdout: "" });
    expect(ran.stderr).toMatch(message);
  });
});

describe.concurrent("a replay", () => {
  test("against what it says of the trace, and against what was observed", async () => {
    const outcomes = file("outcomes.ndjson.gz", gzipSync((await cli([FIXTURE])).stdout));
    const walked = await cli(["diff", FIXTURE, outcomes, "--walk"]);
    expect(walked).toMatchObject({ status: 0, stderr: "" });
    expect(records(walked.stdout)[0]).toMatchObject({
      a: { kind: "trace", side: "walk", requests: 5 },
      b: { kind: "outcomes", requests: 5 },
      same: 5,
    });
    const observed = records((await cli(["diff", outcomes, FIXTURE])).stdout).at(-1);
    expect(observed.b).toMatchObject({ side: "observed" });
    const piped = await cli(["diff", "-", outcomes], { input: (await cli([FIXTURE])).stdout });
    expect(piped.status).toBe(0);
  });

  test("of a trace without answers is what is compared", async () => {
    const bare = (name: string) => {
      const lines = readFileSync(FIXTURE, "utf8").replace(/,"observed":\{[^{}]*\}/g, "");
      expect(lines).not.toContain("observed");
      return file(name, lines);
    };
    const ran = await cli(["diff", bare("bare.ndjson"), FIXTURE, "--side", "walk"]);
    // The verdicts are missing on one side; what the walk gives is the same.
    const summary = records(ran.stdout).at(-1);
    expect(Object.keys(summary.by_class)).toEqual(["verdict"]);
    const [a] = records((await cli(["diff", bare("bare-2.ndjson"), bare("bare-3.ndjson")])).stdout);
    expect(a).toMatchObject({ a: { side: "walk" }, same: 5, differ: 0 });
  });
});

describe.concurrent("trouble", () => {
  test.each([
    [["diff", OLD], "expected at least 2"],
    [["diff", "-", "-"], "expected standard input once, found it as both sides"],
    [["diff", OLD, "no-such-file"], "no-such-file: expected a trace, found no such file"],
    [["diff", OLD, MID, "--window", "7"], "--window: expected 64 to 4194304 requests, found 7"],
    [["diff", OLD, MID, "--align", "time"], "--align: expected one of "],
    [["diff", OLD, MID, "--walk", "--side", "observed"], "expected --walk or --side observed, found both"],
    [["diff", OLD, MID, "--date", "tomorrow"], "--date: expected a date such as 2027-01-31"],
    [["diff", OLD, MID, "--ignore", "code"], "--ignore: expected field=value"],
  ])("%j", async (args, message) => {
    const ran = await cli(args);
    expect(ran).toMatchObject({ status: 2, stdout: "" });
    expect(ran.stderr).toContain(message);
  });

  test("a record that cannot be used outweighs what differs", async () => {
    const text = gunzipSync(readFileSync(join(ROOT, MID))).toString("utf8");
    const broken = file("broken.ndjson", text.replace('"addr":"0xe48e00"', '"addr":"e48e00"'));
    const ran = await cli(["diff", OLD, broken]);
    expect(ran.status).toBe(2);
    const out = records(ran.stdout);
    expect(out.filter((record) => record.type === "error")).toEqual([
      expect.objectContaining({ type: "error", stream: "b", line: 416, code: "schema" }),
    ]);
    expect(out.at(-1)).toMatchObject({ b: { errors: 1 }, by_class: { code: 93, "only-in-a": 1 } });
    const summary = await cli(["diff", OLD, broken, "--summary"]);
    expect(summary.status).toBe(2);
    expect(summary.stderr).toContain(`${broken}: line 416: dma.addr: expected`);
  });

  test("a stream that breaks off", async () => {
    const cut = file("cut.ndjson.gz", readFileSync(join(ROOT, MID)).subarray(0, 9000));
    const ran = await cli(["diff", MID, cut]);
    expect(ran.status).toBe(2);
    expect(records(ran.stdout).some((r) => r.type === "error" && r.code === "io")).toBe(true);
  });

  test("requests without answers are not the same", async () => {
    const ask = file("asked.ndjson", '{"type":"dma","dev":"00:03.0","addr":"0x1000"}\n');
    const ran = await cli(["diff", ask, ask, "--side", "observed"]);
    expect(ran.status).toBe(2);
    expect(ran.stderr).toContain("1 of the requests in both are not compared: a side has no answer there");
  });
});
